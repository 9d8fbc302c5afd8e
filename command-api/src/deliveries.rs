//! What couriers and staff do to deliveries.

use domain::delivery::{Command, Error, Event, Run, Status};
use domain::{
    Capacity, Delivery, DeliveryId, Order, OrderId, Reason, Role, StoreId, User, UserId, capacity,
    delivery, order, user,
};
use eventstore::{CommandContext, EventStore, Executed, Stream};
use http_server::Problem;
use serde::{Deserialize, Serialize};

use crate::elsewhere::{Asking, KnownUser};
use crate::problems::of_states;
use crate::{CommandApi, execute, problems};

/// On whose behalf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// May do it to every delivery.
    Staff,
    /// May do it to their own.
    Courier(UserId),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Refusal {
    /// Nobody who could bring it.
    CourierNotActive,
    /// Another courier brings it.
    Taken,
    Delivery(Error),
}

/// Has a courier bring it: whom staff say, or whoever takes it for themselves while nobody else has it. The same courier
/// again changes nothing.
///
/// # Errors
/// `not-found`, `courier-not-active` unless the courier is an active user with the role of a courier or more,
/// `delivery-taken`, `delivery-out-of-turn`, `service-unreachable` where users are another service's, and those of any
/// command.
pub async fn assign(
    api: &CommandApi,
    context: CommandContext,
    id: DeliveryId,
    courier_id: UserId,
    actor: Actor,
    asking: Asking,
) -> Result<Executed, Problem> {
    let is_able_elsewhere = match &api.user_directory {
        None => None,
        Some(users) => {
            let user = users.user(courier_id, asking).await?;
            let user = user.filter(KnownUser::is_active);
            Some(is_able(user.and_then(|user| user.role)))
        }
    };
    let streams = (
        Stream::<Delivery>::new(id.to_string()),
        Vec::from_iter(
            is_able_elsewhere
                .is_none()
                .then(|| Stream::<User>::new(courier_id.to_string())),
        ),
    );
    let outcome = api
        .store
        .execute(streams, context, move |(delivery, users)| {
            let here = || is_able(users.first().and_then(|user| user.active_role()));
            if !is_able_elsewhere.unwrap_or_else(here) {
                return Err(Refusal::CourierNotActive);
            }
            check_free(delivery, actor)?;
            let events = delivery
                .decide(Command::Assign { courier_id })
                .map_err(Refusal::Delivery)?;
            Ok::<(Vec<Event>, Vec<Vec<user::Event>>), _>((events, vec![vec![]; users.len()]))
        })
        .await;
    outcome.map_err(|error| execute::problem(error, refusal))
}

/// Whoever may do more than a courier may do that, too.
fn is_able(role: Option<Role>) -> bool {
    matches!(role, Some(Role::Courier | Role::Staff | Role::Admin))
}

/// That a courier takes nothing away from another one.
fn check_free(delivery: &Delivery, actor: Actor) -> Result<(), Refusal> {
    let holder = delivery.run().and_then(|run| run.courier_id);
    match (actor, holder) {
        (Actor::Courier(courier), Some(holder)) if courier != holder => Err(Refusal::Taken),
        _ => Ok(()),
    }
}

/// Gives the goods of a completed order to the courier. Doing it again changes nothing.
///
/// # Errors
/// `not-found`, also for a delivery that is not the courier's, `delivery-out-of-turn`, `order-in-progress`, and those of any
/// command.
pub async fn pick_up(
    store: &EventStore,
    context: CommandContext,
    id: DeliveryId,
    actor: Actor,
) -> Result<Executed, Problem> {
    let Some(order_id) = order_of(store, id).await? else {
        return advance(store, context, id, actor, Command::PickUp).await;
    };
    let streams = (
        Stream::<Delivery>::new(id.to_string()),
        Stream::<Order>::new(order_id.to_string()),
    );
    let outcome = store
        .execute(streams, context, move |(delivery, order)| {
            check_own(delivery, actor).map_err(Refusal::Delivery)?;
            let events = delivery::pick_up(delivery, order).map_err(Refusal::Delivery)?;
            Ok::<(Vec<Event>, Vec<order::Event>), _>((events, Vec::new()))
        })
        .await;
    outcome.map_err(|error| execute::problem(error, refusal))
}

