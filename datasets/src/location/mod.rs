//! Locations: where input lies and output goes, as a person writes it.
//!
//! A [`Location`] is a path (`data/2024`), a `file://` URL or a URL of an object store (`s3://bucket/key`, `gs://`,
//! `az://`, `abfss://`, `https://`). It may be a pattern (see [`glob`]) where input is listed; where one file is
//! opened it is taken literally. Relative paths are made absolute when they are read from text, since the process that
//! opens them may run in another folder.
//!
//! ```
//! use windrow_datasets::location::Location;
//!
//! let trips: Location = "s3://taxis/2024/*.parquet".parse()?;
//! assert_eq!(trips.to_string(), "s3://taxis/2024/*.parquet");
//! assert!("ftp://host/x".parse::<Location>().is_err());
//! # Ok::<(), windrow_datasets::location::LocationError>(())
//! ```

pub mod glob;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The schemes that [`Location`] understands besides plain paths and `file`.
const REMOTE_SCHEMES: [&str; 10] =
    ["s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss", "http", "https"];

/// A file, a folder or a pattern of them, on the local file system or in an object store.
///
/// Ordered by the bytes of its text, which is also the order in which files of a folder count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location(Place);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Place {
    /// An absolute path, as bytes, so that its order is that of its bytes.
    Local(OsString),
    /// The root without a slash at its end (`s3://bucket`), and the path in it without one at its beginning or end.
    Remote { root: String, path: String },
}

/// Text that is no location.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// Nothing was written.
    #[error("a location must not be empty: give a path or a URL such as s3://bucket/folder")]
    Empty,
    /// A scheme that is not known.
    #[error(
        "{text}: the scheme `{scheme}` is not known; known are plain paths, file, s3, gs, az, abfss, http and https"
    )]
    Scheme {
        /// The text.
        text: String,
        /// What comes before `://`.
        scheme: String,
    },
    /// A URL without a bucket or host.
    #[error("{text}: the bucket or host is missing, as in {scheme}://BUCKET/folder")]
    Root {
        /// The text.
        text: String,
        /// The scheme.
        scheme: String,
    },
    /// A `file` URL that names another host, or has a broken escape.
    #[error(
        "{text}: write it as file:///absolute/path, with %XX for special bytes, or as a plain path"
    )]
    FileUrl {
        /// The text.
        text: String,
    },
    /// A relative path where the current folder is gone.
    #[error("{text}: the path is relative, and the current folder cannot be found: {reason}")]
    CurrentFolder {
        /// The text.
        text: String,
        /// What the system said.
        reason: String,
    },
}

impl Location {
    /// The location of a local path, made absolute.
    ///
    /// # Errors
    /// [`LocationError`] if the path is empty, or relative while the current folder is gone.
    pub fn of_path(path: impl AsRef<Path>) -> Result<Location, LocationError> {
        let path = path.as_ref();
        if path.as_os_str().is_empty() {
            return Err(LocationError::Empty);
        }
        let absolute = std::path::absolute(path).map_err(|e| LocationError::CurrentFolder {
            text: path.display().to_string(),
            reason: e.to_string(),
        })?;
        Ok(Location::local(absolute.into_os_string()))
    }

    /// The location of an absolute path.
    pub(crate) fn local(path: OsString) -> Location {
        let mut bytes = path.into_vec();
        while bytes.len() > 1 && bytes.last() == Some(&b'/') {
            bytes.pop();
        }
        Location(Place::Local(OsString::from_vec(bytes)))
    }

    /// The location of an object: `root` as in `s3://bucket`, `path` without a slash at its beginning.
    pub(crate) fn remote(root: &str, path: &str) -> Location {
        Location(Place::Remote {
            root: root.to_string(),
            path: path.trim_end_matches('/').to_string(),
        })
    }

    /// The path, if it is local.
    pub fn as_path(&self) -> Option<&Path> {
        match &self.0 {
            Place::Local(path) => Some(Path::new(path)),
            Place::Remote { .. } => None,
        }
    }

    /// Root and path, if it is in an object store: `("s3://bucket", "folder/object")`.
    pub fn as_remote(&self) -> Option<(&str, &str)> {
        match &self.0 {
            Place::Local(_) => None,
            Place::Remote { root, path } => Some((root, path)),
        }
    }

