//! Who orders what, where, and how it is paid. Pure: the same baskets make the same plan.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use domain::Quantity;
use domain::order::ITEMS_MAX;

use super::baskets;

/// Of a hundred payments. The card is refused.
const DECLINED_PERCENT: u64 = 2;
/// Of a hundred payments. The provider fails at first.
const FLAKY_PERCENT: u64 = 1;

/// Tokens of the built-in payment provider.
const OK: &str = "tok_ok";
const DECLINED: &str = "tok_declined";
const FLAKY: &str = "tok_flaky";

/// Baskets, and how many orders they become: after the last basket the first one comes again.
pub(super) struct Plan {
    stores: Names,
    households: Names,
    skus: Names,
    baskets: Vec<Basket>,
    orders: u32,
    all_ok: bool,
}

/// Names are places in the plan's lists: a run may hold a million of these.
struct Basket {
    id: Box<str>,
    store: u32,
    household: u32,
    items: Box<[Line]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    sku: u32,
    quantity: u32,
}

/// An order that is to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order<'a> {
    /// Differs from that of every other order of the run.
    pub(super) key: String,
    pub(super) store: &'a str,
    /// Its place among the plan's households.
    pub(super) household: usize,
    pub(super) items: Vec<(&'a str, u32)>,
    pub(super) payment_token: &'static str,
}

impl Plan {
    /// `all_ok`: no payment fails.
    pub(super) fn new(all_ok: bool) -> Plan {
        Plan {
            stores: Names::default(),
            households: Names::default(),
            skus: Names::default(),
            baskets: Vec::new(),
            orders: 0,
            all_ok,
        }
    }

    /// Adds a basket: one line a SKU, and no more of them than an order may have.
    pub(super) fn add(&mut self, basket: &baskets::Basket) {
        let mut items: Vec<Line> = Vec::with_capacity(basket.items.len().min(ITEMS_MAX));
        for item in &basket.items {
            let sku = self.skus.place(&item.sku);
            let quantity = item.quantity.min(Quantity::MAX);
            if let Some(line) = items.iter_mut().find(|line| line.sku == sku) {
                line.quantity = (line.quantity + quantity).min(Quantity::MAX);
            } else if items.len() < ITEMS_MAX {
                items.push(Line { sku, quantity });
            }
        }
        self.baskets.push(Basket {
            id: basket.basket.as_str().into(),
            store: self.stores.place(&basket.store),
            household: self.households.place(&basket.household),
            items: items.into(),
        });
    }

    /// Says how many orders the baskets become.
    pub(super) fn settle(&mut self, orders: u32) {
        self.orders = orders;
    }

    pub(super) fn baskets(&self) -> usize {
        self.baskets.len()
    }

    pub(super) fn orders(&self) -> u32 {
        self.orders
    }

    /// Everybody who orders.
    pub(super) fn households(&self) -> &[Arc<str>] {
        &self.households.names
    }

    /// The order of this number, from 0; `run` sets its keys apart from those of other runs.
    pub(super) fn order(&self, number: u32, run: &str) -> Order<'_> {
        let basket = self.basket(number);
        let items = basket.items.iter();
        Order {
            key: format!("{run}-{number}-{}", basket.id),
            store: self.stores.name(basket.store),
            household: basket.household as usize,
            items: items
                .map(|line| (self.skus.name(line.sku), line.quantity))
                .collect(),
            payment_token: self.payment_token(number),
        }
    }

    /// Pieces that the orders take, by store and SKU.
    pub(super) fn demand(&self) -> BTreeMap<&str, BTreeMap<&str, u64>> {
        let mut demand: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
        for number in 0..self.orders {
            let basket = self.basket(number);
            let store = demand.entry(self.stores.name(basket.store)).or_default();
            for line in &basket.items {
                *store.entry(self.skus.name(line.sku)).or_default() += u64::from(line.quantity);
            }
        }
        demand
    }

    fn basket(&self, number: u32) -> &Basket {
        &self.baskets[number as usize % self.baskets.len()]
    }

    /// Drawn by the basket and how often it came before, so that every run has the same failures.
    fn payment_token(&self, number: u32) -> &'static str {
        let round = number as usize / self.baskets.len();
        let name = format!("{}/{round}", self.basket(number).id);
        let digest = digest(&SHA256, name.as_bytes());
        let mut drawn = [0; 8];
        drawn.copy_from_slice(&digest.as_ref()[..8]);
        let drawn = u64::from_be_bytes(drawn) % 100;
        if self.all_ok || drawn >= DECLINED_PERCENT + FLAKY_PERCENT {
            OK
        } else if drawn < DECLINED_PERCENT {
            DECLINED
        } else {
            FLAKY
        }
    }
}

/// Names in the order of their first appearance, each kept once.
#[derive(Default)]
struct Names {
    names: Vec<Arc<str>>,
    places: HashMap<Arc<str>, u32>,
}

impl Names {
    fn place(&mut self, name: &str) -> u32 {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = u32::try_from(self.names.len()).expect("a run has far fewer names");
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.places.insert(name, place);
        place
    }

    fn name(&self, place: u32) -> &str {
        &self.names[place as usize]
    }
}

#[cfg(test)]
mod tests;
