use cqrs_es::test::{AggregateTestExecutor, TestFramework};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::aggregate::panic_of;

pub(super) fn id(number: u128) -> UserId {
    UserId::new(Uuid::from_u128(number))
}

/// Not a seal, but like one for the rules: equal for equal text.
pub(super) fn seal<T>(text: &str) -> Sealed<T> {
    Sealed::new(id(1).to_string(), text.as_bytes().to_vec())
}

pub(super) fn ada() -> Register {
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

pub(super) fn fold(events: impl IntoIterator<Item = Event>) -> User {
    let mut user = User::default();
    events.into_iter().for_each(|event| user.apply(event));
    user
}

fn renamed(name: &str) -> Command {
    Command::UpdateProfile(ProfileChange {
        name: Some(seal(name)),
        ..ProfileChange::default()
    })
}

fn without_phone() -> Command {
    Command::UpdateProfile(ProfileChange {
        phone: Some(None),
        ..ProfileChange::default()
    })
}

pub(super) fn from_to(from: &str, to: &str) -> ProfileChange {
    ProfileChange {
        email: Some(EmailChange {
            from: seal(from),
            to: seal(to),
        }),
        ..ProfileChange::default()
    }
}

fn address_added(text: &str) -> Event {
    Event::AddressAdded {
        address: seal(text),
    }
}

fn preferences_changed(notification_preferences: NotificationPreferences) -> Event {
    Event::PreferencesChanged {
        notification_preferences,
    }
}

fn erase_ada() -> Command {
    Command::Erase {
        email: Some(ada().email),
    }
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
        Command::AddAddress(seal("home")),
        Command::ChangePreferences(NotificationPreferences::NONE),
        Command::ChangePassword,
        Command::Deactivate,
        erase_ada(),
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
            email: None,
        }]);
    given([registered(ada())])
        .when(without_phone())
        .then_expect_events(vec![Event::Updated {
            name: ada().name,
            phone: None,
            email: None,
        }]);
}

#[test]
fn an_address_is_written_otherwise_without_moving_a_claim() {
    let otherwise = from_to("ada@example.org", "Ada@example.org");
    given([registered(ada())])
        .when(Command::UpdateProfile(otherwise))
        .then_expect_events(vec![Event::Updated {
            name: ada().name,
            phone: ada().phone,
            email: Some(seal("Ada@example.org")),
        }]);
    let same = from_to("ada@example.org", "ada@example.org");
    given([registered(ada())])
        .when(Command::UpdateProfile(same))
        .then_expect_events(vec![]);
}

#[test]
fn an_address_is_added_once_and_they_are_bounded() {
    given([registered(ada())])
        .when(Command::AddAddress(seal("home")))
        .then_expect_events(vec![address_added("home")]);
    given([registered(ada()), address_added("home")])
        .when(Command::AddAddress(seal("home")))
        .then_expect_events(vec![]);
    let added = (0..ADDRESSES_MAX).map(|number| address_added(&number.to_string()));
    let full: Vec<Event> = std::iter::once(registered(ada())).chain(added).collect();
    given(full.clone())
        .when(Command::AddAddress(seal("home")))
        .then_expect_error(Error::TooManyAddresses);
    given(full)
        .when(Command::AddAddress(seal("0")))
        .then_expect_events(vec![]);
}

#[test]
fn preferences_change_to_other_ones_only() {
    let (none, default) = (
        NotificationPreferences::NONE,
        NotificationPreferences::default(),
    );
    given([registered(ada())])
        .when(Command::ChangePreferences(none))
        .then_expect_events(vec![preferences_changed(none)]);
    given([registered(ada()), preferences_changed(none)])
        .when(Command::ChangePreferences(none))
        .then_expect_events(vec![]);
    // Who asks for what is the default keeps it, whatever becomes of the default.
    given([registered(ada())])
        .when(Command::ChangePreferences(default))
        .then_expect_events(vec![preferences_changed(default)]);
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
        Command::AddAddress(seal("home")),
        Command::ChangePreferences(NotificationPreferences::NONE),
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
fn whoever_is_there_is_erased_once() {
    for before in [vec![], vec![Event::Deactivated]] {
        let history = || std::iter::once(registered(ada())).chain(before.clone());
        given(history())
            .when(erase_ada())
            .then_expect_events(vec![Event::Erased]);
        // Where the address cannot be read any more.
        given(history())
            .when(Command::Erase { email: None })
            .then_expect_events(vec![Event::Erased]);
        given(history().chain([Event::Erased]))
            .when(Command::Erase { email: None })
            .then_expect_events(vec![]);
    }
}

#[test]
fn an_erased_user_changes_no_more_and_holds_nothing() {
    let history = || [registered(ada()), address_added("home"), Event::Erased];
    for command in [
        renamed("Ada"),
        Command::AssignRole { role: Role::Admin },
        Command::AddAddress(seal("home")),
        Command::ChangePreferences(NotificationPreferences::NONE),
        Command::ChangePassword,
        Command::Deactivate,
    ] {
        given(history())
            .when(command)
            .then_expect_error(Error::Erased);
    }
    given(history())
        .when(Command::Register(ada()))
        .then_expect_error(Error::AlreadyRegistered);
    let user = fold(history());
    assert_eq!((user.account(), user.active_role()), (None, None));
    assert_eq!(serde_json::to_string(&user).unwrap(), "\"erased\"");
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
        prop_oneof![Just("ada@example.org"), Just("countess@example.org")]
            .prop_map(|to| { Command::UpdateProfile(from_to("ada@example.org", to)) }),
        prop_oneof![Just("home"), Just("work")].prop_map(|text| Command::AddAddress(seal(text))),
        prop_oneof![
            Just(NotificationPreferences::NONE),
            Just(NotificationPreferences::default())
        ]
        .prop_map(Command::ChangePreferences),
        prop_oneof![Just(Role::Customer), Just(Role::Staff)]
            .prop_map(|role| Command::AssignRole { role }),
        Just(Command::ChangePassword),
        Just(Command::Deactivate),
        Just(erase_ada()),
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
