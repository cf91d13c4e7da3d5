//! A fast S3 server over a folder, to read from: a bucket is a folder, an object a file. It knows `GetObject` with
//! ranges, `HeadObject` and `ListObjectsV2`, asks for no credentials, and counts requests and bytes. Beside them there
//! may be buckets of many small objects that are made as they are asked for.
//!
//! Files are mapped, and a bucket's list is kept: neither may change while it runs. One thread does all, so that it can be pinned to a core.

mod list;
mod made;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_MATCH, LAST_MODIFIED, RANGE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use made::Made;
use memmap2::Mmap;
use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The path under which the counts are, as JSON.
pub const COUNTS: &str = "/_counts";

/// What was asked for so far; what is asked at [`COUNTS`] is left out.
#[derive(Debug, Default)]
pub struct Counts {
    /// `GetObject`.
    pub get: AtomicU64,
    /// `HeadObject`.
    pub head: AtomicU64,
    /// `ListObjectsV2`.
    pub list: AtomicU64,
    /// Answers that say that something is wrong or missing.
    pub failed: AtomicU64,
    /// The bytes of objects that were sent.
    pub bytes: AtomicU64,
}

impl Counts {
    /// All of them, as JSON.
    pub fn json(&self) -> String {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (get, head, list) = (of(&self.get), of(&self.head), of(&self.list));
        format!(
            r#"{{"requests":{},"get":{get},"head":{head},"list":{list},"failed":{},"bytes":{}}}"#,
            get + head + list,
            of(&self.failed),
            of(&self.bytes)
        )
    }
}

/// A file that was asked for.
#[derive(Clone)]
struct Object {
    bytes: Bytes,
    etag: String,
}

/// What the server serves.
pub struct Server {
    root: PathBuf,
    /// By name, buckets that are no folders.
    made: HashMap<String, Made>,
    /// Mapped when they were first asked for.
    objects: Mutex<HashMap<PathBuf, Object>>,
    /// By bucket, read when it was first listed.
    lists: Mutex<HashMap<String, Vec<list::Entry>>>,
    /// What was asked for.
    pub counts: Counts,
}

type Answer = Response<Full<Bytes>>;

