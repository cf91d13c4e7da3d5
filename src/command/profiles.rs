//! `--profile`, and what a profile of `windrow.toml` says, as defaults of flags: a flag comes before its variable, and both
//! before the file.

use crate::config::{ConfigError, Configuration, KEYS, Key, Place, Profile};
use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use std::ffi::OsString;
use std::path::PathBuf;

/// The id of the flag. A job may have an argument called `profile`.
const FLAG: &str = "windrow_profile";

/// Its name.
const LONG: &str = "profile";

/// Its name where a job has a flag of that one.
const OTHER_LONG: &str = "windrow-profile";

/// The commands that take something from a profile. Services are told by their own flags alone.
const TAKERS: [&str; 11] = [
    "run", "cluster", "jobs", "generate", "inspect", "verify", "top", "events", "explain",
    "replay", "doctor",
];

/// Commands below those that take nothing: their `--security` is another folder.
const NO_TAKERS: [&str; 2] = ["init", "token"];

/// Flags that want a cluster, of a command that has one.
const OF_CLUSTERS: [&str; 4] = ["binary", "detach", "submit_once", "task_timeout"];

/// Those of them that mean nothing over local workers.
const OF_CLUSTERS_ONLY: [&str; 3] = ["binary", "detach", "submit_once"];

/// Gives all commands that take something from a profile the flag that names one. A job that has a flag `--profile` itself
/// keeps it: ours has another name there.
pub(super) fn with_flag(command: Command) -> Command {
    let flag = Arg::new(FLAG)
        .long(LONG)
        .value_name("NAME")
        .env("WINDROW_PROFILE")
        .hide_env_values(true)
        .help("The profile of windrow.toml, for what no flag says; `none` for none [default: the file's own]");
    let command = command.arg(flag.clone());
    command.mut_subcommands(|sub| if is_taker(&sub) { taking(sub, &flag, false) } else { sub })
}

/// As [`with_flag`], for a command and those below it. It takes something if it has a flag that a key stands for, or is below one
/// that has one for all that are.
fn taking(command: Command, flag: &Arg, inherits: bool) -> Command {
    let is_key = |arg: &&Arg| KEYS.iter().any(|key| key.flag.is_some_and(|id| arg.get_id() == id));
    let takes = command.get_arguments().any(|arg| is_key(&arg));
    let inherits =
        inherits || command.get_arguments().filter(is_key).any(|arg| arg.is_global_set());
    let own = |arg: &Arg| {
        let aliases = arg.get_all_aliases().unwrap_or_default();
        arg.get_long() == Some(LONG) || aliases.contains(&LONG)
    };
    let of_below = if command.get_name() == "run" {
        flag.clone().help_heading("Options of every job")
    } else {
        flag.clone()
    };
    let command = command.mut_subcommands(|sub| match NO_TAKERS.contains(&sub.get_name()) {
        true => sub,
        false => taking(sub, &of_below, inherits),
    });
    let below = command.get_subcommands().any(|sub| sub.get_arguments().any(is_ours));
    if command.get_arguments().any(own) {
        command.arg(flag.clone().long(OTHER_LONG))
    } else if takes || inherits || below {
        command.arg(flag.clone())
    } else {
        command
    }
}

fn is_ours(arg: &Arg) -> bool {
    arg.get_id() == FLAG
}

fn is_taker(command: &Command) -> bool {
    TAKERS.contains(&command.get_name())
}

/// The configuration for a command line; none for one that takes nothing from it, or that asks for help.
pub(super) fn configuration(command: Command) -> Result<Configuration, ConfigError> {
    // What is wrong with it is told when it is parsed with the profile.
    let Ok(matches) = command.ignore_errors(true).try_get_matches() else {
        return Ok(Configuration::default());
    };
    let levels = levels(&matches);
    let takes = levels.len() > 1
        && levels.last().is_some_and(|last| last.try_get_one::<String>(FLAG).is_ok());
    if !takes {
        return Ok(Configuration::default());
    }
    let environment = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let place = Place { folder, environment: &environment };
    Configuration::find(&place, named(&levels).as_deref())
}

/// What was matched of a command, the one below, and so on.
fn levels(matches: &ArgMatches) -> Vec<&ArgMatches> {
    let mut levels = vec![matches];
    while let Some((_, below)) = levels.last().and_then(|last| last.subcommand()) {
        levels.push(below);
    }
    levels
}

/// The profile that a command line names, or else the environment.
fn named(levels: &[&ArgMatches]) -> Option<String> {
    let of = |source: ValueSource| {
        levels.iter().rev().find_map(|level| {
            let said = level.try_get_one::<String>(FLAG).ok().flatten();
            said.filter(|_| level.value_source(FLAG) == Some(source)).cloned()
        })
    };
    let said = of(ValueSource::CommandLine).or_else(|| of(ValueSource::EnvVariable));
    said.filter(|name| !name.is_empty())
}

/// The commands, with what a profile says as the defaults of their flags.
pub(super) fn with_defaults(command: Command, profile: &Profile) -> Command {
    command.mut_subcommands(|sub| if is_taker(&sub) { defaults(sub, profile) } else { sub })
}

