//! A file's text, as profiles. What is wrong is told with the place where it is.

use super::keys::{Folders, Key, Kind, SECRET, seems_secret, store_option};
use super::{KEYS, NONE, Profile};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What a file says.
#[derive(Debug)]
pub(super) struct Read {
    /// The name of the profile that is taken if nobody says which.
    pub(super) default: Option<String>,
    pub(super) profiles: Vec<Profile>,
}

/// What is wrong, behind the byte at which that is.
type Wrong = (usize, String);

/// Reads the text of the file at `path`.
pub(super) fn read(text: &str, path: &Path, home: Option<&OsStr>) -> Result<Read, Wrong> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        (at, format!("this is no TOML: {}", error.message()))
    })?;
    let file = path.parent().unwrap_or(Path::new(""));
    let folders = Folders { file, home: home.map(Path::new) };
    let mut read = Read { default: None, profiles: Vec::new() };
    let mut default_at = 0;
    for (key, value) in in_order(table.get_ref()) {
        let at = key.span().start;
        match (&**key.get_ref(), value.get_ref()) {
            ("default", DeValue::String(name)) => {
                (read.default, default_at) = (Some(name.to_string()), at);
            }
            ("default", _) => {
                return Err((at, "`default`: it has to be the name of a profile".to_owned()));
            }
            ("profile", DeValue::Table(profiles)) => {
                for (name, value) in in_order(profiles) {
                    read.profiles.push(profile(name, value, folders)?);
                }
            }
            ("profile", _) => {
                return Err((at, "`profile`: profiles are tables, [profile.NAME]".to_owned()));
            }
            (key, _) => {
                let why = format!("`{key}`: {}", unknown(key, "`default` and [profile.NAME]"));
                return Err((at, why));
            }
        }
    }
    let names: Vec<&str> = read.profiles.iter().map(|profile| &*profile.name).collect();
    match &read.default {
        Some(name) if !names.contains(&&**name) => {
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Err((default_at, format!("`default`: there is no profile `{name}`; there is {known}")))
        }
        _ => Ok(read),
    }
}

/// What a table has, in the order of the file.
fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>)> {
    let mut all: Vec<_> = table.iter().collect();
    all.sort_by_key(|(key, _)| key.span().start);
    all
}

fn unknown(key: &str, allowed: &str) -> String {
    match seems_secret(key) {
        true => SECRET.to_owned(),
        false => format!("there is no such key; there are {allowed}"),
    }
}

fn profile(
    name: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    folders: Folders<'_>,
) -> Result<Profile, Wrong> {
    let at = name.span().start;
    let name = name.get_ref().to_string();
    let Some(table) = value.get_ref().as_table() else {
        return Err((at, format!("`profile.{name}`: a profile is a table, [profile.{name}]")));
    };
    if name == NONE {
        let why =
            format!("`profile.{NONE}`: this name is for taking no profile; name it otherwise");
        return Err((at, why));
    }
    let mut profile = Profile { name, settings: Vec::new() };
    for (key, value) in in_order(table) {
        let at = key.span().start;
        let shown = format!("profile.{}.{}", profile.name, key.get_ref());
        let wrong = |why: String| (at, format!("`{shown}`: {why}"));
        let Some(known) = KEYS.iter().find(|known| known.name == &**key.get_ref()) else {
            let allowed: Vec<&str> = KEYS.iter().map(|known| known.name).collect();
            return Err(wrong(unknown(key.get_ref(), &allowed.join(", "))));
        };
        profile.settings.push((known.name, values(known, &shown, at, value, folders)?));
    }
    Ok(profile)
}

