//! What is counted as of now: stock that is low, and customers.

use domain::{Channels, NotificationPreferences, Quantity, Sealed, Stock, stock, user};
use eventstore::{CommandContext, Stream};
use projections::ReadModel;
use read_models::analytics::low_stock::LowStock;
use read_models::analytics::{customers, low_stock};

use super::{ALL, findings, generation};
use crate::ordering::Basket;
use crate::shop::{STORE, Shop};

async fn take(shop: &Shop, sku: &str, pieces: u32) -> i64 {
    let id = stock::StockId::new(STORE.parse().unwrap(), sku.parse().unwrap());
    let stream = Stream::<Stock>::new(id.to_string());
    let quantity = Quantity::new(pieces).unwrap();
    let order_id = Basket::somebodys().order_id;
    let decide = move |stock: &Stock| {
        stock.decide(stock::Command::Reserve {
            id: id.clone(),
            order_id,
            quantity,
        })
    };
    let context = CommandContext::new("reserve");
    let executed = shop.store.execute(stream, context, decide).await;
    executed.unwrap().position
}

#[tokio::test]
async fn stock_is_low_from_its_threshold_on_until_it_is_refilled() {
    let shop = Shop::open().await;
    let listed = async |position, limit| {
        let generation = generation(&shop, position).await;
        let listed = low_stock::list(shop.pool(), generation, Some(STORE), limit).await;
        let (total, low) = listed.unwrap();
        let of = |it: LowStock| (it.sku, it.available, it.threshold);
        (total, low.into_iter().map(of).collect::<Vec<_>>())
    };
    let low = |sku: &str, available| (sku.to_owned(), available, 10);
    shop.receive("apple", 20).await;
    let position = take(&shop, "apple", 9).await;
    assert_eq!(listed(position, ALL).await, (0, vec![]));
    let position = take(&shop, "apple", 1).await;
    assert_eq!(listed(position, ALL).await, (1, vec![low("apple", 10)]));
    // Never above it, so that no event tells of it.
    shop.receive("pear", 3).await;
    take(&shop, "apple", 10).await;
    let position = take(&shop, "pear", 1).await;
    let both = vec![low("apple", 0), low("pear", 2)];
    assert_eq!(listed(position, ALL).await, (2, both));
    assert_eq!(listed(position, 1).await, (2, vec![low("apple", 0)]));
    shop.receive("apple", 11).await;
    let position = shop.receive("pear", 8).await;
    assert_eq!(listed(position, ALL).await, (1, vec![low("pear", 10)]));
    assert_eq!(findings(&shop).await, [""; 0]);
}

/// A change of name, as it is decided.
async fn another_name(shop: &Shop, id: &str) -> user::Command {
    let key = shop.store.sealer().key(id).await.unwrap().unwrap();
    user::Command::UpdateProfile(user::ProfileChange {
        name: Some(Sealed::new(id, key.seal(b"Ada King"))),
        ..user::ProfileChange::default()
    })
}

#[tokio::test]
async fn what_customers_change_is_counted_from_its_position_on() {
    let shop = Shop::open().await;
    let (ada, _) = shop.register("ada@example.org", "Ada").await;
    let (_, registered) = shop.register("bob@example.org", "Bob").await;
    let worker = shop.start(ReadModel::Analytics);
    let counted = async |position| {
        let generation = shop.reached(ReadModel::Analytics, position).await;
        customers::read(shop.pool(), generation).await.unwrap()
    };
    let before = counted(registered).await;
    assert_eq!((before.registered, before.active), (2, 2));
    assert_eq!(
        (before.with_chosen_preferences, before.profile_updates),
        (0, 0)
    );
    let told = &before.notification_preferences;
    assert_eq!(
        (told.order.email, told.order.webhook),
        (2, 0),
        "the default"
    );

    let position = shop.user(&ada, another_name(&shop, &ada).await).await;
    assert_eq!(counted(position).await.profile_updates, 1);
    let chosen = NotificationPreferences {
        delivery: Channels {
            email: false,
            webhook: true,
            log: true,
        },
        ..NotificationPreferences::NONE
    };
    let change = user::Command::ChangePreferences(chosen);
    let position = shop.user(&ada, change).await;
    let after = counted(position).await;
    assert_eq!(after.with_chosen_preferences, 1);
    let told = &after.notification_preferences;
    assert_eq!((told.order.email, told.account.email), (1, 1));
    let delivery = &told.delivery;
    assert_eq!((delivery.email, delivery.webhook, delivery.log), (1, 1, 1));

    let role = domain::Role::Staff;
    let position = shop.user(&ada, user::Command::AssignRole { role }).await;
    let promoted = counted(position).await;
    assert_eq!((promoted.registered, promoted.active), (1, 1));
    assert_eq!(
        (promoted.with_chosen_preferences, promoted.profile_updates),
        (0, 0)
    );
    let role = domain::Role::Customer;
    shop.user(&ada, user::Command::AssignRole { role }).await;
    let position = shop.user(&ada, user::Command::Deactivate).await;
    let gone = counted(position).await;
    assert_eq!((gone.registered, gone.active, gone.deactivated), (2, 1, 1));
    assert_eq!((gone.with_chosen_preferences, gone.profile_updates), (0, 1));
    let position = shop.user(&ada, user::Command::Erase { email: None }).await;
    let gone = counted(position).await;
    assert_eq!((gone.registered, gone.deactivated, gone.erased), (2, 0, 1));
    worker.stop().await;
    assert_eq!(findings(&shop).await, [""; 0]);
}
