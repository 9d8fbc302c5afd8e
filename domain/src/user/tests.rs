use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::aggregate::panic_of;

fn id(number: u128) -> UserId {
    UserId::new(Uuid::from_u128(number))
}

/// Not a seal, but like one for the rules: equal for equal text.
fn seal<T>(text: &str) -> Sealed<T> {
    Sealed::new(id(1).to_string(), text.as_bytes().to_vec())
}

fn ada() -> Register {
    Register {
        user_id: id(1),
        email: seal("ada@example.org"),
        name: seal("Ada"),
        phone: Some(seal("+4930123456")),
        role: Role::Customer,
    }
}

fn given(events: impl IntoIterator<Item = Event>) -> AggregateTestExecutor<User> {
    TestFramework::with(()).given(events.into_iter().collect())
}

fn fold(events: impl IntoIterator<Item = Event>) -> User {
    let mut user = User::default();
    events.into_iter().for_each(|event| user.apply(event));
    user
}

fn renamed(name: &str) -> Command {
    Command::UpdateProfile(ProfileChange {
        name: Some(seal(name)),
        phone: None,
    })
}

fn without_phone() -> Command {
    Command::UpdateProfile(ProfileChange {
        name: None,
        phone: Some(None),
    })
}

#[test]
fn a_user_registers_once() {
    given([])
        .when(Command::Register(ada()))
        .then_expect_events(vec![registered(ada())]);
    given([registered(ada())])
        .when(Command::Register(ada()))
        .then_expect_error(Error::AlreadyRegistered);
}

#[test]
fn who_is_not_registered_cannot_be_changed() {
    for command in [
        renamed("Ada L."),
        Command::AssignRole { role: Role::Staff },
        Command::ChangePassword,
        Command::Deactivate,
    ] {
        given([]).when(command).then_expect_error(Error::NotFound);
    }
}

#[test]
fn an_update_records_name_and_phone_as_they_are_now() {
    given([registered(ada())])
        .when(renamed("Ada L."))
        .then_expect_events(vec![Event::Updated {
            name: seal("Ada L."),
            phone: ada().phone,
        }]);
    given([registered(ada())])
        .when(without_phone())
        .then_expect_events(vec![Event::Updated {
            name: ada().name,
            phone: None,
        }]);
}

#[test]
fn an_update_with_the_same_values_changes_nothing() {
    given([registered(ada())])
        .when(renamed("Ada"))
        .then_expect_events(vec![]);
    given([registered(ada())])
        .when(Command::UpdateProfile(ProfileChange::default()))
        .then_expect_events(vec![]);
}

#[test]
fn a_role_changes_to_another_one_only() {
    given([registered(ada())])
        .when(Command::AssignRole { role: Role::Staff })
        .then_expect_events(vec![Event::RoleAssigned { role: Role::Staff }]);
    given([registered(ada())])
        .when(Command::AssignRole {
            role: Role::Customer,
        })
        .then_expect_events(vec![]);
}

#[test]
fn a_password_change_is_noted_each_time() {
    given([registered(ada()), Event::PasswordChanged])
        .when(Command::ChangePassword)
        .then_expect_events(vec![Event::PasswordChanged]);
}

#[test]
fn a_deactivated_user_changes_no_more() {
    let deactivated = || given([registered(ada()), Event::Deactivated]);
    given([registered(ada())])
        .when(Command::Deactivate)
        .then_expect_events(vec![Event::Deactivated]);
    deactivated()
        .when(Command::Deactivate)
        .then_expect_events(vec![]);
    for command in [
        renamed("Ada"),
        Command::AssignRole { role: Role::Admin },
        Command::ChangePassword,
    ] {
        deactivated()
            .when(command)
            .then_expect_error(Error::Deactivated);
    }
    deactivated()
        .when(Command::Register(ada()))
        .then_expect_error(Error::AlreadyRegistered);
}

#[test]
fn only_active_users_have_a_role_to_act_in() {
    assert_eq!(User::default().active_role(), None);
    assert_eq!(
        fold([registered(ada())]).active_role(),
        Some(Role::Customer)
    );
    assert_eq!(
        fold([registered(ada()), Event::Deactivated]).active_role(),
        None
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

#[test]
fn an_impossible_history_is_named() {
    let message = panic_of::<User>(vec![
        registered(ada()),
        Event::Deactivated,
        Event::RoleAssigned { role: Role::Admin },
    ]);
    assert!(
        message.contains("user.role-assigned recorded while Deactivated"),
        "{message}"
    );
}

fn any_command() -> impl Strategy<Value = Command> {
    prop_oneof![
        Just(Command::Register(ada())),
        prop_oneof![Just("Ada"), Just("Ada L.")].prop_map(renamed),
        Just(without_phone()),
        prop_oneof![Just(Role::Customer), Just(Role::Staff)]
            .prop_map(|role| Command::AssignRole { role }),
        Just(Command::ChangePassword),
        Just(Command::Deactivate),
    ]
}

proptest! {
    #[test]
    fn what_is_decided_can_be_applied_stored_and_folded_again(commands in proptest::collection::vec(any_command(), 0..20)) {
        let (mut user, mut history) = (User::default(), Vec::new());
        for command in commands {
            for event in user.decide(command).unwrap_or_default() {
                user.apply(event.clone());
                history.push(event);
            }
            let snapshot = serde_json::to_string(&user).unwrap();
            prop_assert_eq!(&serde_json::from_str::<User>(&snapshot).unwrap(), &user);
        }
        prop_assert_eq!(fold(history), user);
    }
}