fn defaults(mut command: Command, profile: &Profile) -> Command {
    let has = |command: &Command, id: &str| command.get_arguments().any(|arg| arg.get_id() == id);
    for Key { name, flag, .. } in KEYS {
        let Some(flag) = flag.filter(|flag| has(&command, flag)) else { continue };
        match profile.values(name) {
            [] => {}
            values => {
                let values: Vec<&'static std::ffi::OsStr> = values.iter().map(lasting).collect();
                command = command.mut_arg(flag, |arg| arg.default_values(values));
            }
        }
    }
    // A default is no flag for clap: what wants `--cluster` would not see it.
    if !profile.values("cluster").is_empty() && has(&command, "cluster") {
        for id in OF_CLUSTERS {
            if has(&command, id) {
                command = command.mut_arg(id, |arg| arg.requires(Resettable::Reset));
            }
        }
        for id in OF_CLUSTERS_ONLY {
            if has(&command, id) {
                command = command.mut_arg(id, |arg| arg.conflicts_with("workers"));
            }
        }
    }
    command.mut_subcommands(|sub| match NO_TAKERS.contains(&sub.get_name()) {
        true => sub,
        false => defaults(sub, profile),
    })
}

/// Texts of flags live as long as the process, for clap.
fn lasting(value: &OsString) -> &'static std::ffi::OsStr {
    Box::leak(value.clone().into_boxed_os_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command line with two jobs, one of which has a flag `--profile` itself.
    fn commands() -> Command {
        let own = Command::new("plain")
            .arg(Arg::new("cluster").long("cluster"))
            .arg(Arg::new("workers").long("workers").conflicts_with("cluster"))
            .arg(Arg::new("detach").long("detach").num_args(0).requires("cluster"));
        let other = Command::new("fussy").arg(Arg::new("profile").long("profile"));
        let run = Command::new("run").subcommand(own).subcommand(other);
        let token = Command::new("token").arg(Arg::new("security").long("security"));
        let cluster = Command::new("cluster").subcommand(token);
        let new = Command::new("new").arg(Arg::new("cluster").long("cluster"));
        with_flag(Command::new("windrow").subcommand(run).subcommand(cluster).subcommand(new))
    }

    fn name(line: &str) -> Option<String> {
        let matches = commands().try_get_matches_from(line.split(' ')).unwrap();
        named(&levels(&matches))
    }

    #[test]
    fn the_flag_may_be_at_any_command_and_a_jobs_own_is_its_own() {
        commands().debug_assert();
        assert_eq!(name("windrow run plain"), None);
        assert_eq!(name("windrow --profile a run plain").as_deref(), Some("a"));
        assert_eq!(name("windrow run --profile a plain").as_deref(), Some("a"));
        assert_eq!(name("windrow run plain --profile a").as_deref(), Some("a"));
        assert_eq!(name("windrow --profile a run plain --profile b").as_deref(), Some("b"));
        assert_eq!(name("windrow run fussy --profile mine"), None);
        assert_eq!(name("windrow run --profile a fussy --profile mine").as_deref(), Some("a"));
        assert_eq!(
            name("windrow run fussy --profile mine --windrow-profile a").as_deref(),
            Some("a")
        );
        assert!(commands().try_get_matches_from(["windrow", "new", "--profile", "a"]).is_err());
    }

    #[test]
    fn a_profile_is_no_flag_and_comes_after_all_flags() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[profile.default]\ncluster = \"one:1\"\nsecurity = \"admin\"\n";
        std::fs::write(folder.path().join("windrow.toml"), text).unwrap();
        let place = Place { folder: folder.path().to_path_buf(), environment: &|_| None };
        let profile = Configuration::find(&place, None).unwrap().profile.unwrap();
        let of = |line: &str| {
            let command = with_defaults(commands(), &profile);
            let matches = command.try_get_matches_from(line.split(' '));
            let matches = matches.map_err(|error| error.kind())?;
            let (_, below) = matches.subcommand().unwrap();
            let below = below.subcommand().map_or(below, |(_, below)| below);
            let of = |id| below.try_get_one::<String>(id).ok().flatten().cloned();
            Ok((of("cluster"), of("workers"), of("security")))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of("windrow run plain"), Ok((some("one:1"), None, None)));
        assert_eq!(of("windrow run plain --cluster b"), Ok((some("b"), None, None)));
        assert_eq!(of("windrow run plain --workers 2"), Ok((some("one:1"), some("2"), None)));
        assert_eq!(of("windrow run plain --detach"), Ok((some("one:1"), None, None)));
        let conflict = clap::error::ErrorKind::ArgumentConflict;
        assert_eq!(of("windrow run plain --detach --workers 2"), Err(conflict));
        // What is another cluster's, or of a command that takes nothing.
        assert_eq!(of("windrow cluster token"), Ok((None, None, None)));
        assert_eq!(of("windrow new"), Ok((None, None, None)));
    }
}
