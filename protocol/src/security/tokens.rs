//! Tokens: what people and new workers show. A coordinator knows their hashes only.
//!
//! A token reads `wr-ID-SECRET`. The id is no secret: it names the token in lists and logs. The secret has 256 random bits,
//! so that a plain SHA-256 of it needs no salt and cannot be guessed from.

use super::files::{self, TOKENS};
use super::{Identity, Role, Secret, SecurityError};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest token that is looked at, in bytes.
pub(super) const TOKEN_BYTES_MAX: usize = 256;

/// Whoever changes tokens has a lock on this file.
const LOCK: &str = ".tokens.lock";

/// A token, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its name in lists and logs.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// The SHA-256 of its secret, in hexadecimal digits.
    sha256: String,
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// From when on it is good for nothing, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// Whether it is good for nothing any more.
    #[serde(default)]
    pub revoked: bool,
}

impl Token {
    /// Why it is good for nothing now, if it is.
    pub fn is_void(&self) -> Option<&'static str> {
        let expired = self.expires.is_some_and(|expires| expires <= now());
        self.revoked.then_some("was revoked").or(expired.then_some("has expired"))
    }
}

/// The tokens of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    tokens: Vec<Token>,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn random<const BYTES: usize>() -> Result<[u8; BYTES], SecurityError> {
    let mut bytes = [0; BYTES];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| SecurityError::Certificate("the system has no random numbers".into()))?;
    Ok(bytes)
}

impl Tokens {
    /// Those of a folder; none, if it has no list.
    ///
    /// # Errors
    /// If the list cannot be read, or is none.
    pub fn read(folder: &Path) -> Result<Tokens, SecurityError> {
        let Some(text) = files::read(folder, TOKENS)? else { return Ok(Tokens::default()) };
        serde_json::from_str(&text).map_err(|error| SecurityError::Content {
            path: folder.join(TOKENS),
            why: format!("this is no list of tokens: {error}"),
        })
    }

    /// Changes those of a folder; no other process does so meanwhile.
    ///
    /// # Errors
    /// If they cannot be read or written, or the change fails.
    pub fn change<T>(
        folder: &Path,
        change: impl FnOnce(&mut Tokens) -> Result<T, SecurityError>,
    ) -> Result<T, SecurityError> {
        let path = folder.join(LOCK);
        let lock = OpenOptions::new().create(true).append(true).open(&path);
        let locked = lock.and_then(|lock| lock.lock().map(|()| lock));
        let _lock = locked.map_err(|source| SecurityError::File { path, source })?;
        let mut tokens = Tokens::read(folder)?;
        let changed = change(&mut tokens)?;
        tokens.write(folder)?;
        Ok(changed)
    }

