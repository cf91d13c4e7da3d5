//! Object stores: clients, and reads through a window.

use super::http::{Connector, Meter};
use super::options::{Retries, StoreOptions};
use super::{
    Begun, Client, Object, ReadAt, Stamp, Storage, StorageError, StorageErrorKind, changed,
    of_listed, profiles,
};
use crate::location::Location;
use bytes::Bytes;
use object_store::list::PaginatedListStore;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientConfigKey, GetOptions, GetRange, OBJECT_STORE_COALESCE_DEFAULT,
    ObjectMeta, ObjectStore, ObjectStoreExt, RetryConfig, coalesce_ranges,
};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// The bytes that a read fetches at least, since each request waits for its first byte.
const WINDOW_BYTES: u64 = 4 << 20;

/// How long one request may take, body included, and how long a store may be silent before an answer or within one.
const TIMEOUTS: [(ClientConfigKey, &str); 2] =
    [(ClientConfigKey::Timeout, "60 seconds"), (ClientConfigKey::ReadTimeout, "20 seconds")];

/// What the client says of a timeout that nobody has set.
const DEFAULT_TIMEOUT: &str = "30 seconds";

/// The path of an object within its store.
pub(super) fn object_path(
    location: &Location,
    root: &str,
    path: &str,
) -> Result<Path, StorageError> {
    let parsed =
        if root.starts_with("http") { Path::from_url_path(path) } else { Path::parse(path) };
    parsed.map_err(|e| {
        let reason = format!("is no path of an object: {e}");
        StorageError::new(location, StorageErrorKind::Unsupported, reason)
    })
}

/// A client for all below `root`, with what the environment, profiles and options say on regions, endpoints and
/// secrets.
pub(super) fn connect(
    location: &Location,
    root: &str,
    options: &StoreOptions,
    meter: &Arc<Meter>,
) -> Result<Client, StorageError> {
    use object_store::{aws, azure, gcp, http};
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let reason = "no TLS provider is installed in this process: start through windrow::main, or call rustls::crypto::ring::default_provider().install_default() first";
        return Err(StorageError::new(location, StorageErrorKind::Unsupported, reason));
    }
    let unusable = |reason| StorageError::new(location, StorageErrorKind::Unsupported, reason);
    let (scheme, _) = root.split_once("://").unwrap_or((root, ""));
    let is_s3 = matches!(scheme, "s3" | "s3a");
    let environment = |name: &str| std::env::var(name).ok();
    let settings = profiles::settings(options, is_s3, &environment).map_err(unusable)?;
    let mut retries = Retries::default();
    for (key, value) in &settings {
        retries.set(key, value).map_err(|why| unusable(format!("`{value}` of `{key}`: {why}")))?;
    }
    let retry = RetryConfig {
        max_retries: retries.most,
        retry_timeout: retries.within,
        backoff: BackoffConfig { init_backoff: retries.backoff, ..BackoffConfig::default() },
    };
    let connector = Connector(meter.clone());
    /// A builder with those of the settings that it knows; the others are for other kinds of stores.
    macro_rules! said {
        ($builder:expr) => {
            settings.iter().fold($builder, |builder, (key, value)| match key.parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            })
        };
    }
    /// A builder that knows the environment, with what it does not say.
    macro_rules! build {
        ($builder:ty, $key:path) => {
            TIMEOUTS
                .iter()
                .fold(said!(<$builder>::from_env().with_url(root)), |builder, (key, value)| {
                    let said = builder.get_config_value(&$key(*key));
                    if said.is_none_or(|said| said == DEFAULT_TIMEOUT) {
                        builder.with_config($key(*key), *value)
                    } else {
                        builder
                    }
                })
                .with_retry(retry)
                .with_http_connector(connector)
                .build()
                .map(Arc::new)
        };
    }
    let client: Result<Client, object_store::Error> = match scheme {
        _ if is_s3 => build!(aws::AmazonS3Builder, aws::AmazonS3ConfigKey::Client).map(|store| {
            // S3 Express is the one that lists in no order.
            let ordered = !root.ends_with("--x-s3");
            let pages = ordered.then(|| store.clone() as Arc<dyn PaginatedListStore>);
            Client { pages, ..Client::with_multipart(store) }
        }),
        "gs" => build!(gcp::GoogleCloudStorageBuilder, gcp::GoogleConfigKey::Client)
            .map(|store| Client { pages: Some(store.clone()), ..Client::with_multipart(store) }),
        "http" | "https" => {
            let builder = TIMEOUTS
                .iter()
                .fold(http::HttpBuilder::new().with_url(root), |builder, (key, value)| {
                    builder.with_config(*key, *value)
                });
            said!(builder)
                .with_config(ClientConfigKey::AllowHttp, "true")
                .with_retry(retry)
                .with_http_connector(connector)
                .build()
                .map(|store| Client::reading(Arc::new(store)))
        }
        _ => build!(azure::MicrosoftAzureBuilder, azure::AzureConfigKey::Client)
            .map(Client::with_multipart),
    };
    client.map(|client| Client { retries, ..client }).map_err(|e| {
        let reason =
            format!("the store cannot be opened; check the environment and the options: {e}");
        StorageError::new(location, StorageErrorKind::Unsupported, reason)
    })
}

