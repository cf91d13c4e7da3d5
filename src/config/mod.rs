//! `windrow.toml`: what a person would type again and again, in profiles.
//!
//! Which file, and which of its profiles, is decided here; what a profile may say is in [`keys`]. Commands are told by
//! [`Profile::values`], and know nothing of files.

mod keys;
mod reading;

pub(crate) use keys::{KEYS, Key};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a file is called.
const FILE: &str = "windrow.toml";

/// The profile that is taken if nobody says which.
const DEFAULT: &str = "default";

/// The name by which no profile is taken.
pub(crate) const NONE: &str = "none";

/// What the environment of a process says; empty is as good as nothing.
pub(crate) type Environment<'e> = &'e dyn Fn(&str) -> Option<OsString>;

/// Where a process runs, as far as files are looked for.
pub(crate) struct Place<'e> {
    /// The folder that it is in.
    pub(crate) folder: PathBuf,
    /// Its environment.
    pub(crate) environment: Environment<'e>,
}

/// What a file says, and the profile that was taken of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Configuration {
    /// The file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// The profile, if one is taken.
    pub(crate) profile: Option<Profile>,
}

/// A profile: what it says for each of its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Its name.
    pub(crate) name: String,
    /// The keys that it has, in the order of the file, with values as on a command line.
    settings: Vec<(&'static str, Vec<OsString>)>,
}

impl Profile {
    /// What it says for a key; nothing if it does not say.
    pub(crate) fn values(&self, key: &str) -> &[OsString] {
        let found = self.settings.iter().find(|(its, _)| *its == key);
        found.map_or(&[], |(_, values)| values)
    }

    /// The one value of a key, as text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.values(key).first()?.to_str()
    }

    /// The keys that it has.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.settings.iter().map(|(key, _)| *key)
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// A file cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Somebody else could make commands talk to another cluster.
    #[error(
        "{} {why}, who could so have your commands go to another cluster: make it yours alone (chown, chmod o-w), or name it by WINDROW_CONFIG if you trust it",
        .path.display()
    )]
    OfOthers {
        /// The file.
        path: PathBuf,
        /// Who else has a hand in it.
        why: &'static str,
    },
    /// Something in a file is wrong.
    #[error("{}:{line}: {why}", .path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong, where, and what would be right.
        why: String,
    },
    /// A profile that no file has.
    #[error("there is no profile `{name}`: {} has {known}", .path.display())]
    NoProfile {
        /// The name that was asked for.
        name: String,
        /// The file.
        path: PathBuf,
        /// Those that there are, as text.
        known: String,
    },
    /// A profile, and no file at all.
    #[error(
        "there is no profile `{name}`, for there is no {FILE}: neither here, nor in a folder above, nor is {user}"
    )]
    NoFile {
        /// The name that was asked for.
        name: String,
        /// The user's own file, which is not there either.
        user: String,
    },
}

impl Configuration {
    /// That of a process: of the file that counts there, the profile of this name, or else the one that is to be taken if
    /// nobody says which.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub(crate) fn find(place: &Place<'_>, profile: Option<&str>) -> Result<Self, ConfigError> {
        if profile == Some(NONE) {
            return Ok(Configuration::default());
        }
        match (place.file()?, profile) {
            (Some(file), profile) => Configuration::of_file(place, file, profile),
            (None, Some(name)) => {
                let user = place.of_user().unwrap_or_else(|| PathBuf::from(FILE));
                let (name, user) = (name.to_owned(), user.display().to_string());
                Err(ConfigError::NoFile { name, user })
            }
            (None, None) => Ok(Configuration::default()),
        }
    }

    fn of_file(
        place: &Place<'_>,
        path: PathBuf,
        profile: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(&path)
            .map_err(|source| ConfigError::Read { path: path.clone(), source })?;
        let read = reading::read(&text, &path, (place.environment)("HOME").as_deref());
        let read = read.map_err(|(at, why)| {
            let line = text.as_bytes()[..at.min(text.len())].iter().filter(|&&b| b == b'\n');
            ConfigError::Wrong { path: path.clone(), line: line.count() + 1, why }
        })?;
        let is_there = |name: &str| read.profiles.iter().any(|its| its.name == name);
        let default = || is_there(DEFAULT).then(|| DEFAULT.to_owned());
        let Some(name) = profile.map(str::to_owned).or(read.default).or_else(default) else {
            return Ok(Configuration { file: Some(path), profile: None });
        };
        let names: Vec<&str> = read.profiles.iter().map(|its| &*its.name).collect();
        let known = match &names[..] {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        match read.profiles.into_iter().find(|its| its.name == name) {
            Some(found) => Ok(Configuration { file: Some(path), profile: Some(found) }),
            None => Err(ConfigError::NoProfile { name, path, known }),
        }
    }
}

