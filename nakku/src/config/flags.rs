//! Settings on the command line.

use clap::{Arg, ArgAction, ArgMatches};

use super::Flags;
use super::settings::{SETTINGS, Scope};

/// The flags of all settings in a scope.
pub fn flag_arguments(scope: Scope) -> impl Iterator<Item = Arg> {
    SETTINGS
        .iter()
        .filter(move |setting| setting.scope == scope)
        .filter_map(move |setting| {
            let flag = setting.flag?;
            let argument = Arg::new(setting.name)
                .long(flag)
                .help(format!("{} [env: {}]", setting.help, setting.variable))
                .help_heading("Settings")
                .global(scope == Scope::Every);
            Some(if setting.is_switch_off() {
                argument.action(ArgAction::SetTrue)
            } else {
                argument
                    .value_name(setting.value_name)
                    .action(ArgAction::Set)
            })
        })
}

/// The settings that were given as flags.
pub fn flags_of(matches: &ArgMatches) -> Flags {
    let mut flags = Flags::new();
    for setting in SETTINGS {
        if setting.is_switch_off() {
            if let Ok(Some(true)) = matches.try_get_one::<bool>(setting.name) {
                flags.insert(setting.name, false.to_string());
            }
        } else if let Ok(Some(text)) = matches.try_get_one::<String>(setting.name) {
            flags.insert(setting.name, text.clone());
        }
    }
    flags
}
