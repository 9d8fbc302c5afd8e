//! Placing an order: who and what is looked up first, and checked again by the append on the streams themselves.

use domain::order::{Customer, Error, Event, Placement, Wanted};
use domain::{
    Address, DeliveryId, Order, OrderId, PaymentId, PaymentToken, Product, Sealed, StoreId, User,
    UserId, order, product, user,
};
use eventstore::{CommandContext, DataKey, EventStore, Executed, Stream};
use http_server::Problem;
use uuid::Uuid;

use super::lines::{Lines, check_distinct};
use super::refusal;
use crate::elsewhere::Asking;
use crate::problems::of_sealing;
use crate::users::{key_of, seal};
use crate::{CommandApi, execute};

/// An order as its customer asks for it.
#[derive(Debug, Clone)]
pub struct NewOrder {
    /// Who buys.
    pub customer_id: UserId,
    /// Where from.
    pub store_id: StoreId,
    /// What: 1 to [`order::ITEMS_MAX`] lines, no SKU twice.
    pub items: Vec<Wanted>,
    /// How it is paid.
    pub payment_token: PaymentToken,
    /// Where it is brought; without one, to the first address that the customer has.
    pub address: Option<Address>,
}

type Decided = (Vec<Event>, Vec<Vec<user::Event>>, Vec<Vec<product::Event>>);

/// Places an order under a fresh id, the `stream_id` of what was executed, at the prices of the moment in which it is
/// appended.
///
/// # Errors
/// `unknown-items` with a pointer to each, `customer-not-active`, `mixed-currencies`, `total-too-large`, `invalid-body`
/// where a SKU is repeated, `service-unreachable` where customers or products are another service's that does not answer,
/// and those of any command.
pub async fn place(
    api: &CommandApi,
    context: CommandContext,
    new: NewOrder,
    asking: Asking,
) -> Result<Executed, Problem> {
    check_distinct(&new.items)?;
    let lines = Lines::look_up(&api.store, api.catalogue.as_deref(), &new.items, asking).await?;
    let is_active_elsewhere = match &api.user_directory {
        None => None,
        Some(users) => {
            let user = users.user(new.customer_id, asking).await?;
            Some(user.is_some_and(|user| user.is_active()))
        }
    };
    let Some(key) = key(&api.store, new.customer_id, is_active_elsewhere).await? else {
        return without_key(&api.store, context, new.customer_id).await;
    };
    let products = match api.catalogue {
        None => lines.known.iter().map(|item| item.product_id).collect(),
        Some(_) => Vec::new(),
    };
    let order_id = OrderId::new(Uuid::now_v7());
    let streams = (
        Stream::<Order>::beginning(order_id.to_string()),
        Vec::from_iter(
            is_active_elsewhere
                .is_none()
                .then(|| Stream::<User>::new(new.customer_id.to_string())),
        ),
        products
            .into_iter()
            .map(|id| Stream::<Product>::new(id.to_string()))
            .collect::<Vec<_>>(),
    );
    let placing = Placing::new(&key, new, lines)?;
    fail::fail_point!("order-placing");
    let placed = api
        .store
        .execute(streams, context, move |(order, users, products)| {
            let customer = match (is_active_elsewhere, users.first()) {
                (Some(active), _) => Customer::Elsewhere { active },
                (None, Some(user)) => Customer::Here(user),
                (None, None) => Customer::Elsewhere { active: false },
            };
            let placed = placing.decide(order, customer, &products)?;
            Ok::<Decided, Error>((
                placed,
                vec![vec![]; users.len()],
                vec![vec![]; products.len()],
            ))
        })
        .await;
    fail::fail_point!("order-placed");
    placed.map_err(|error| execute::problem(error, refusal))
}

/// What the customer's fields are sealed with. None for whoever was never registered, or is erased.
async fn key(
    store: &EventStore,
    customer: UserId,
    is_active_elsewhere: Option<bool>,
) -> Result<Option<DataKey>, Problem> {
    match is_active_elsewhere {
        None => key_of(store, customer).await,
        Some(false) => Ok(None),
        // Registered with another log, so this one has a key of its own for them.
        Some(true) => {
            let key = store.sealer().key_or_new(&customer.to_string()).await;
            key.map(Some).map_err(of_sealing)
        }
    }
}

/// Nobody can order who has no key; or it is the repetition of an order that was placed while there was one.
async fn without_key(
    store: &EventStore,
    context: CommandContext,
    customer: UserId,
) -> Result<Executed, Problem> {
    let streams = (
        Stream::<Order>::beginning(OrderId::new(Uuid::now_v7()).to_string()),
        Stream::<User>::new(customer.to_string()),
    );
    let refuse =
        |_: (&Order, &User)| Err::<(Vec<Event>, Vec<user::Event>), _>(Error::CustomerNotActive);
    store
        .execute(streams, context, refuse)
        .await
        .map_err(|error| execute::problem(error, refusal))
}

/// An order that is to be placed, with the places of its lines in the request.
struct Placing {
    placement: Placement,
    places: Vec<usize>,
    unknown: Vec<usize>,
}

impl Placing {
    fn new(key: &DataKey, new: NewOrder, lines: Lines) -> Result<Self, Problem> {
        let seal_address = |address: Address| {
            let json = serde_json::to_vec(&address).map_err(Problem::internal)?;
            Ok::<_, Problem>(Sealed::new(key.subject(), key.seal(&json)))
        };
        Ok(Self {
            placement: Placement {
                customer_id: new.customer_id,
                store_id: new.store_id,
                items: lines.known,
                payment_id: PaymentId::new(Uuid::now_v7()),
                delivery_id: DeliveryId::new(Uuid::now_v7()),
                payment_token: seal(key, &new.payment_token),
                address: new.address.map(seal_address).transpose()?,
            },
            places: lines.places,
            unknown: lines.unknown,
        })
    }

    fn decide(
        &self,
        order: &Order,
        customer: Customer<'_>,
        products: &[&Product],
    ) -> Result<Vec<Event>, Error> {
        let mut placement = self.placement.clone();
        if let (None, Customer::Here(user)) = (&placement.address, customer) {
            let account = user.account();
            placement.address = account.and_then(|account| account.addresses.first().cloned());
        }
        let placed = order::place(order, customer, products, placement);
        let placed = placed.map_err(|error| self.at_their_places(error));
        match placed {
            Err(Error::CustomerNotActive | Error::UnknownItems { .. }) => placed,
            Ok(_) | Err(_) if self.unknown.is_empty() => placed,
            Ok(_) | Err(_) => Err(Error::UnknownItems {
                items: self.unknown.clone(),
            }),
        }
    }

    /// The rule has seen the known lines only.
    fn at_their_places(&self, error: Error) -> Error {
        match error {
            Error::UnknownItems { items } => {
                let known = items.into_iter().map(|item| self.places[item]);
                let mut items: Vec<usize> = known.chain(self.unknown.iter().copied()).collect();
                items.sort_unstable();
                Error::UnknownItems { items }
            }
            Error::RepeatedItem { item } => Error::RepeatedItem {
                item: self.places[item],
            },
            error => error,
        }
    }
}