    /// Whether it is on the local file system.
    pub fn is_local(&self) -> bool {
        matches!(self.0, Place::Local(_))
    }

    /// The location of `name` in this folder; `name` may have several components.
    #[must_use]
    pub fn join(&self, name: impl AsRef<OsStr>) -> Location {
        let name = name.as_ref();
        match &self.0 {
            Place::Local(path) => {
                let mut bytes = path.as_bytes().to_vec();
                if bytes.last() != Some(&b'/') {
                    bytes.push(b'/');
                }
                bytes.extend_from_slice(name.as_bytes());
                Location::local(OsString::from_vec(bytes))
            }
            Place::Remote { root, path } => {
                let name = name.to_string_lossy();
                let separator = if path.is_empty() { "" } else { "/" };
                Location::remote(root, &format!("{path}{separator}{name}"))
            }
        }
    }

    /// The last component of the path, lossily; empty for the root of a store.
    pub fn name(&self) -> String {
        let bytes = self.path_bytes();
        let start = memchr::memrchr(b'/', bytes).map_or(0, |at| at + 1);
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }

    /// What follows the last dot of the name, in lower case.
    pub fn extension(&self) -> Option<String> {
        let name = self.name();
        let (stem, extension) = name.rsplit_once('.')?;
        (!stem.is_empty()).then(|| extension.to_ascii_lowercase())
    }

    /// Whether it has a `*`, `?` or `{`: listed as a pattern, unless a file of that very name exists.
    pub fn is_pattern(&self) -> bool {
        self.path_bytes().iter().any(|b| matches!(b, b'*' | b'?' | b'{'))
    }

    /// The bytes of the path, within the root if it is remote.
    pub(crate) fn path_bytes(&self) -> &[u8] {
        match &self.0 {
            Place::Local(path) => path.as_bytes(),
            Place::Remote { path, .. } => path.as_bytes(),
        }
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Location, LocationError> {
        let Some((scheme, rest)) = split_scheme(text) else {
            return Location::of_path(text);
        };
        let scheme_lower = scheme.to_ascii_lowercase();
        if scheme_lower == "file" {
            let error = || LocationError::FileUrl { text: text.to_string() };
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            if !path.starts_with('/') {
                return Err(error());
            }
            let bytes = percent_decode(path).ok_or_else(error)?;
            return Location::of_path(OsString::from_vec(bytes));
        }
        if !REMOTE_SCHEMES.contains(&scheme_lower.as_str()) {
            return Err(LocationError::Scheme {
                text: text.to_string(),
                scheme: scheme.to_string(),
            });
        }
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.is_empty() {
            return Err(LocationError::Root { text: text.to_string(), scheme: scheme_lower });
        }
        Ok(Location::remote(&format!("{scheme_lower}://{host}"), path.trim_start_matches('/')))
    }
}

/// `("s3", "bucket/key")` of `s3://bucket/key`; `None` for a path.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(letters))
        .then_some((scheme, rest))
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push((high * 16 + low) as u8);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

impl fmt::Display for Location {
    /// What [`FromStr`] reads back: a path where it is text, else a `file` URL with escapes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Local(path) => match path.to_str() {
                Some(text) => f.write_str(text),
                None => {
                    f.write_str("file://")?;
                    for &byte in path.as_bytes() {
                        if byte.is_ascii_graphic() && byte != b'%' {
                            write!(f, "{}", char::from(byte))?;
                        } else {
                            write!(f, "%{byte:02X}")?;
                        }
                    }
                    Ok(())
                }
            },
            Place::Remote { root, path } => write!(f, "{root}/{path}"),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Location, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl TryFrom<PathBuf> for Location {
    type Error = LocationError;

    fn try_from(path: PathBuf) -> Result<Location, LocationError> {
        Location::of_path(path)
    }
}

/// The locations that a source reads, in this order. Text that is no location is remembered, and reported when the
/// source is listed, so that a plan can be made without stopping at each `read`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locations {
    list: Vec<Location>,
    error: Option<LocationError>,
}

impl Locations {
    /// The locations.
    ///
    /// # Errors
    /// The first text that was no location.
    pub fn get(&self) -> Result<&[Location], &LocationError> {
        match &self.error {
            Some(error) => Err(error),
            None => Ok(&self.list),
        }
    }

