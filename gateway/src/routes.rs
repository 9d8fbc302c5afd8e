//! The table of routes: who answers, how often it may be asked, how long an answer may take, and who may ask.

use axum::routing::MethodFilter;
use http_client::Retry;

use self::Access::{Anyone, Bearer};
use self::Deadline::{Figures, Request, Stream};
use self::Method::{Get, Post, Put};
use self::Service::{Admin, Deliveries, Inventory, Orders, Payments, Products, Queries, Users};

/// Who answers a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// Commands on accounts, and log-in.
    Users,
    /// Commands on the catalogue.
    Products,
    /// Commands on stock.
    Inventory,
    /// Commands on orders.
    Orders,
    /// Commands on payments.
    Payments,
    /// Commands on deliveries.
    Deliveries,
    /// Every query.
    Queries,
    /// The operators' API.
    Admin,
}

/// The method of a route. A `HEAD` goes where the `GET` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// The request's time, and what its `Prefer: wait` asks for; an attempt takes half of the former at most.
    Request,
    /// The same, for one attempt: it computes for long, and twice would take twice as long.
    Figures,
    /// As long as something moves.
    Stream,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Also without a token; one that does not hold is passed over.
    Anyone,
    /// A token that does not hold is refused at the door.
    Bearer,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    pub method: Method,
    /// The whole path, as axum matches it.
    pub path: &'static str,
    pub service: Service,
    /// Of a request that carries what its class needs: a `Keyed` one without an `Idempotency-Key` is never repeated.
    pub retry: Retry,
    pub deadline: Deadline,
    pub access: Access,
}

const fn route(
    method: Method,
    path: &'static str,
    service: Service,
    retry: Retry,
    deadline: Deadline,
    access: Access,
) -> Route {
    Route {
        method,
        path,
        service,
        retry,
        deadline,
        access,
    }
}

const SAFE: Retry = Retry::Safe;
const KEYED: Retry = Retry::Keyed;
const NEVER: Retry = Retry::Never;

