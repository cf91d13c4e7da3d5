//! What is said of stores beyond the environment: options and the name of a profile. Never a secret: options travel.

use object_store::ClientConfigKey;
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use std::time::Duration;

/// How stores are reached, beyond what the environment says. It travels with a job to each of its processes, which
/// resolve the profile by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreOptions {
    /// The name of a profile; `None`: what the environment and the clouds' own files say.
    pub profile: Option<String>,
    /// Options; of two with the same key the later one counts.
    pub options: Vec<StoreOption>,
}

/// One option of stores, as in `aws_region=eu-west-1`. It is not secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreOption {
    key: String,
    value: String,
}

impl StoreOption {
    /// Its key, in small letters.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Its value.
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// Why a text is no option of stores.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreOptionError {
    /// No `=`.
    #[error("`{0}` is no KEY=VALUE, as in aws_region=eu-west-1")]
    NoValue(String),
    /// No store has such an option.
    #[error("no store has an option `{key}`{near}")]
    Unknown {
        /// What was said.
        key: String,
        /// Names that are like it, as text.
        near: String,
    },
    /// A secret, which must not be on a command line.
    #[error(
        "`{key}` is a secret, and a command line is no place for one: set {variable} in the environment of each process, or put it into a profile and name that by --store-profile"
    )]
    Secret {
        /// What was said.
        key: String,
        /// The variable of the environment for it.
        variable: String,
    },
    /// What the location says.
    #[error("`{0}` is said by the location, as in s3://BUCKET/PATH")]
    Place(String),
    /// The value does not fit the key.
    #[error("`{value}` is no value of `{key}`: {why}")]
    Value {
        /// The key.
        key: String,
        /// What was said.
        value: String,
        /// What it should be.
        why: String,
    },
}

/// Options of our own, for all kinds of stores.
const OWN: [&str; 3] = [MAX_RETRIES, RETRY_TIMEOUT, RETRY_BACKOFF];
/// How often a request that failed is tried again.
const MAX_RETRIES: &str = "max_retries";
/// After how long a request that failed is not tried again.
const RETRY_TIMEOUT: &str = "retry_timeout";
/// How long to wait before the first retry; later ones wait longer, up to 15 seconds.
const RETRY_BACKOFF: &str = "retry_backoff";

/// Options by their usual names: what is proposed for one that is not known.
const NAMES: [&str; 62] = [
    "allow_http",
    "allow_invalid_certificates",
    "connect_timeout",
    "disable_system_certificates",
    "http1_only",
    "http2_only",
    "max_retries",
    "pool_idle_timeout",
    "pool_max_idle_per_host",
    "proxy_ca_certificate",
    "proxy_excludes",
    "proxy_url",
    "read_timeout",
    "retry_backoff",
    "retry_timeout",
    "timeout",
    "user_agent",
    "aws_access_key_id",
    "aws_allow_http",
    "aws_checksum_algorithm",
    "aws_conditional_put",
    "aws_container_authorization_token_file",
    "aws_container_credentials_full_uri",
    "aws_container_credentials_relative_uri",
    "aws_copy_if_not_exists",
    "aws_default_region",
    "aws_disable_bulk_delete",
    "aws_disable_tagging",
    "aws_endpoint_url",
    "aws_endpoint_url_s3",
    "aws_endpoint_url_sts",
    "aws_imdsv1_fallback",
    "aws_metadata_endpoint",
    "aws_region",
    "aws_request_payer",
    "aws_role_arn",
    "aws_role_session_name",
    "aws_s3_express",
    "aws_secret_access_key",
    "aws_server_side_encryption",
    "aws_session_token",
    "aws_skip_signature",
    "aws_sse_bucket_key_enabled",
    "aws_sse_kms_key_id",
    "aws_unsigned_payload",
    "aws_virtual_hosted_style_request",
    "aws_web_identity_token_file",
    "azure_authority_host",
    "azure_client_id",
    "azure_endpoint",
    "azure_federated_token_file",
    "azure_skip_signature",
    "azure_storage_account_key",
    "azure_storage_account_name",
    "azure_storage_use_emulator",
    "azure_tenant_id",
    "azure_use_azure_cli",
    "azure_use_fabric_endpoint",
    "google_application_credentials",
    "google_base_url",
    "google_service_account",
    "google_skip_signature",
];

