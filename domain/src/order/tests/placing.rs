//! Placing an order: customer and products.

use super::*;

fn customer() -> User {
    let mut user = User::default();
    user.apply(user::Event::Registered {
        email: Sealed::new("user-1", vec![1]),
        name: Sealed::new("user-1", vec![2]),
        phone: None,
        role: Role::Customer,
    });
    user
}

fn product(number: u128, name: &str, price: Price) -> Product {
    let mut product = Product::default();
    product.apply(product::Event::Created {
        sku: format!("SKU-{number}").parse().unwrap(),
        name: name.parse().unwrap(),
        brand: None,
        description: None,
        category: product::Category::default(),
        size: None,
        attributes: product::Attributes::default(),
        price,
    });
    product
}

#[test]
fn an_order_takes_name_and_price_of_this_moment() {
    let mut beer = product(1, "Craft lager, cold", euros(549));
    beer.apply(product::Event::PriceChanged { price: euros(559) });
    let wanted = placement(vec![item(1, 2, euros(1))]);
    let mut expected = wanted.clone();
    expected.items[0].name = "Craft lager, cold".parse().unwrap();
    expected.items[0].unit_price = euros(559);
    assert_eq!(
        place(
            &Order::default(),
            Customer::Here(&customer()),
            &[&beer],
            wanted
        ),
        Ok(vec![placed(expected, 1118)])
    );
}

#[test]
fn items_of_another_service_are_taken_as_they_were_looked_up() {
    let customer = Customer::Elsewhere { active: true };
    assert_eq!(
        place(&Order::default(), customer, &[], lager()),
        Ok(vec![placed(lager(), 1597)])
    );
}

#[test]
fn items_that_are_not_on_sale_are_named_by_their_places() {
    let mut gone = product(3, "Stout", euros(1));
    gone.apply(product::Event::Discontinued);
    let products = [
        &Product::default(),
        &product(2, "Ale", euros(1)),
        &gone,
        // Looked up by a SKU that is another product's.
        &product(5, "Porter", euros(1)),
    ];
    let wanted = (1..=4).map(|number| item(number, 1, euros(1))).collect();
    assert_eq!(
        place(
            &Order::default(),
            Customer::Here(&customer()),
            &products,
            placement(wanted)
        ),
        Err(Error::UnknownItems {
            items: vec![0, 2, 3]
        })
    );
}

#[test]
fn only_an_active_customer_buys() {
    let mut deactivated = customer();
    deactivated.apply(user::Event::Deactivated);
    for customer in [
        Customer::Here(&User::default()),
        Customer::Here(&deactivated),
        Customer::Elsewhere { active: false },
    ] {
        assert_eq!(
            place(&Order::default(), customer, &[], lager()),
            Err(Error::CustomerNotActive)
        );
    }
}

#[test]
fn an_existing_order_is_not_placed_over() {
    let mut order = Order::default();
    order.apply(placed(lager(), 1597));
    assert_eq!(
        place(&order, Customer::Elsewhere { active: true }, &[], lager()),
        Err(Error::AlreadyExists)
    );
}