/// Every path that the gateway answers for others.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    route(Get,  "/.well-known/jwks.json",                          Users,      SAFE,  Request, Anyone),
    route(Post, "/api/v1/users/register",                          Users,      KEYED, Request, Anyone),
    route(Post, "/api/v1/users/login",                             Users,      NEVER, Request, Anyone),
    route(Post, "/api/v1/users/token/refresh",                     Users,      NEVER, Request, Anyone),
    route(Post, "/api/v1/users/logout",                            Users,      NEVER, Request, Bearer),
    route(Post, "/api/v1/users/{id}/update-profile",               Users,      KEYED, Request, Bearer),
    route(Post, "/api/v1/users/{id}/change-password",              Users,      KEYED, Request, Bearer),
    route(Post, "/api/v1/users/{id}/addresses",                    Users,      KEYED, Request, Bearer),
    route(Put,  "/api/v1/users/{id}/notification-preferences",     Users,      KEYED, Request, Bearer),
    route(Post, "/api/v1/users/{id}/assign-role",                  Users,      KEYED, Request, Bearer),
    route(Post, "/api/v1/users/{id}/deactivate",                   Users,      KEYED, Request, Bearer),
    route(Post, "/api/v1/users/{id}/erase",                        Users,      KEYED, Request, Bearer),
    route(Post, "/api/v1/products",                                Products,   KEYED, Request, Bearer),
    route(Post, "/api/v1/products/import",                         Products,   NEVER, Stream,  Bearer),
    route(Post, "/api/v1/products/{id}/update-details",            Products,   KEYED, Request, Bearer),
    route(Post, "/api/v1/products/{id}/change-price",              Products,   KEYED, Request, Bearer),
    route(Post, "/api/v1/products/{id}/discontinue",               Products,   KEYED, Request, Bearer),
    route(Post, "/api/v1/inventory/{store_id}/{sku}/receive",      Inventory,  KEYED, Request, Bearer),
    route(Post, "/api/v1/inventory/{store_id}/{sku}/adjust",       Inventory,  KEYED, Request, Bearer),
    route(Post, "/api/v1/orders",                                  Orders,     KEYED, Request, Bearer),
    route(Post, "/api/v1/orders/{id}/cancel",                      Orders,     KEYED, Request, Bearer),
    route(Post, "/api/v1/payments/{id}/refund",                    Payments,   KEYED, Request, Bearer),
    route(Post, "/api/v1/deliveries/{id}/assign",                  Deliveries, KEYED, Request, Bearer),
    route(Post, "/api/v1/deliveries/{id}/pick-up",                 Deliveries, KEYED, Request, Bearer),
    route(Post, "/api/v1/deliveries/{id}/deliver",                 Deliveries, KEYED, Request, Bearer),
    route(Post, "/api/v1/deliveries/{id}/fail",                    Deliveries, KEYED, Request, Bearer),
    route(Put,  "/api/v1/deliveries/stores/{store_id}/capacity",   Deliveries, KEYED, Request, Bearer),

    route(Get,  "/api/v1/users/me",                                Queries,    SAFE,  Request, Bearer),
    route(Get,  "/api/v1/users/me/notifications",                  Queries,    SAFE,  Request, Bearer),
    route(Get,  "/api/v1/users/{id}",                              Queries,    SAFE,  Request, Bearer),
    route(Get,  "/api/v1/products",                                Queries,    SAFE,  Request, Anyone),
    route(Get,  "/api/v1/products/{id}",                           Queries,    SAFE,  Request, Anyone),
    route(Get,  "/api/v1/products/by-sku/{sku}",                   Queries,    SAFE,  Request, Anyone),
    route(Get,  "/api/v1/search",                                  Queries,    SAFE,  Request, Anyone),
    route(Get,  "/api/v1/suggest",                                 Queries,    SAFE,  Request, Anyone),
    route(Get,  "/api/v1/categories",                              Queries,    SAFE,  Request, Anyone),
    route(Get,  "/api/v1/inventory/{store_id}",                    Queries,    SAFE,  Request, Anyone),
    route(Get,  "/api/v1/inventory/{store_id}/{sku}",              Queries,    SAFE,  Request, Anyone),
    route(Get,  "/api/v1/orders",                                  Queries,    SAFE,  Request, Bearer),
    route(Get,  "/api/v1/orders/{id}",                             Queries,    SAFE,  Request, Bearer),
    route(Get,  "/api/v1/orders/{id}/timeline",                    Queries,    SAFE,  Request, Bearer),
    route(Get,  "/api/v1/orders/{id}/events",                      Queries,    SAFE,  Stream,  Bearer),
    route(Get,  "/api/v1/payments/{id}",                           Queries,    SAFE,  Request, Bearer),
    route(Get,  "/api/v1/deliveries",                              Queries,    SAFE,  Request, Bearer),
    route(Get,  "/api/v1/deliveries/{id}",                         Queries,    SAFE,  Request, Bearer),
    route(Get,  "/api/v1/analytics/sales",                         Queries,    SAFE,  Figures, Bearer),
    route(Get,  "/api/v1/analytics/top-products",                  Queries,    SAFE,  Figures, Bearer),
    route(Get,  "/api/v1/analytics/order-funnel",                  Queries,    SAFE,  Figures, Bearer),
    route(Get,  "/api/v1/analytics/fulfilment-times",              Queries,    SAFE,  Figures, Bearer),
    route(Get,  "/api/v1/analytics/low-stock",                     Queries,    SAFE,  Figures, Bearer),
    route(Get,  "/api/v1/analytics/customers",                     Queries,    SAFE,  Figures, Bearer),

    route(Get,  "/api/v1/admin/streams/{type}/{id}",               Admin,      SAFE,  Request, Bearer),
    route(Get,  "/api/v1/admin/streams/{type}/{id}/state",         Admin,      SAFE,  Request, Bearer),
    route(Get,  "/api/v1/admin/events",                            Admin,      SAFE,  Request, Bearer),
    route(Get,  "/api/v1/admin/events/tail",                       Admin,      SAFE,  Stream,  Bearer),
    route(Get,  "/api/v1/admin/correlations/{id}",                 Admin,      SAFE,  Request, Bearer),
    route(Get,  "/api/v1/admin/projections",                       Admin,      SAFE,  Request, Bearer),
    route(Get,  "/api/v1/admin/projections/{name}",                Admin,      SAFE,  Request, Bearer),
    route(Post, "/api/v1/admin/projections/{name}/replay",         Admin,      KEYED, Request, Bearer),
    route(Post, "/api/v1/admin/projections/{name}/rollback",       Admin,      KEYED, Request, Bearer),
    route(Post, "/api/v1/admin/projections/{name}/pause",          Admin,      NEVER, Request, Bearer),
    route(Post, "/api/v1/admin/projections/{name}/resume",         Admin,      NEVER, Request, Bearer),
    route(Get,  "/api/v1/admin/replays/{id}",                      Admin,      SAFE,  Request, Bearer),
    route(Get,  "/api/v1/admin/outbox",                            Admin,      SAFE,  Request, Bearer),
    route(Get,  "/api/v1/admin/sagas",                             Admin,      SAFE,  Request, Bearer),
    route(Get,  "/api/v1/admin/sagas/{id}",                        Admin,      SAFE,  Request, Bearer),
    route(Post, "/api/v1/admin/sagas/{id}/retry",                  Admin,      KEYED, Request, Bearer),
    route(Get,  "/api/v1/admin/dead-letters",                      Admin,      SAFE,  Request, Bearer),
    route(Get,  "/api/v1/admin/dead-letters/{id}",                 Admin,      SAFE,  Request, Bearer),
    route(Post, "/api/v1/admin/dead-letters/{id}/retry",           Admin,      NEVER, Request, Bearer),
    route(Post, "/api/v1/admin/dead-letters/{id}/discard",         Admin,      NEVER, Request, Bearer),
];

/// Routes whose bodies are passed on as they come; for the edge.
pub const STREAMED_ROUTES: &[&str] = &["/api/v1/products/import"];

/// Routes with a rate of their own, an address each; for the edge.
pub const OWN_BUCKETS: &[&str] = &["/api/v1/users/login", "/api/v1/users/register"];

impl Route {
    /// Answers that are the same for everybody.
    pub fn is_public_read(&self) -> bool {
        self.method == Get && self.access == Anyone
    }
}

impl Method {
    pub(crate) fn filter(self) -> MethodFilter {
        match self {
            Get => MethodFilter::GET,
            Post => MethodFilter::POST,
            Put => MethodFilter::PUT,
        }
    }

    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Get => "GET",
            Post => "POST",
            Put => "PUT",
        }
    }
}

impl Service {
    /// All there are.
    pub const ALL: [Service; 8] = [
        Users, Products, Inventory, Orders, Payments, Deliveries, Queries, Admin,
    ];

    /// As in problems, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Users => "users",
            Products => "products",
            Inventory => "inventory",
            Orders => "orders",
            Payments => "payments",
            Deliveries => "deliveries",
            Queries => "queries",
            Admin => "admin",
        }
    }
}