impl FromStr for StoreOption {
    type Err = StoreOptionError;

    fn from_str(text: &str) -> Result<StoreOption, StoreOptionError> {
        let Some((key, value)) = text.split_once('=') else {
            return Err(StoreOptionError::NoValue(text.to_string()));
        };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.to_string());
        match meaning(&key) {
            Meaning::Unknown => Err(StoreOptionError::Unknown { near: near(&key), key }),
            Meaning::Place => Err(StoreOptionError::Place(key)),
            Meaning::Secret => {
                let variable = variable(&key);
                Err(StoreOptionError::Secret { key, variable })
            }
            Meaning::Proxy if value.contains('@') => {
                let variable = "AWS_PROXY_URL (or AZURE_.., GOOGLE_..)".to_string();
                Err(StoreOptionError::Secret { key, variable })
            }
            Meaning::Proxy | Meaning::Plain => {
                if OWN.contains(&key.as_str())
                    && let Err(why) = Retries::default().set(&key, &value)
                {
                    return Err(StoreOptionError::Value { key, value, why });
                }
                Ok(StoreOption { key, value })
            }
        }
    }
}

/// What kind of option a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Unknown,
    Secret,
    Place,
    Proxy,
    Plain,
}

/// What a key is, in small letters, for whichever store it is.
pub(super) fn meaning(key: &str) -> Meaning {
    use AmazonS3ConfigKey as Aws;
    use AzureConfigKey as Azure;
    use GoogleConfigKey as Google;
    let aws = key.parse::<Aws>().ok();
    let azure = key.parse::<Azure>().ok();
    let google = key.parse::<Google>().ok();
    // The enum of keys for encryption is private.
    let customer_key = "aws_sse_customer_key_base64".parse::<Aws>().ok();
    let secret = (aws.is_some() && aws == customer_key)
        || matches!(aws, Some(Aws::SecretAccessKey | Aws::Token))
        || matches!(
            azure,
            Some(
                Azure::AccessKey
                    | Azure::ClientSecret
                    | Azure::SasKey
                    | Azure::Token
                    | Azure::FabricSessionToken
                    | Azure::EncryptionKey
            )
        )
        || matches!(google, Some(Google::ServiceAccountKey | Google::BearerToken));
    let place = matches!(aws, Some(Aws::Bucket))
        || matches!(azure, Some(Azure::ContainerName))
        || matches!(google, Some(Google::Bucket));
    let proxy = matches!(aws, Some(Aws::Client(ClientConfigKey::ProxyUrl)))
        || matches!(azure, Some(Azure::Client(ClientConfigKey::ProxyUrl)))
        || matches!(google, Some(Google::Client(ClientConfigKey::ProxyUrl)));
    let known = aws.is_some() || azure.is_some() || google.is_some() || OWN.contains(&key);
    match (secret, place, proxy, known) {
        (true, ..) => Meaning::Secret,
        (_, true, ..) => Meaning::Place,
        (_, _, true, _) => Meaning::Proxy,
        (.., true) => Meaning::Plain,
        _ => Meaning::Unknown,
    }
}

/// The variable of the environment that says the same as a key.
fn variable(key: &str) -> String {
    let name = key.to_ascii_uppercase();
    let clouds = ["AWS_", "AZURE_", "GOOGLE_"];
    if clouds.iter().any(|cloud| name.starts_with(cloud)) {
        return name;
    }
    let cloud = if key.parse::<AmazonS3ConfigKey>().is_ok() {
        "AWS_"
    } else if key.parse::<AzureConfigKey>().is_ok() {
        "AZURE_"
    } else {
        "GOOGLE_"
    };
    format!("{cloud}{name}")
}

/// Names that are like one, as the end of a sentence.
fn near(key: &str) -> String {
    let mut known: Vec<(usize, &str)> = NAMES
        .iter()
        .filter(|name| meaning(name) != Meaning::Secret)
        .map(|name| (distance(key, name), *name))
        .chain(NAMES.iter().filter(|name| name.ends_with(&format!("_{key}"))).map(|n| (0, *n)))
        .filter(|(distance, _)| *distance <= 3)
        .collect();
    known.sort_unstable();
    known.dedup();
    match known.as_slice() {
        [] => "; docs/stores.md lists them".to_string(),
        [(_, one)] => format!("; is it `{one}`?"),
        more => {
            let names: Vec<String> =
                more.iter().take(3).map(|(_, name)| format!("`{name}`")).collect();
            format!("; is it one of {}?", names.join(", "))
        }
    }
}