impl Place<'_> {
    /// The file that counts.
    fn file(&self) -> Result<Option<PathBuf>, ConfigError> {
        if let Some(named) = (self.environment)("WINDROW_CONFIG") {
            // One that is named has to be there; that is seen when it is read.
            return Ok(Some(self.folder.join(named)));
        }
        let above = self.folder.ancestors().map(|folder| folder.join(FILE));
        for path in above.chain(self.of_user()) {
            match fs::metadata(&path) {
                Ok(there) if there.is_file() => {
                    is_own(&path, &there)?;
                    return Ok(Some(path));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// The user's own file, where it would be.
    fn of_user(&self) -> Option<PathBuf> {
        let folder = match (self.environment)("XDG_CONFIG_HOME") {
            Some(folder) => PathBuf::from(folder),
            None => Path::new(&(self.environment)("HOME")?).join(".config"),
        };
        Some(folder.join("windrow").join(FILE))
    }
}

/// Makes sure that a file that nobody named is of this user, or of root, and that not everybody may write to it.
fn is_own(path: &Path, there: &fs::Metadata) -> Result<(), ConfigError> {
    let others = |why| ConfigError::OfOthers { path: path.to_path_buf(), why };
    if ![0, rustix::process::geteuid().as_raw()].contains(&there.uid()) {
        return Err(others("belongs to another user"));
    }
    if there.mode() & 0o002 != 0 {
        return Err(others("can be written by everybody"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// What is found from `folder` of this room on, with these variables.
    fn found(
        room: &Path,
        folder: &str,
        variables: &[(&str, &str)],
        profile: Option<&str>,
    ) -> Result<Configuration, ConfigError> {
        let environment = |name: &str| {
            let said = variables.iter().find(|(its, _)| *its == name);
            said.map(|(_, value)| OsString::from(value))
        };
        let place = Place { folder: room.join(folder), environment: &environment };
        Configuration::find(&place, profile)
    }

    fn room() -> tempfile::TempDir {
        let room = tempfile::tempdir().unwrap();
        fs::create_dir_all(room.path().join("project/below/more")).unwrap();
        fs::create_dir_all(room.path().join("home/.config/windrow")).unwrap();
        fs::create_dir_all(room.path().join("xdg/windrow")).unwrap();
        room
    }

    fn write(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }

    /// The cluster of what is found.
    fn cluster(found: Result<Configuration, ConfigError>) -> Option<String> {
        found.unwrap().profile?.text("cluster").map(str::to_owned)
    }

    #[test]
    fn the_nearest_file_counts_and_one_that_is_named_before_all() {
        let room = room();
        let room = room.path();
        let home = room.join("home").display().to_string();
        let xdg = room.join("xdg").display().to_string();
        let of = |name: &str| format!("[profile.default]\ncluster = \"{name}:1\"\n");
        let variables = [("HOME", &*home), ("XDG_CONFIG_HOME", &xdg)];
        assert_eq!(cluster(found(room, "project/below", &variables, None)), None);
        write(&room.join("home/.config/windrow/windrow.toml"), &of("home"));
        write(&room.join("xdg/windrow/windrow.toml"), &of("xdg"));
        let at = |folder, variables: &[(&str, &str)]| cluster(found(room, folder, variables, None));
        assert_eq!(at("project/below", &variables[..1]).unwrap(), "home:1");
        assert_eq!(at("project/below", &variables).unwrap(), "xdg:1");
        write(&room.join("project/windrow.toml"), &of("project"));
        assert_eq!(at("project/below/more", &variables).unwrap(), "project:1");
        write(&room.join("project/below/windrow.toml"), &of("below"));
        assert_eq!(at("project/below/more", &variables).unwrap(), "below:1");
        write(&room.join("named.toml"), &of("named"));
        let named = [("WINDROW_CONFIG", "../named.toml")];
        assert_eq!(at("project", &named).unwrap(), "named:1");
        let gone = found(room, "project", &[("WINDROW_CONFIG", "gone.toml")], None).unwrap_err();
        assert!(gone.to_string().contains("project/gone.toml: No such file"), "{gone}");
    }

    #[test]
    fn a_profile_is_taken_by_name_by_the_files_choice_or_as_the_default() {
        let room = room();
        let room = room.path();
        let both = "[profile.one]\ncluster = \"one:1\"\n[profile.default]\ncluster = \"two:2\"\n";
        let file = room.join("windrow.toml");
        let of = |profile| found(room, "project", &[], profile);
        write(&file, both);
        assert_eq!(cluster(of(None)).unwrap(), "two:2");
        assert_eq!(cluster(of(Some("one"))).unwrap(), "one:1");
        assert_eq!(of(Some("none")).unwrap(), Configuration::default());
        write(&file, &format!("default = \"one\"\n{both}"));
        assert_eq!(cluster(of(None)).unwrap(), "one:1");
        let none = of(Some("three")).unwrap_err().to_string();
        assert!(none.contains("no profile `three`") && none.contains("one, default"), "{none}");
        write(&file, "[profile.one]\n");
        assert_eq!(of(None).unwrap(), Configuration { file: Some(file.clone()), profile: None });
        fs::remove_file(&file).unwrap();
        let none = of(Some("one")).unwrap_err().to_string();
        assert!(none.contains("there is no windrow.toml"), "{none}");
    }

    #[test]
    fn a_file_that_others_may_write_is_taken_only_if_it_is_named() {
        let room = room();
        let room = room.path();
        let file = room.join("project/windrow.toml");
        write(&file, "[profile.default]\nmemory = \"1GiB\"\n");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        let refused = found(room, "project", &[], None).unwrap_err().to_string();
        assert!(refused.contains("written by everybody"), "{refused}");
        assert!(refused.contains("WINDROW_CONFIG"), "{refused}");
        found(room, "project", &[("WINDROW_CONFIG", "windrow.toml")], None).unwrap();
    }
}