/// Why there is no better answer: the status, and the code that S3 has for it.
#[derive(Debug)]
struct Failure(StatusCode, &'static str);

impl From<Failure> for Answer {
    fn from(Failure(status, code): Failure) -> Answer {
        let head = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
        let body = format!("{head}<Error><Code>{code}</Code></Error>");
        let mut answer = Response::new(Full::from(body));
        *answer.status_mut() = status;
        answer
    }
}

impl Server {
    /// Of the buckets in a folder, and of those that have so many small objects.
    pub fn new(
        root: impl Into<PathBuf>,
        made: impl IntoIterator<Item = (String, u64)>,
    ) -> Arc<Server> {
        Arc::new(Server {
            root: root.into(),
            made: made.into_iter().map(|(bucket, objects)| (bucket, Made(objects))).collect(),
            objects: Mutex::default(),
            lists: Mutex::default(),
            counts: Counts::default(),
        })
    }

    /// Answers what comes in at `listener`, until the process ends or the runtime is dropped.
    ///
    /// # Errors
    /// If the listener fails.
    pub async fn serve(self: Arc<Server>, listener: TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let server = self.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request| {
                    let server = server.clone();
                    async move { Ok::<_, Infallible>(server.answer(&request)) }
                });
                let mut connection = http1::Builder::new();
                connection.timer(TokioTimer::new());
                // A client that goes away is no news.
                let _ = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Answer {
        if request.uri().path() == COUNTS {
            return Response::new(Full::from(self.counts.json()));
        }
        let path = decoded(request.uri().path());
        let (bucket, key) =
            path.trim_start_matches('/').split_once('/').unwrap_or((&path[1..], ""));
        let query = request.uri().query().unwrap_or("");
        let count = |count: &AtomicU64| count.fetch_add(1, Ordering::Relaxed);
        let answer = match *request.method() {
            Method::GET if key.is_empty() => {
                count(&self.counts.list);
                self.list(bucket, query)
            }
            Method::GET => {
                count(&self.counts.get);
                self.object(request, bucket, key)
            }
            Method::HEAD => {
                count(&self.counts.head);
                self.object(request, bucket, key)
            }
            _ => Err(Failure(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed")),
        };
        answer.unwrap_or_else(|failure| {
            count(&self.counts.failed);
            failure.into()
        })
    }

    fn list(&self, bucket: &str, query: &str) -> Result<Answer, Failure> {
        let missing = |_| Failure(StatusCode::NOT_FOUND, "NoSuchBucket");
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = match lists.entry(bucket.to_string()) {
            Occupied(entries) => entries.into_mut(),
            Vacant(place) => place.insert(match self.made.get(bucket) {
                Some(made) => made.entries(),
                None => list::entries(&self.path(bucket, "")?).map_err(missing)?,
            }),
        };
        Ok(Response::new(Full::from(list::xml(entries, bucket, query))))
    }

    fn object<B>(&self, request: &Request<B>, bucket: &str, key: &str) -> Result<Answer, Failure> {
        let missing = || Failure(StatusCode::NOT_FOUND, "NoSuchKey");
        let object = match self.made.get(bucket) {
            Some(made) => made.object(key).ok_or_else(missing)?,
            None => self.open(self.path(bucket, key)?).map_err(|_| missing())?,
        };
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        if header(IF_MATCH).is_some_and(|etag| etag != object.etag) {
            return Err(Failure(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"));
        }
        let size = object.bytes.len();
        let mut answer = Response::builder()
            .header(ETAG, object.etag)
            .header(ACCEPT_RANGES, "bytes")
            .header(LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT");
        let body = match header(RANGE) {
            None => object.bytes,
            Some(range) => {
                let wrong = || Failure(StatusCode::RANGE_NOT_SATISFIABLE, "InvalidRange");
                let (start, end) = range_of(range, size).ok_or_else(wrong)?;
                answer = answer
                    .status(StatusCode::PARTIAL_CONTENT)
                    .header(CONTENT_RANGE, format!("bytes {start}-{}/{size}", end - 1));
                object.bytes.slice(start..end)
            }
        };
        let answer = answer.header(CONTENT_LENGTH, body.len());
        let body = if request.method() == Method::HEAD { Bytes::new() } else { body };
        self.counts.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        answer.body(Full::new(body)).map_err(|_| Failure(StatusCode::BAD_REQUEST, "BadRequest"))
    }

    /// Where an object is.
    fn path(&self, bucket: &str, key: &str) -> Result<PathBuf, Failure> {
        let path = Path::new(bucket).join(key);
        match path.components().all(|part| matches!(part, Component::Normal(_))) {
            true => Ok(self.root.join(path)),
            false => Err(Failure(StatusCode::BAD_REQUEST, "InvalidURI")),
        }
    }

    fn open(&self, path: PathBuf) -> io::Result<Object> {
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(object) = objects.get(&path) {
            return Ok(object.clone());
        }
        let file = fs::File::open(&path)?;
        let metadata = file.metadata()?;
        let bytes = match metadata.len() {
            _ if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            0 => Bytes::new(),
            // SAFETY: files do not change while the server runs; its documentation asks for that.
            _ => Bytes::from_owner(unsafe { Mmap::map(&file)? }),
        };
        let object = Object { etag: etag(&metadata), bytes };
        objects.insert(path, object.clone());
        Ok(object)
    }
}

/// What tells versions of a file apart.
fn etag(metadata: &fs::Metadata) -> String {
    let modified =
        metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    format!("\"{:x}-{:x}\"", modified.unwrap_or_default().as_nanos(), metadata.len())
}

/// Start and end of `bytes=5-9`, `bytes=5-` or `bytes=-5`.
fn range_of(range: &str, size: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (first, last) {
        ("", last) => (size.saturating_sub(last.parse().ok()?), size),
        (first, "") => (first.parse().ok()?, size),
        (first, last) => {
            (first.parse().ok()?, last.parse::<usize>().ok()?.checked_add(1)?.min(size))
        }
    };
    (start < end).then_some((start, end))
}

/// Text with `%41` as `A`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let coded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match coded {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(range_of("bytes=0-9", 100), Some((0, 10)));
        assert_eq!(range_of("bytes=90-200", 100), Some((90, 100)));
        assert_eq!(range_of("bytes=90-", 100), Some((90, 100)));
        assert_eq!(range_of("bytes=-7", 100), Some((93, 100)));
        assert_eq!(range_of("bytes=-700", 100), Some((0, 100)));
        for wrong in ["bytes=100-", "bytes=9-3", "0-9", "bytes=a-b", "bytes=-0"] {
            assert_eq!(range_of(wrong, 100), None, "{wrong}");
        }
    }

    #[test]
    fn paths() {
        assert_eq!(decoded("/b/year%3D2024/a%20b%"), "/b/year=2024/a b%");
        let server = Server::new("/files", []);
        assert!(server.path("b", "../x").is_err() && server.path("..", "x").is_err());
        assert_eq!(server.path("b", "c/d").unwrap(), Path::new("/files/b/c/d"));
    }
}