/// Whether a store says that it has no such bucket: the client tells that of objects alone.
fn no_bucket(error: &object_store::Error) -> bool {
    let text = error.to_string();
    ["NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"]
        .iter()
        .any(|code| text.contains(code))
}

/// What a store says, as an error about `location`.
pub(super) fn store_error(location: &Location, error: &object_store::Error) -> StorageError {
    use object_store::Error;
    let (kind, reason) = match error {
        Error::NotFound { .. } => {
            (StorageErrorKind::NotFound, "does not exist; check bucket and path".to_string())
        }
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => (
            StorageErrorKind::Permission,
            format!("access is denied; check the secrets in the environment: {error}"),
        ),
        Error::AlreadyExists { .. } => (StorageErrorKind::Exists, "exists already".to_string()),
        Error::NotSupported { .. } | Error::NotImplemented { .. } => {
            (StorageErrorKind::Unsupported, format!("the store cannot do this: {error}"))
        }
        _ if no_bucket(error) => (
            StorageErrorKind::NotFound,
            "does not exist: the store has no such bucket; check bucket and path".to_string(),
        ),
        _ => (StorageErrorKind::Other, error.to_string()),
    };
    StorageError::new(location, kind, reason)
}

/// What was listed as `meta`.
pub(super) fn object_of(location: Location, meta: &ObjectMeta) -> Object {
    Object { location, size: meta.size, stamp: Stamp::of_etag(meta.e_tag.as_deref()) }
}

/// An object, read through a window of at least [`WINDOW_BYTES`].
pub(super) struct RemoteFile {
    storage: Storage,
    location: Location,
    client: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    /// As it was listed; where that is unknown, what the first answer says.
    stamp: Arc<Mutex<Stamp>>,
    window: Mutex<(u64, Bytes)>,
}

impl RemoteFile {
    pub(super) fn open(storage: &Storage, location: &Location) -> Result<Self, StorageError> {
        let (Client { store: client, .. }, path) = storage.client(location)?;
        let head = {
            let (client, path) = (client.clone(), path.clone());
            storage.wait(location, async move { client.head(&path).await })?
        };
        let head = head.map_err(|e| store_error(location, &e))?;
        RemoteFile::open_listed(storage, &object_of(location.clone(), &head))
    }

    pub(super) fn open_listed(storage: &Storage, object: &Object) -> Result<Self, StorageError> {
        let Object { location, size, stamp } = object.clone();
        let (Client { store: client, .. }, path) = storage.client(&location)?;
        let (window, stamp) = (Mutex::default(), Arc::new(Mutex::new(stamp)));
        Ok(RemoteFile { storage: storage.clone(), location, client, path, size, stamp, window })
    }

    /// The bytes of a range, as far as there are any.
    fn read_range(&self, range: &Range<u64>) -> Result<Bytes, StorageError> {
        let end = range.end.min(self.size);
        if range.start >= end { Ok(Bytes::new()) } else { self.fetch(range.start..end) }
    }