    /// The locations as text, for people.
    pub fn names(&self) -> Vec<String> {
        self.list.iter().map(Location::to_string).collect()
    }

    fn add_text(&mut self, text: &str) {
        match text.parse() {
            Ok(location) => self.list.push(location),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
    }
}

/// What can be given as input locations: one or many, as [`Location`]s or as text.
pub trait IntoLocations {
    /// The locations, in order.
    fn into_locations(self) -> Locations;
}

impl IntoLocations for Locations {
    fn into_locations(self) -> Locations {
        self
    }
}

impl IntoLocations for Location {
    fn into_locations(self) -> Locations {
        Locations { list: vec![self], error: None }
    }
}

impl IntoLocations for &Location {
    fn into_locations(self) -> Locations {
        self.clone().into_locations()
    }
}

impl IntoLocations for Vec<Location> {
    fn into_locations(self) -> Locations {
        Locations { list: self, error: None }
    }
}

impl IntoLocations for &[Location] {
    fn into_locations(self) -> Locations {
        self.to_vec().into_locations()
    }
}

impl IntoLocations for &Vec<Location> {
    fn into_locations(self) -> Locations {
        self.clone().into_locations()
    }
}

impl<const N: usize> IntoLocations for &[Location; N] {
    fn into_locations(self) -> Locations {
        self.to_vec().into_locations()
    }
}

impl IntoLocations for &str {
    fn into_locations(self) -> Locations {
        let mut all = Locations::default();
        all.add_text(self);
        all
    }
}

impl IntoLocations for &String {
    fn into_locations(self) -> Locations {
        self.as_str().into_locations()
    }
}

impl IntoLocations for &[&str] {
    fn into_locations(self) -> Locations {
        let mut all = Locations::default();
        self.iter().for_each(|text| all.add_text(text));
        all
    }
}

impl IntoLocations for &Path {
    fn into_locations(self) -> Locations {
        match Location::of_path(self) {
            Ok(location) => location.into_locations(),
            Err(error) => Locations { list: Vec::new(), error: Some(error) },
        }
    }
}

impl IntoLocations for &PathBuf {
    fn into_locations(self) -> Locations {
        self.as_path().into_locations()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(text: &str) -> Location {
        text.parse().unwrap()
    }

    #[test]
    fn text_is_read_back() {
        for text in ["/a/b", "/", "s3://b/k/x", "gs://b/", "https://host:81/p?x", "/a/{b,c}/*"] {
            assert_eq!(location(text).to_string(), text);
        }
        assert_eq!(location("s3://b").to_string(), "s3://b/");
        assert_eq!(location("/a/b//").to_string(), "/a/b");
        assert_eq!(location("file:///a%20b").to_string(), "/a b");
        assert_eq!(location("S3://Bucket/k"), location("s3://Bucket/k/"));
        assert!(location("x/y").as_path().unwrap().is_absolute());
        let odd = Location::of_path(OsStr::from_bytes(b"/a/\xff%")).unwrap();
        assert_eq!(odd.to_string(), "file:///a/%FF%25");
        assert_eq!(location(&odd.to_string()), odd);
    }

    #[test]
    fn what_is_no_location_is_explained() {
        let error = |text: &str| text.parse::<Location>().unwrap_err().to_string();
        assert!(error("").contains("must not be empty"));
        assert!(error("ftp://x/y").contains("scheme `ftp` is not known"));
        assert!(error("s3:///key").contains("s3://BUCKET/folder"));
        assert!(error("file://host/x").contains("file:///absolute/path"));
        let all = ["/a", "ftp://x"][..].into_locations();
        assert!(all.get().is_err());
    }

    #[test]
    fn names_and_extensions() {
        assert_eq!(location("/a/b.TXT").extension().as_deref(), Some("txt"));
        assert_eq!(location("/a.b/c").extension(), None);
        assert_eq!(location("/a/.hidden").extension(), None);
        assert_eq!(location("s3://b/x/y.gz").name(), "y.gz");
        assert_eq!(location("s3://b").join("part-0.txt").to_string(), "s3://b/part-0.txt");
        assert_eq!(location("/").join("a/b").to_string(), "/a/b");
    }
}