/// The customer has it. Doing it again changes nothing.
///
/// # Errors
/// `not-found`, also for a delivery that is not the courier's, `delivery-out-of-turn`, and those of any command.
pub async fn deliver(
    store: &EventStore,
    context: CommandContext,
    id: DeliveryId,
    actor: Actor,
) -> Result<Executed, Problem> {
    advance(store, context, id, actor, Command::Complete).await
}

/// It could not be handed over. Unless that `is_final`, somebody is to bring it again.
///
/// # Errors
/// As [`deliver`].
pub async fn fail(
    store: &EventStore,
    context: CommandContext,
    id: DeliveryId,
    actor: Actor,
    reason: Reason,
    is_final: bool,
) -> Result<Executed, Problem> {
    let command = Command::Fail { reason, is_final };
    fail::fail_point!("delivery-failing");
    let failed = advance(store, context, id, actor, command).await;
    fail::fail_point!("delivery-failed");
    failed
}

async fn advance(
    store: &EventStore,
    context: CommandContext,
    id: DeliveryId,
    actor: Actor,
    command: Command,
) -> Result<Executed, Problem> {
    let stream = Stream::<Delivery>::new(id.to_string());
    let outcome = store
        .execute(stream, context, move |delivery| {
            check_own(delivery, actor)
                .and_then(|run| match was_taken(run, &command) {
                    true => Ok(Vec::new()),
                    false => delivery.decide(command.clone()),
                })
                .map_err(Refusal::Delivery)
        })
        .await;
    outcome.map_err(|error| execute::problem(error, refusal))
}

/// What is brought; none where nothing was ever to be.
async fn order_of(store: &EventStore, id: DeliveryId) -> Result<Option<OrderId>, Problem> {
    let id = id.to_string();
    let deliveries = store.states::<Delivery>(std::slice::from_ref(&id)).await;
    let deliveries = deliveries.map_err(of_states)?;
    let run = deliveries.get(&id).and_then(|(delivery, _)| delivery.run());
    Ok(run.map(|run| run.order_id))
}

/// What is not a courier's is not there for them.
fn check_own(delivery: &Delivery, actor: Actor) -> Result<&Run, Error> {
    let run = delivery.run().ok_or(Error::NotFound)?;
    match actor {
        Actor::Courier(courier) if run.courier_id != Some(courier) => Err(Error::NotFound),
        Actor::Courier(_) | Actor::Staff => Ok(run),
    }
}

/// That it failed for good cannot become truer.
fn was_taken(run: &Run, command: &Command) -> bool {
    run.status == Status::Failed && matches!(command, Command::Fail { is_final: true, .. })
}

/// Says how many deliveries a store makes in an hour from now on. What is booked stays booked.
///
/// # Errors
/// `invalid-body` above [`capacity::PER_HOUR_MAX`], and those of any command.
pub async fn change_capacity(
    store: &EventStore,
    context: CommandContext,
    store_id: StoreId,
    per_hour: u32,
) -> Result<Executed, Problem> {
    let stream = Stream::<Capacity>::new(store_id.as_str());
    let outcome = store
        .execute(stream, context, move |capacity| {
            let store_id = store_id.clone();
            capacity.decide(capacity::Command::Change { store_id, per_hour })
        })
        .await;
    outcome.map_err(|error| {
        execute::problem(error, |error: &capacity::Error| {
            Problem::invalid_body(Vec::new()).error("/per_hour", error.to_string())
        })
    })
}

fn refusal(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::CourierNotActive => Problem::from(problems::COURIER_NOT_ACTIVE).error(
            "/courier_id",
            "is not an active user with the role of a courier or more",
        ),
        Refusal::Taken => Problem::from(problems::DELIVERY_TAKEN),
        Refusal::Delivery(error) => {
            let detail = error.to_string();
            match error {
                Error::NotFound => Problem::not_found(detail),
                Error::WrongStatus { .. } | Error::SlotMismatch => {
                    Problem::from(problems::DELIVERY_OUT_OF_TURN).detail(detail)
                }
                Error::OrderNotCompleted { .. } => {
                    Problem::from(problems::ORDER_IN_PROGRESS).detail(detail)
                }
            }
        }
    }
}
