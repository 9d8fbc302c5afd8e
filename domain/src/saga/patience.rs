//! How long a saga waits.

use std::time::Duration;

/// What the saga gives the participants. Times, not rules: an operator may set them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the payment provider's answer, once; then the payment is called off.
    pub payment: Duration,
    /// For every other answer at first; doubled with each try.
    pub reply: Duration,
}

/// A wait is doubled up to this.
const REPLY_MAX: Duration = Duration::from_secs(300);

impl Default for Patience {
    /// Longer than the provider may take for a call and its repetition; and long enough that a participant which is
    /// behind, not gone, is not asked twice.
    fn default() -> Self {
        Self {
            payment: Duration::from_secs(30),
            reply: Duration::from_secs(30),
        }
    }
}

impl Patience {
    pub(crate) fn of(&self, is_charge: bool, tries: u32) -> Duration {
        if is_charge {
            return self.payment;
        }
        let doubled = 1_u32
            .checked_shl(tries.saturating_sub(1))
            .unwrap_or(u32::MAX);
        self.reply
            .saturating_mul(doubled)
            .min(REPLY_MAX.max(self.reply))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_every_try_but_for_the_payment() {
        let patience = Patience::default();
        let seconds = |is_charge, tries| patience.of(is_charge, tries).as_secs();
        assert_eq!(
            [1, 2, 3, 4, 5, 9].map(|tries| seconds(false, tries)),
            [30, 60, 120, 240, 300, 300]
        );
        assert_eq!([1, 2].map(|tries| seconds(true, tries)), [30, 30]);
    }
}
