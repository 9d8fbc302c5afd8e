use cqrs_es::Aggregate;

use super::*;
use crate::user::registered;
use crate::user::tests::{ada, fold, from_to, id, seal};

#[test]
fn another_address_moves_the_claim_in_the_same_breath() {
    let user = fold([registered(ada())]);
    let own = EmailClaim::Claimed { user_id: id(1) };
    let change = || from_to("ada@example.org", "countess@example.org");
    let updated = Event::Updated {
        name: ada().name,
        phone: ada().phone,
        email: Some(seal("countess@example.org")),
    };
    assert_eq!(
        change_email(&user, &own, &EmailClaim::Free, id(1), change()),
        Ok((
            vec![updated],
            vec![email_claim::Event::Released],
            vec![email_claim::Event::Claimed { user_id: id(1) }],
        ))
    );
    let others = EmailClaim::Claimed { user_id: id(2) };
    assert_eq!(
        change_email(&user, &own, &others, id(1), change()),
        Err(Error::EmailTaken)
    );
}

#[test]
fn a_change_from_an_address_that_was_left_meanwhile_is_worked_out_again() {
    let user = fold([
        registered(ada()),
        Event::Updated {
            name: ada().name,
            phone: None,
            email: Some(seal("countess@example.org")),
        },
    ]);
    let stale = from_to("ada@example.org", "lovelace@example.org");
    let (own, free) = (EmailClaim::Claimed { user_id: id(1) }, EmailClaim::Free);
    assert_eq!(
        change_email(&user, &own, &free, id(1), stale),
        Err(Error::EmailMoved)
    );
    assert_eq!(
        erase(&user, &own, id(1), ada().email),
        Err(Error::EmailMoved)
    );
}

#[test]
fn erasing_frees_the_address_in_the_same_breath() {
    let user = fold([registered(ada())]);
    let own = EmailClaim::Claimed { user_id: id(1) };
    assert_eq!(
        erase(&user, &own, id(1), ada().email),
        Ok((vec![Event::Erased], vec![email_claim::Event::Released]))
    );
    // By then it may be somebody else's.
    let others = EmailClaim::Claimed { user_id: id(2) };
    assert_eq!(
        erase(&User::Erased, &others, id(1), ada().email),
        Ok((vec![], vec![]))
    );
}

#[test]
fn registering_claims_the_address_in_the_same_breath() {
    assert_eq!(
        register(&User::default(), &EmailClaim::default(), ada()),
        Ok((
            vec![registered(ada())],
            vec![email_claim::Event::Claimed { user_id: id(1) }]
        ))
    );
}

#[test]
fn an_address_of_another_user_is_refused() {
    let taken = EmailClaim::Claimed { user_id: id(2) };
    assert_eq!(
        register(&User::default(), &taken, ada()),
        Err(Error::EmailTaken)
    );
}

#[test]
fn a_deactivated_user_keeps_the_address() {
    let (user_events, claim_events) =
        register(&User::default(), &EmailClaim::default(), ada()).unwrap();
    let mut user = fold(user_events);
    let mut claim = EmailClaim::default();
    claim_events
        .into_iter()
        .for_each(|event| claim.apply(event));
    user.decide(Command::Deactivate)
        .unwrap()
        .into_iter()
        .for_each(|event| user.apply(event));

    let newcomer = Register {
        user_id: id(2),
        ..ada()
    };
    assert_eq!(
        register(&User::default(), &claim, newcomer),
        Err(Error::EmailTaken)
    );
}

#[test]
fn a_released_address_registers_again() {
    let mut claim = EmailClaim::Claimed { user_id: id(2) };
    claim.apply(email_claim::Event::Released);
    assert!(register(&User::default(), &claim, ada()).is_ok());
}
