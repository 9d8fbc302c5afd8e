//! Commands over HTTP: POST in, events out. Never reads a read model to decide.
//!
//! | module | is |
//! |---|---|
//! | [`products`], [`inventory`], [`users`], [`sessions`], [`orders`], [`payments`], [`deliveries`] | what can be done, and how each refusal reads; for routes, seeding and the command line alike |
//! | [`elsewhere`] | users and products of another process, and the client that asks there |
//! | `routes` | a resource a file: router, bodies, handlers |
//! | `execute` | from a request to a command's context, and from its outcome to an answer |
//! | `member` | a member of a body, parsed into its value type |
//! | [`password`], `credentials`, `refresh_tokens`, `attempts` | what logging in rests on; none of it is ever in the log |
//! | [`problems`] | the codes that this API adds to the shared ones |

mod attempts;
mod credentials;
mod execute;
mod member;
mod refresh_tokens;
mod routes;

pub mod deliveries;
pub mod elsewhere;
pub mod inventory;
pub mod orders;
pub mod password;
pub mod payments;
pub mod problems;
pub mod products;
pub mod sessions;
pub mod users;

use std::sync::Arc;

use axum::middleware::from_fn;
use eventstore::EventStore;
use http_server::Signer;
use http_server::answer::CommandBody;
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub use execute::derived_context;
pub use password::{InvalidPassword, Password, Passwords};

use attempts::Attempts;
use elsewhere::{Catalogue, UserDirectory};
use routes::deliveries::AssignDelivery;
use routes::orders::CancelOrder;

/// Where the routes of [`router`] are nested; what `Location` headers begin with.
pub const API_PREFIX: &str = "/api/v1";

/// Routes, in full, whose bodies are read as they come; for the edge of a role.
pub const STREAMED_ROUTES: &[&str] = &["/api/v1/products/import"];

/// Imports at a time; each has hundreds of commands in flight.
const IMPORTS_MAX: usize = 4;

/// A part of the business whose commands a process can host without the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Context {
    /// Accounts and log-in.
    Users,
    /// The catalogue.
    Products,
    /// Stock.
    Inventory,
    /// What customers buy.
    Orders,
    /// What they pay.
    Payments,
    /// How it is brought.
    Deliveries,
}

impl Context {
    /// All there are.
    pub const ALL: &[Context] = &[
        Context::Users,
        Context::Products,
        Context::Inventory,
        Context::Orders,
        Context::Payments,
        Context::Deliveries,
    ];
}

/// What the routes work with. Cheap to clone.
#[derive(Clone)]
pub struct CommandApi {
    store: EventStore,
    signer: Arc<Signer>,
    passwords: Passwords,
    attempts: Arc<Attempts>,
    imports: Arc<Semaphore>,
    waiting: orders::Waiting,
    user_directory: Option<Arc<dyn UserDirectory>>,
    catalogue: Option<Arc<dyn Catalogue>>,
    _background: Arc<DropGuard>,
}

impl CommandApi {
    /// Commands go to `store`, tokens are signed by `signer`. Must be called inside a runtime: void refresh tokens
    /// are deleted in the background for as long as a clone of it lives.
    #[must_use]
    pub fn new(store: EventStore, signer: Signer) -> Self {
        let background = CancellationToken::new();
        let purge = refresh_tokens::purge(store.pool().clone());
        tokio::spawn(background.clone().run_until_cancelled_owned(purge));
        Self {
            waiting: orders::Waiting::new(store.clone()),
            user_directory: None,
            catalogue: None,
            store,
            signer: Arc::new(signer),
            passwords: Passwords::default(),
            attempts: Arc::default(),
            imports: Arc::new(Semaphore::new(IMPORTS_MAX)),
            _background: Arc::new(background.drop_guard()),
        }
    }

    /// Customers and couriers are asked for there, because their streams are in another log. Without it they are checked
    /// with the append.
    #[must_use]
    pub fn with_user_directory(mut self, users: Arc<dyn UserDirectory>) -> Self {
        self.user_directory = Some(users);
        self
    }

    /// As [`CommandApi::with_user_directory`], of products.
    #[must_use]
    pub fn with_catalogue(mut self, products: Arc<dyn Catalogue>) -> Self {
        self.catalogue = Some(products);
        self
    }
}

/// What routes refer to without naming it in their own bodies.
#[derive(OpenApi)]
#[openapi(components(schemas(CommandBody, CancelOrder, AssignDelivery)))]
struct Shared;

/// The commands of these contexts, to be nested under [`API_PREFIX`]. Each runs to its end even if its client goes away.
#[must_use]
pub fn router(api: CommandApi, contexts: &[Context]) -> OpenApiRouter {
    routes(contexts).with_state(api)
}

fn routes(contexts: &[Context]) -> OpenApiRouter<CommandApi> {
    Context::ALL
        .iter()
        .filter(|context| contexts.contains(context))
        .map(|context| match context {
            Context::Users => detached(routes::users::router().merge(routes::sessions::router())),
            Context::Products => detached(routes::products::router()),
            Context::Inventory => detached(routes::inventory::router()),
            // Its commands are detached one by one: whoever goes away need not be waited for.
            Context::Orders => routes::orders::router(),
            Context::Payments => detached(routes::payments::router()),
            Context::Deliveries => detached(routes::deliveries::router()),
        })
        .fold(
            OpenApiRouter::with_openapi(Shared::openapi()),
            OpenApiRouter::merge,
        )
}

/// Routes whose handlers run to their end even if the client goes away.
fn detached(routes: OpenApiRouter<CommandApi>) -> OpenApiRouter<CommandApi> {
    routes.route_layer(from_fn(http_server::detach))
}

/// What is documented of [`router`] with every context, without anything that could answer.
#[must_use]
pub fn document() -> utoipa::openapi::OpenApi {
    routes(Context::ALL).into_openapi()
}

/// As [`document`], of [`well_known`].
#[must_use]
pub fn well_known_document() -> utoipa::openapi::OpenApi {
    routes::sessions::well_known().into_openapi()
}

/// `/.well-known/jwks.json`, which stands at the root.
#[must_use]
pub fn well_known(api: CommandApi) -> OpenApiRouter {
    routes::sessions::well_known().with_state(api)
}

/// What services ask each other, at the root and never through the gateway: `/internal/users/{id}` where users are hosted,
/// `/internal/products` where products are.
#[must_use]
pub fn internal(api: CommandApi, contexts: &[Context]) -> OpenApiRouter {
    internal_routes(contexts).with_state(api)
}

/// As [`document`], of [`internal`].
#[must_use]
pub fn internal_document() -> utoipa::openapi::OpenApi {
    internal_routes(Context::ALL).into_openapi()
}

fn internal_routes(contexts: &[Context]) -> OpenApiRouter<CommandApi> {
    let mut router = OpenApiRouter::new();
    if contexts.contains(&Context::Users) {
        router = router.merge(routes::internal::users());
    }
    if contexts.contains(&Context::Products) {
        router = router.merge(routes::internal::products());
    }
    router
}
