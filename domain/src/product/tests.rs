use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use iso_currency::Currency;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::aggregate::panic_of;

fn id(number: u128) -> ProductId {
    ProductId::new(Uuid::from_u128(number))
}

fn euros(amount_minor: i64) -> Price {
    Price::new(amount_minor, Currency::EUR).unwrap()
}

fn details(name: &str) -> Details {
    Details {
        name: name.parse().unwrap(),
        brand: Some("SummitForge".parse().unwrap()),
        description: None,
        category: vec!["Alcoholic Beverages".to_owned(), "Beer".to_owned()]
            .try_into()
            .unwrap(),
        size: Some("500 ml bottle".parse().unwrap()),
        attributes: Attributes::default(),
    }
}

fn lager() -> Create {
    Create {
        product_id: id(1),
        sku: "AB-BEE-001".parse().unwrap(),
        price: euros(499),
        details: details("Craft lager"),
    }
}

fn given(events: impl IntoIterator<Item = Event>) -> AggregateTestExecutor<Product> {
    TestFramework::with(()).given(events.into_iter().collect())
}

fn fold(events: impl IntoIterator<Item = Event>) -> Product {
    let mut product = Product::default();
    events.into_iter().for_each(|event| product.apply(event));
    product
}

fn renamed(name: &str) -> Command {
    Command::UpdateDetails(DetailsChange {
        name: Some(name.parse().unwrap()),
        ..DetailsChange::default()
    })
}

#[test]
fn a_product_is_created_once() {
    given([])
        .when(Command::Create(lager()))
        .then_expect_events(vec![created(lager())]);
    given([created(lager())])
        .when(Command::Create(lager()))
        .then_expect_error(Error::AlreadyExists);
    given([created(lager()), Event::Discontinued])
        .when(Command::Create(lager()))
        .then_expect_error(Error::AlreadyExists);
}

#[test]
fn what_does_not_exist_cannot_be_changed() {
    for command in [
        renamed("Ale"),
        Command::ChangePrice { price: euros(1) },
        Command::Discontinue,
    ] {
        given([]).when(command).then_expect_error(Error::NotFound);
    }
}

#[test]
fn an_update_records_all_details_as_they_are_now() {
    given([created(lager())])
        .when(renamed("Pale ale"))
        .then_expect_events(vec![Event::Updated(details("Pale ale"))]);
}

#[test]
fn an_update_with_the_same_details_changes_nothing() {
    given([created(lager())])
        .when(renamed("Craft lager"))
        .then_expect_events(vec![]);
    given([created(lager())])
        .when(Command::UpdateDetails(details("Craft lager").into()))
        .then_expect_events(vec![]);
    given([created(lager())])
        .when(Command::UpdateDetails(DetailsChange::default()))
        .then_expect_events(vec![]);
}

#[test]
fn a_price_changes_to_another_one_only() {
    let changed = Event::PriceChanged { price: euros(549) };
    given([created(lager())])
        .when(Command::ChangePrice { price: euros(549) })
        .then_expect_events(vec![changed.clone()]);
    given([created(lager()), changed])
        .when(Command::ChangePrice { price: euros(549) })
        .then_expect_events(vec![]);
    let dollars = Price::new(499, Currency::USD).unwrap();
    given([created(lager())])
        .when(Command::ChangePrice { price: dollars })
        .then_expect_events(vec![Event::PriceChanged { price: dollars }]);
}

#[test]
fn a_discontinued_product_changes_no_more() {
    let discontinued = || given([created(lager()), Event::Discontinued]);
    given([created(lager())])
        .when(Command::Discontinue)
        .then_expect_events(vec![Event::Discontinued]);
    discontinued()
        .when(Command::Discontinue)
        .then_expect_events(vec![]);
    discontinued()
        .when(renamed("Ale"))
        .then_expect_error(Error::Discontinued);
    discontinued()
        .when(Command::ChangePrice { price: euros(1) })
        .then_expect_error(Error::Discontinued);
}

#[test]
fn creating_claims_the_sku_in_the_same_breath() {
    assert_eq!(
        create(&Product::default(), &SkuClaim::default(), lager()),
        Ok((
            vec![created(lager())],
            vec![sku_claim::Event::Claimed { product_id: id(1) }]
        ))
    );
}

#[test]
fn a_sku_of_another_product_is_refused() {
    let taken = SkuClaim::Claimed { product_id: id(2) };
    assert_eq!(
        create(&Product::default(), &taken, lager()),
        Err(Error::SkuTaken { sku: lager().sku })
    );
}

#[test]
fn an_existing_product_is_not_created_over() {
    let own = SkuClaim::Claimed { product_id: id(1) };
    assert_eq!(
        create(&fold([created(lager())]), &own, lager()),
        Err(Error::AlreadyExists)
    );
}

#[test]
fn an_impossible_history_is_named() {
    let message = panic_of::<Product>(vec![Event::Discontinued]);
    assert!(
        message.contains("product.discontinued recorded while Absent"),
        "{message}"
    );
}

#[test]
fn refusals_are_stored_by_their_code() {
    let refusal = Error::SkuTaken { sku: lager().sku };
    let json = r#"{"code":"sku-taken","sku":"AB-BEE-001"}"#;
    assert_eq!(serde_json::to_string(&refusal).unwrap(), json);
    assert_eq!(serde_json::from_str::<Error>(json).unwrap(), refusal);
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(Command::Create(lager())),
        prop_oneof![Just("Ale"), Just("Craft lager")].prop_map(renamed),
        (1..4_i64).prop_map(|amount| Command::ChangePrice {
            price: euros(amount)
        }),
        Just(Command::Discontinue),
    ]
}

proptest! {
    #[test]
    fn what_is_decided_can_be_applied_stored_and_folded_again(commands in proptest::collection::vec(any_command(), 0..20)) {
        let (mut product, mut history) = (Product::default(), Vec::new());
        for command in commands {
            for event in product.decide(command.clone()).unwrap_or_default() {
                product.apply(event.clone());
                history.push(event);
            }
            // Asking once more for what is already so changes nothing, or is refused.
            prop_assert!(product.decide(command).unwrap_or_default().is_empty());
            let snapshot = serde_json::to_string(&product).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Product>(&snapshot).unwrap(), &product);
        }
        prop_assert_eq!(fold(history), product);
    }
}