/// The number of letters to be changed, put in or left out to make one word the other (Levenshtein's distance).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, &there) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != there);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

/// How requests that fail are tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retries {
    pub(super) most: usize,
    pub(super) within: Duration,
    pub(super) backoff: Duration,
}

impl Default for Retries {
    fn default() -> Self {
        let (within, backoff) = (Duration::from_secs(120), Duration::from_millis(100));
        Retries { most: 8, within, backoff }
    }
}

impl Retries {
    /// Takes an option of our own; any other is fine. Or says what the value should be.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            MAX_RETRIES => {
                self.most = value.parse().map_err(|_| "a number is needed".to_string())?;
            }
            RETRY_TIMEOUT => self.within = duration(value)?,
            RETRY_BACKOFF => self.backoff = duration(value)?,
            _ => {}
        }
        Ok(())
    }
}

/// A time such as `20s`, `20 seconds`, `250ms`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is needed, as in 250ms, 20s or 2m".to_string();
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..at].parse().map_err(|_| wrong())?;
    match text[at..].trim() {
        "ms" | "millisecond" | "milliseconds" => Ok(Duration::from_millis(number)),
        "s" | "second" | "seconds" => Ok(Duration::from_secs(number)),
        "m" | "minute" | "minutes" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<StoreOption>().expect_err(text).to_string()
    }

    #[test]
    fn names_that_are_proposed_are_known() {
        for name in NAMES {
            assert_ne!(meaning(name), Meaning::Unknown, "{name}");
            assert_ne!(meaning(name), Meaning::Place, "{name}");
        }
    }

    #[test]
    fn options_are_taken_as_they_are_said() {
        for (text, key, value) in [
            ("aws_region=eu-west-1", "aws_region", "eu-west-1"),
            ("AWS_Endpoint_URL=http://h:1/?a=b", "aws_endpoint_url", "http://h:1/?a=b"),
            ("retry_timeout=250ms", "retry_timeout", "250ms"),
            ("timeout=5 seconds", "timeout", "5 seconds"),
            ("azure_storage_account_name=me", "azure_storage_account_name", "me"),
        ] {
            let option: StoreOption = text.parse().unwrap();
            assert_eq!((option.key(), option.value()), (key, value));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, says) in [
            ("aws_region", "no KEY=VALUE"),
            ("aws_regoin=x", "is it `aws_region`"),
            ("endpoint_ur=x", "docs/stores.md"),
            ("nonsense_of_all_kinds=x", "docs/stores.md"),
            ("aws_bucket=x", "said by the location"),
            ("azure_container_name=x", "said by the location"),
            ("max_retries=many", "a number"),
            ("retry_timeout=20", "250ms"),
        ] {
            let error = refused(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn secrets_are_refused_by_any_name_and_not_repeated() {
        let names = [
            ("aws_secret_access_key", "AWS_SECRET_ACCESS_KEY"),
            ("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
            ("Session_Token", "AWS_SESSION_TOKEN"),
            ("aws_sse_customer_key_base64", "AWS_SSE_CUSTOMER_KEY_BASE64"),
            ("azure_storage_account_key", "AZURE_STORAGE_ACCOUNT_KEY"),
            ("sas_token", "AZURE_SAS_TOKEN"),
            ("azure_client_secret", "AZURE_CLIENT_SECRET"),
            ("google_service_account_key", "GOOGLE_SERVICE_ACCOUNT_KEY"),
        ];
        for (key, variable) in names {
            let error = refused(&format!("{key}=hunter2"));
            assert!(error.contains(variable) && error.contains("--store-profile"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = refused("proxy_url=http://me:hunter2@proxy");
        assert!(!error.contains("hunter2"), "{error}");
        "proxy_url=http://proxy:3128".parse::<StoreOption>().unwrap();
    }

    #[test]
    fn distances_are_small_for_what_is_alike() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("region", "region"), 0);
        assert_eq!(distance("regoin", "region"), 2);
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
