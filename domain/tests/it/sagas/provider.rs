//! A payment provider with a durable record: one charge and one refund under a key at most, the same answer every time it
//! is asked, and a charge that comes after its refund declined for good.

use std::collections::BTreeMap;

use domain::PaymentId;

#[derive(Default)]
pub struct Provider {
    accounts: BTreeMap<PaymentId, Account>,
}

/// What was done under a key.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    pub charged: u32,
    pub refunded: u32,
    is_closed: bool,
}

/// A call of the provider, from the moment in which it is made until its answer is written down or lost.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Of which order, by its place.
    pub order: usize,
    pub is_refund: bool,
    /// None before the provider has got it.
    pub answer: Option<Answer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Charged,
    Declined,
    Refunded,
    NothingCharged,
    /// None that counts.
    Unavailable,
}

/// What becomes of a call that reaches the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It does what it is asked.
    Willing,
    /// It declines what it is asked for the first time; it gives back all the same.
    Strict,
    /// It fails before it has done anything.
    Failing,
    /// It does what it is asked and fails to say so.
    Mute,
}

impl Provider {
    pub fn account(&self, key: PaymentId) -> Account {
        self.accounts.get(&key).copied().unwrap_or_default()
    }

    pub fn answer(&mut self, key: PaymentId, is_refund: bool, mood: Mood) -> Answer {
        if mood == Mood::Failing {
            return Answer::Unavailable;
        }
        let account = self.accounts.entry(key).or_default();
        let answer = if is_refund {
            account.refund()
        } else {
            account.charge(mood == Mood::Strict)
        };
        if mood == Mood::Mute {
            return Answer::Unavailable;
        }
        answer
    }
}

impl Account {
    fn charge(&mut self, is_strict: bool) -> Answer {
        if self.charged == 0 {
            self.is_closed |= is_strict;
            if self.is_closed {
                return Answer::Declined;
            }
            self.charged += 1;
        }
        Answer::Charged
    }

    fn refund(&mut self) -> Answer {
        if self.charged == 0 {
            self.is_closed = true;
            return Answer::NothingCharged;
        }
        if self.refunded == 0 {
            self.refunded += 1;
        }
        Answer::Refunded
    }
}
