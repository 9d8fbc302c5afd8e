//! Which product a SKU belongs to. One stream a SKU, written together with the product's.
//!
//! Invariant: a SKU belongs to one product, for good; a discontinued product keeps it, so that old orders stay readable.

use cqrs_es::Aggregate;
use cqrs_es::event_sink::EventSink;
use serde::{Deserialize, Serialize};

use crate::ProductId;
use crate::aggregate::{event_types, illegal, write};

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Take the SKU for a product.
    Claim {
        /// The product that is to have it.
        product_id: ProductId,
    },
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// The SKU belongs to this product from now on.
    #[serde(rename = "sku.claimed")]
    Claimed {
        /// The product that has it.
        product_id: ProductId,
    },
}

event_types! {
    Claimed = "sku.claimed" "1.0",
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Error {
    /// Another product has it.
    #[error("sku belongs to product {product_id}")]
    Taken {
        /// The product that has it.
        product_id: ProductId,
    },
}

/// Shape of a snapshot of [`SkuClaim`]; changes whenever its serialised form does.
pub const SHAPE: &str = "sku-1";

/// Whose the SKU is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkuClaim {
    /// Nobody's so far.
    #[default]
    Free,
    /// This product's, for good.
    Claimed {
        /// The product that has it.
        product_id: ProductId,
    },
}

impl SkuClaim {
    /// The product that has the SKU.
    #[must_use]
    pub fn holder(&self) -> Option<ProductId> {
        match self {
            SkuClaim::Free => None,
            SkuClaim::Claimed { product_id } => Some(*product_id),
        }
    }

    /// # Errors
    /// [`Error::Taken`] where another product has it. Claiming one's own again changes nothing.
    pub fn decide(&self, command: Command) -> Result<Vec<Event>, Error> {
        match (self, command) {
            (SkuClaim::Free, Command::Claim { product_id }) => {
                Ok(vec![Event::Claimed { product_id }])
            }
            (SkuClaim::Claimed { product_id: holder }, Command::Claim { product_id })
                if *holder == product_id =>
            {
                Ok(vec![])
            }
            (SkuClaim::Claimed { product_id }, Command::Claim { .. }) => Err(Error::Taken {
                product_id: *product_id,
            }),
        }
    }
}

impl Aggregate for SkuClaim {
    const TYPE: &'static str = "sku";
    type Command = Command;
    type Event = Event;
    type Error = Error;
    type Services = ();

    async fn handle(
        &mut self,
        command: Command,
        (): &(),
        sink: &EventSink<Self>,
    ) -> Result<(), Error> {
        let decided = self.decide(command);
        write(self, decided, sink).await
    }

    fn apply(&mut self, event: Event) {
        match (&*self, event) {
            (SkuClaim::Free, Event::Claimed { product_id }) => {
                *self = SkuClaim::Claimed { product_id }
            }
            (state @ SkuClaim::Claimed { .. }, event) => illegal(state, &event),
        }
    }
}

#[cfg(test)]
mod tests {
    use cqrs_es::test::TestFramework;
    use uuid::Uuid;

    use super::*;
    use crate::aggregate::panic_of;

    fn product(number: u128) -> ProductId {
        ProductId::new(Uuid::from_u128(number))
    }

    fn claimed_by(number: u128) -> Event {
        Event::Claimed {
            product_id: product(number),
        }
    }

    #[test]
    fn a_free_sku_is_claimed() {
        TestFramework::<SkuClaim>::with(())
            .given_no_previous_events()
            .when(Command::Claim {
                product_id: product(1),
            })
            .then_expect_events(vec![claimed_by(1)]);
    }

    #[test]
    fn claiming_it_again_for_the_same_product_changes_nothing() {
        TestFramework::<SkuClaim>::with(())
            .given(vec![claimed_by(1)])
            .when(Command::Claim {
                product_id: product(1),
            })
            .then_expect_events(vec![]);
    }

    #[test]
    fn another_product_does_not_get_it() {
        TestFramework::<SkuClaim>::with(())
            .given(vec![claimed_by(1)])
            .when(Command::Claim {
                product_id: product(2),
            })
            .then_expect_error(Error::Taken {
                product_id: product(1),
            });
    }

    #[test]
    fn an_impossible_history_is_named() {
        let message = panic_of::<SkuClaim>(vec![claimed_by(1), claimed_by(2)]);
        assert!(
            message.contains("sku.claimed recorded while Claimed"),
            "{message}"
        );
    }
}
