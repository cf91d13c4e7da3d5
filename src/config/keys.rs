//! What a profile may say: its keys, and what their values are.

use crate::command::quantity;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use toml::de::DeValue;
use windrow_datasets::storage::{StoreOption, StoreOptionError};

/// A key of profiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    /// Its name in the file.
    pub(crate) name: &'static str,
    /// The id of the flag that it stands for; none for what concerns the process itself.
    pub(crate) flag: Option<&'static str>,
    /// What its value is.
    pub(super) kind: Kind,
}

/// What the value of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The addresses of coordinators, with commas between.
    Addresses,
    /// A text.
    Text,
    /// A folder.
    Folder,
    /// A folder, or a list of folders.
    Folders,
    /// A number of bytes.
    Size,
    /// A whole number from 1 to this one.
    Number(i64),
    /// What is logged.
    Filter,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A table of options of stores.
    StoreOptions,
}

const fn key(name: &'static str, flag: &'static str, kind: Kind) -> Key {
    Key { name, flag: Some(flag), kind }
}

/// All keys of a profile.
pub(crate) const KEYS: [Key; 10] = [
    key("cluster", "cluster", Kind::Addresses),
    key("security", "security", Kind::Folder),
    key("store_profile", "store_profile", Kind::Text),
    key("store_options", "store_options_of_profile", Kind::StoreOptions),
    key("threads", "threads", Kind::Number(1024)),
    key("memory", "memory", Kind::Size),
    key("scratch", "scratch", Kind::Folders),
    key("task_timeout", "task_timeout", Kind::Number(i64::MAX)),
    Key { name: "log", flag: None, kind: Kind::Filter },
    Key { name: "log_format", flag: None, kind: Kind::Word(&["text", "json"]) },
];

/// What paths in a file are relative to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Folders<'p> {
    /// The folder of the file.
    pub(super) file: &'p Path,
    /// The user's own, for `~/`.
    pub(super) home: Option<&'p Path>,
}

impl Folders<'_> {
    fn path(&self, text: &str) -> Result<OsString, String> {
        if text.is_empty() {
            return Err("an empty text is no folder".to_owned());
        }
        let path = match (text.strip_prefix("~/"), self.home) {
            (Some(below), Some(home)) => home.join(below),
            (Some(_), None) => return Err("`~` means nothing where HOME is not set".to_owned()),
            (None, _) if text == "~" => self.home.map(PathBuf::from).unwrap_or_default(),
            (None, _) => self.file.join(text),
        };
        Ok(path.into_os_string())
    }
}

impl Kind {
    /// What its values look like, for people.
    fn wanted(self) -> String {
        match self {
            Kind::Addresses => "a text, as in \"10.0.0.1:7077\"".to_owned(),
            Kind::Text => "a text".to_owned(),
            Kind::Folder => "a folder, as in \"admin\"".to_owned(),
            Kind::Folders => "a folder, or a list of them, as in [\"a\", \"b\"]".to_owned(),
            Kind::Size => "a size, as in \"4GiB\"".to_owned(),
            Kind::Number(i64::MAX) => "a whole number, 1 or more".to_owned(),
            Kind::Number(most) => format!("a whole number from 1 to {most}"),
            Kind::Filter => "a text, as in \"info\" or \"windrow=debug\"".to_owned(),
            Kind::Word(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                words.join(" or ")
            }
            Kind::StoreOptions => "a table, as in { aws_region = \"eu-west-1\" }".to_owned(),
        }
    }

    /// The value as on a command line; or why it is none. Tables are not read here.
    pub(super) fn read(
        self,
        value: &DeValue<'_>,
        folders: Folders<'_>,
    ) -> Result<Vec<OsString>, String> {
        let wrong = || format!("it has to be {}, and is {}", self.wanted(), shown(value));
        let text = || value.as_str().ok_or_else(wrong);
        let one = |text: &str| vec![OsString::from(text)];
        match self {
            Kind::Addresses => {
                let text = text()?;
                let is_address = |address: &str| {
                    let parts = address.trim().rsplit_once(':');
                    parts.is_some_and(|(host, port)| {
                        !host.is_empty() && !host.contains('@') && port.parse::<u16>().is_ok()
                    })
                };
                if !text.split(',').all(is_address) {
                    return Err("it has to be HOST:PORT; several have commas between".to_owned());
                }
                Ok(one(text))
            }
            Kind::Text => match text()? {
                "" => Err("it must not be empty".to_owned()),
                text => Ok(one(text)),
            },
            Kind::Folder => Ok(vec![folders.path(text()?)?]),
            Kind::Folders => match value.as_array() {
                Some(list) => {
                    let each = list
                        .iter()
                        .map(|one| folders.path(one.get_ref().as_str().ok_or_else(wrong)?));
                    each.collect()
                }
                None => Ok(vec![folders.path(text()?)?]),
            },
            Kind::Size => {
                let text = match value {
                    DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
                    _ => text()?,
                };
                quantity::bytes(text)?;
                Ok(one(text))
            }
            Kind::Number(most) => {
                let number = value.as_integer().filter(|number| number.radix() == 10);
                let number = number.and_then(|number| number.as_str().parse::<i64>().ok());
                let number = number.filter(|number| (1..=most).contains(number));
                Ok(one(&number.ok_or_else(wrong)?.to_string()))
            }
            Kind::Filter => {
                let text = text()?;
                let read = tracing_subscriber::EnvFilter::try_new(text);
                read.map_err(|error| format!("it says nothing of what to log: {error}"))?;
                Ok(one(text))
            }
            Kind::Word(words) => match text()? {
                text if words.contains(&text) => Ok(one(text)),
                _ => Err(wrong()),
            },
            Kind::StoreOptions => Err(wrong()),
        }
    }
}

/// What a value is, for people. Texts are not shown: one may be a secret.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::String(_) => "another text".to_owned(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// One option of stores, as `--store-option` takes it; or why it is none.
pub(super) fn store_option(key: &str, value: &DeValue<'_>) -> Result<OsString, String> {
    let text = match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        other => {
            return Err(format!("it has to be a text, a number or true, and is {}", shown(other)));
        }
    };
    let option = format!("{key}={text}");
    match option.parse::<StoreOption>() {
        Ok(_) if has_password(&text) => Err(SECRET.to_owned()),
        Ok(_) => Ok(OsString::from(option)),
        Err(StoreOptionError::Secret { .. }) => Err(SECRET.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Whether a URL has a user in it, and so perhaps a password.
fn has_password(text: &str) -> bool {
    let authority = text.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
    authority.is_some_and(|authority| authority.contains('@'))
}

/// What is said of a secret, and where it belongs.
pub(super) const SECRET: &str = "that is a secret, and this file is no place for one: those of stores belong into the environment or ~/.config/windrow/stores.ini, whose profile `store_profile` names; those of clusters into the folder that `security` names";

/// Whether a key that is not known seems to be meant for a secret.
pub(super) fn seems_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let signs = ["secret", "token", "password", "passwd", "passphrase", "credential", "api_key"];
    signs.iter().any(|sign| key.contains(sign)) || key.ends_with("_key") || key == "key"
}
