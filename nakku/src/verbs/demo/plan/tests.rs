use std::collections::HashSet;

use super::*;
use crate::verbs::demo::baskets::{Basket, Item};

fn basket(number: u32, store: &str, items: &[(&str, u32)]) -> Basket {
    Basket {
        basket: format!("b{number}"),
        store: store.to_owned(),
        household: format!("h{}", number % 2),
        items: items
            .iter()
            .map(|(sku, quantity)| Item {
                sku: (*sku).to_owned(),
                quantity: *quantity,
            })
            .collect(),
    }
}

fn plan(baskets: &[Basket], orders: u32, all_ok: bool) -> Plan {
    let mut plan = Plan::new(all_ok);
    for basket in baskets {
        plan.add(basket);
    }
    plan.settle(orders);
    plan
}

#[test]
fn baskets_come_in_their_order_and_begin_anew_with_keys_of_their_own() {
    let baskets = [
        basket(0, "367", &[("A", 1), ("B", 2)]),
        basket(1, "381", &[("A", 3)]),
        basket(2, "367", &[("B", 1)]),
    ];
    let plan = plan(&baskets, 5, true);
    assert_eq!((plan.baskets(), plan.orders()), (3, 5));
    assert_eq!(plan.households().len(), 2);
    assert_eq!(
        plan.order(0, "run"),
        Order {
            key: "run-0-b0".to_owned(),
            store: "367",
            household: 0,
            items: vec![("A", 1), ("B", 2)],
            payment_token: "tok_ok",
        }
    );
    let (second, fifth) = (plan.order(1, "run"), plan.order(4, "run"));
    assert_eq!((second.household, second.store), (1, "381"));
    assert_eq!(
        (fifth.items, fifth.store, fifth.key.as_str()),
        (second.items, second.store, "run-4-b1")
    );
}

#[test]
fn demand_is_the_sum_of_all_orders() {
    let baskets = [
        basket(0, "367", &[("A", 1), ("B", 2)]),
        basket(1, "381", &[("A", 3)]),
    ];
    let plan = plan(&baskets, 3, false);
    let expected = BTreeMap::from([
        ("367", BTreeMap::from([("A", 2), ("B", 4)])),
        ("381", BTreeMap::from([("A", 3)])),
    ]);
    assert_eq!(plan.demand(), expected);
}

#[test]
fn a_basket_is_cut_to_what_an_order_may_have() {
    let names: Vec<String> = (0..ITEMS_MAX + 20).map(|n| format!("S{n}")).collect();
    let mut items: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    items.push(("S0", 5));
    items.push(("S1", Quantity::MAX));
    let plan = plan(&[basket(0, "367", &items)], 1, true);
    let order = plan.order(0, "run");
    assert_eq!(order.items.len(), ITEMS_MAX);
    assert_eq!(order.items[0], ("S0", 6));
    assert_eq!(order.items[1], ("S1", Quantity::MAX));
}

#[test]
fn few_payments_fail_and_always_the_same_ones() {
    let baskets: Vec<Basket> = (0..2_000)
        .map(|number| basket(number, "367", &[("A", 1)]))
        .collect();
    let tokens = |plan: &Plan| -> Vec<&str> {
        (0..plan.orders())
            .map(|number| plan.order(number, "run").payment_token)
            .collect()
    };
    let drawn = tokens(&plan(&baskets, 4_000, false));
    let count = |token: &str| drawn.iter().filter(|drawn| **drawn == token).count();
    assert!((40..=120).contains(&count("tok_declined")));
    assert!((15..=70).contains(&count("tok_flaky")));
    assert_eq!(
        count("tok_ok") + count("tok_declined") + count("tok_flaky"),
        4_000
    );
    assert_ne!(drawn[..2_000], drawn[2_000..], "each round fails elsewhere");
    assert_eq!(drawn, tokens(&plan(&baskets, 4_000, false)));
    let ok = tokens(&plan(&baskets, 4_000, true));
    assert_eq!(HashSet::<&str>::from_iter(ok), HashSet::from(["tok_ok"]));
}