/// The values of a key.
fn values(
    key: &Key,
    shown: &str,
    at: usize,
    value: &Spanned<DeValue<'_>>,
    folders: Folders<'_>,
) -> Result<Vec<OsString>, Wrong> {
    match (key.kind, value.get_ref().as_table()) {
        (Kind::StoreOptions, Some(table)) => {
            let option = |(name, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<_>)| {
                let option = store_option(name.get_ref(), value.get_ref());
                let wrong =
                    |why| (name.span().start, format!("`{shown}.{}`: {why}", name.get_ref()));
                option.map_err(wrong)
            };
            in_order(table).into_iter().map(option).collect()
        }
        (kind, _) => {
            let read = kind.read(value.get_ref(), folders);
            read.map_err(|why| (at, format!("`{shown}`: {why}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Read, Wrong> {
        read(text, Path::new("/project/windrow.toml"), Some(OsStr::new("/of/user")))
    }

    /// What the profile `a` says for a key.
    fn said(text: &str, key: &str) -> Vec<OsString> {
        let read = of(&format!("[profile.a]\n{text}\n")).unwrap();
        read.profiles[0].values(key).to_vec()
    }

    #[test]
    fn values_are_as_on_a_command_line() {
        for (text, key, values) in [
            ("cluster = \"one:1,[::1]:2\"", "cluster", &["one:1,[::1]:2"][..]),
            ("security = \"admin\"", "security", &["/project/admin"]),
            ("security = \"/etc/admin\"", "security", &["/etc/admin"]),
            ("security = \"~/admin\"", "security", &["/of/user/admin"]),
            ("scratch = \"s\"", "scratch", &["/project/s"]),
            ("scratch = [\"/a\", \"b\"]", "scratch", &["/a", "/project/b"]),
            ("memory = \"4GiB\"", "memory", &["4GiB"]),
            ("memory = 1000", "memory", &["1000"]),
            ("threads = 8", "threads", &["8"]),
            ("task_timeout = 90", "task_timeout", &["90"]),
            ("log_format = \"json\"", "log_format", &["json"]),
            ("log = \"windrow=debug\"", "log", &["windrow=debug"]),
            (
                "store_options = { aws_region = \"x\", allow_http = true, max_retries = 3 }",
                "store_options",
                &["aws_region=x", "allow_http=true", "max_retries=3"],
            ),
            ("", "memory", &[]),
        ] {
            assert_eq!(said(text, key), values, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (text, key, says) in [
            ("clutser = \"one:1\"", "profile.a.clutser", "there are cluster, security,"),
            ("cluster = 7077", "profile.a.cluster", "has to be a text"),
            ("cluster = \"one\"", "profile.a.cluster", "HOST:PORT"),
            ("security = true", "profile.a.security", "a folder, as in \"admin\", and is true"),
            ("security = \"\"", "profile.a.security", "empty"),
            ("scratch = [1]", "profile.a.scratch", "list"),
            ("memory = \"much\"", "profile.a.memory", "4GiB"),
            ("memory = 1.5", "profile.a.memory", "4GiB"),
            ("threads = 0", "profile.a.threads", "from 1 to 1024, and is the number 0"),
            ("threads = \"8\"", "profile.a.threads", "whole number"),
            ("task_timeout = -1", "profile.a.task_timeout", "1 or more"),
            ("log_format = \"xml\"", "profile.a.log_format", "\"text\" or \"json\""),
            ("log = \"a=b=c\"", "profile.a.log", "what to log"),
            ("store_options = \"x\"", "profile.a.store_options", "a table"),
            ("store_options = { aws_regoin = \"x\" }", ".aws_regoin", "aws_region"),
            ("store_options = { aws_region = [] }", ".aws_region", "a list"),
        ] {
            let (at, why) = of(&format!("# text\n[profile.a]\n{text}\n")).unwrap_err();
            assert!(why.contains(&format!("{key}`: ")) && why.contains(says), "{text}: {why}");
            assert!(at > "# text\n[profile.a]".len(), "{text}: {at}");
        }
        for (text, says) in [
            ("profiles = 1", "`profiles`: there is no such key; there are `default`"),
            ("default = 1", "`default`: it has to be"),
            ("default = \"b\"\n[profile.a]", "no profile `b`; there is a"),
            ("profile = 1", "[profile.NAME]"),
            ("[profile]\na = 1", "`profile.a`: a profile is a table"),
            ("[profile.none]", "taking no profile"),
            ("[profile.a", "no TOML"),
        ] {
            let (_, why) = of(text).unwrap_err();
            assert!(why.contains(says), "{text}: {why}");
        }
    }

    #[test]
    fn secrets_are_refused_and_not_repeated() {
        for text in [
            "token = \"hush\"",
            "aws_secret_access_key = \"hush\"",
            "password = \"hush\"",
            "store_options = { aws_secret_access_key = \"hush\" }",
            "store_options = { aws_session_token = \"hush\" }",
            "store_options = { proxy_url = \"http://me:hush@proxy\" }",
            "store_options = { aws_endpoint_url = \"http://me:hush@store/x\" }",
        ] {
            let (_, why) = of(&format!("[profile.a]\n{text}\n")).unwrap_err();
            assert!(why.contains("secret") && why.contains("stores.ini"), "{why}");
            assert!(!why.contains("hush"), "{why}");
        }
    }
}