    fn fetch(&self, range: Range<u64>) -> Result<Bytes, StorageError> {
        let mut read = self.fetch_all(vec![range])?;
        Ok(read.pop().unwrap_or_default())
    }

    /// The bytes of ranges, each of which has some: near ones in one request, requests side by side.
    fn fetch_all(&self, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, StorageError> {
        self.begin_all(ranges)?.wait(&self.location)
    }

    /// Asks for what [`RemoteFile::fetch_all`] gives.
    fn begin_all(&self, ranges: Vec<Range<u64>>) -> Result<Begun, StorageError> {
        let (client, path) = (self.client.clone(), self.path.clone());
        let (listed, stamp, location) = (self.size, self.stamp.clone(), self.location.clone());
        let get = move |range: Range<u64>| {
            let (client, path, location) = (client.clone(), path.clone(), location.clone());
            let stamp = stamp.clone();
            async move {
                let failed = |error: object_store::Error| store_error(&location, &error);
                let options =
                    GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
                let result = match client.get_opts(&path, options).await {
                    Ok(result) => result,
                    Err(error) => {
                        // It may have been cut short since, so that there is no such range.
                        return Err(match client.head(&path).await {
                            Ok(meta) if meta.size != listed => {
                                changed(&location, listed, meta.size)
                            }
                            _ => of_listed(failed(error)),
                        });
                    }
                };
                let now = Stamp::of_etag(result.meta.e_tag.as_deref());
                let as_before = stamp.lock().unwrap_or_else(PoisonError::into_inner).seen(now);
                if result.meta.size != listed || !as_before {
                    return Err(changed(&location, listed, result.meta.size));
                }
                let (wanted, bytes) = (result.range.clone(), result.bytes().await);
                let bytes = bytes.map_err(failed)?;
                if bytes.len() as u64 != wanted.end - wanted.start {
                    let reason = format!(
                        "the store sent {} bytes of {} of it from byte {} on; try again",
                        bytes.len(),
                        wanted.end - wanted.start,
                        wanted.start
                    );
                    return Err(StorageError::other(&location, reason));
                }
                Ok(bytes)
            }
        };
        let fetched =
            async move { coalesce_ranges(&ranges, get, OBJECT_STORE_COALESCE_DEFAULT).await };
        Ok(Begun(self.storage.start(&self.location, fetched)?))
    }
}

impl ReadAt for RemoteFile {
    fn location(&self) -> &Location {
        &self.location
    }

    fn size(&self) -> Result<u64, StorageError> {
        Ok(self.size)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, StorageError> {
        let end = (offset + buffer.len() as u64).min(self.size);
        let mut at = offset;
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        while at < end {
            let (start, bytes) = &*window;
            if at < *start || at >= *start + bytes.len() as u64 {
                let until = end.max(at + WINDOW_BYTES).min(self.size);
                let fetched = self.fetch(at..until)?;
                if fetched.is_empty() {
                    break;
                }
                *window = (at, fetched);
                continue;
            }
            let from = (at - start) as usize;
            let count = (bytes.len() - from).min((end - at) as usize);
            let to = (at - offset) as usize;
            buffer[to..to + count].copy_from_slice(&bytes[from..from + count]);
            at += count as u64;
        }
        Ok((at - offset) as usize)
    }

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StorageError> {
        let within = ranges.iter().map(|r| r.start.min(self.size)..r.end.min(self.size));
        let within: Vec<_> = within.collect();
        if within.iter().any(Range::is_empty) {
            // Stores refuse a range of nothing.
            return ranges.iter().map(|range| self.read_range(range)).collect();
        }
        self.fetch_all(within)
    }

    fn begin_ranges(&self, ranges: &[Range<u64>]) -> Result<Option<Begun>, StorageError> {
        if ranges.iter().any(|range| range.is_empty() || range.end > self.size) {
            return Ok(None);
        }
        self.begin_all(ranges.to_vec()).map(Some)
    }
}