    /// Keeps them in a folder, in the place of those that are there.
    fn write(&self, folder: &Path) -> Result<(), SecurityError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| SecurityError::Certificate(error.to_string()))?;
        files::write_private(folder, TOKENS, &format!("{text}\n")).map(drop)
    }

    /// Adds one, and returns its id and its text, which nobody can find out later.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn add(
        &mut self,
        name: &str,
        role: Role,
        lifetime: Option<Duration>,
    ) -> Result<(String, Secret<String>), SecurityError> {
        let (id, secret) = (hex(&random::<4>()?), hex(&random::<32>()?));
        let made = now();
        self.tokens.push(Token {
            id: id.clone(),
            name: name.to_owned(),
            role,
            sha256: hash(&secret),
            made,
            expires: lifetime.map(|lifetime| made.saturating_add(lifetime.as_secs())),
            revoked: false,
        });
        let text = Secret::new(format!("wr-{id}-{secret}"));
        Ok((id, text))
    }

    /// Makes one good for nothing. It stays in the list, so that it is known why it is refused.
    ///
    /// # Errors
    /// If there is none of that id.
    pub fn revoke(&mut self, id: &str) -> Result<(), SecurityError> {
        let token = self.tokens.iter_mut().find(|token| token.id == id);
        token.ok_or_else(|| SecurityError::NoToken(id.to_owned()))?.revoked = true;
        Ok(())
    }

    /// All of them, in the order in which they were made.
    pub fn all(&self) -> &[Token] {
        &self.tokens
    }

    /// Who shows this text.
    ///
    /// # Errors
    /// Why it is refused, for people; there is no secret in that.
    pub(super) fn identify(&self, text: &str) -> Result<Identity, String> {
        let parts = || {
            let (id, secret) = text.trim().strip_prefix("wr-")?.split_once('-')?;
            let known = id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            known.then_some((id, secret))
        };
        let (id, secret) = parts().ok_or("what it shows is no token")?;
        let token = self.tokens.iter().find(|token| token.id == id);
        let token = token.ok_or_else(|| format!("there is no token {id}"))?;
        // Of hashes, so that the time it takes tells nothing of the secret.
        if token.sha256 != hash(secret) {
            return Err(format!("the secret of token {id} is another"));
        }
        self.holds(id)?;
        let (token, name, role) = (token.id.clone(), token.name.clone(), token.role);
        Ok(Identity::Holder { token, name, role })
    }

    /// Whether the token of this id is still good.
    ///
    /// # Errors
    /// Why it is not, for people.
    pub(super) fn holds(&self, id: &str) -> Result<(), String> {
        let token = self.tokens.iter().find(|token| token.id == id);
        let token = token.ok_or_else(|| format!("there is no token {id}"))?;
        match token.is_void() {
            Some(why) => Err(format!("token {id} ({}) {why}", token.name)),
            None => Ok(()),
        }
    }
}

fn hash(secret: &str) -> String {
    hex(digest(&SHA256, secret.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_secret_until_it_is_revoked() {
        let mut tokens = Tokens::default();
        let (_, text) = tokens.add("alice", Role::Submit, None).unwrap();
        let Identity::Holder { token, name, role } = tokens.identify(text.reveal()).unwrap() else {
            panic!("no holder");
        };
        assert_eq!((name.as_str(), role), ("alice", Role::Submit));
        let wrong = format!("{}0", text.reveal());
        assert!(tokens.identify(&wrong).unwrap_err().contains(&token));
        tokens.revoke(&token).unwrap();
        assert!(tokens.identify(text.reveal()).unwrap_err().contains("alice) was revoked"));
        assert!(tokens.revoke("00000000").is_err());
    }

    #[test]
    fn a_token_expires() {
        let mut tokens = Tokens::default();
        let (_, text) = tokens.add("bob", Role::View, Some(Duration::ZERO)).unwrap();
        assert!(tokens.identify(text.reveal()).unwrap_err().contains("has expired"));
    }

    #[test]
    fn what_is_kept_has_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let add = |name: &str| {
            Tokens::change(folder.path(), |tokens| tokens.add(name, Role::Admin, None)).unwrap()
        };
        let (_, text) = add("carol");
        std::thread::scope(|scope| {
            (0..8).for_each(|number| drop(scope.spawn(move || add(&number.to_string()))));
        });
        assert_eq!(Tokens::read(folder.path()).unwrap().all().len(), 9, "none is lost");
        let secret = text.reveal().rsplit('-').next().unwrap();
        let kept = std::fs::read_to_string(folder.path().join(TOKENS)).unwrap();
        assert!(kept.contains("carol") && !kept.contains(secret), "{kept}");
        assert_eq!(format!("{text:?}"), "(secret)");
    }

    #[test]
    fn other_texts_are_refused_without_being_told() {
        let mut tokens = Tokens::default();
        tokens.add("dave", Role::Join, None).unwrap();
        for text in ["", "wr-", "wr-1-2", "password", "wr-zzzzzzzz-1", "wr-12345678"] {
            let why = tokens.identify(text).unwrap_err();
            assert!(!why.contains("password"), "{why}");
        }
    }
}
