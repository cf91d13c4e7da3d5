//! An S3 server inside the test process, over a folder, in front of which faults can be put.
//!
//! The store itself is s3s-fs: it checks signatures, and a bucket is a folder that a test can look into. Before it stand
//! [`Rule`]s, which break requests and answers in the ways in which stores and networks do, a lock for each path (its
//! conditional writes are not atomic), and a record of all requests. Nothing here knows Windrow.

// Each test binary uses a part of it, and it is a module of each.
#![allow(dead_code, unreachable_pub, unused_imports)]

mod faults;
mod synthetic;

pub use faults::{Fault, Rule, When};

use bytes::Bytes;
use faults::{Faulty, fail};
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use synthetic::Synthetic;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// Whoever has these may do all.
pub const ACCESS_KEY: &str = "WINDROWTESTS";
/// See [`ACCESS_KEY`].
pub const SECRET_KEY: &str = "secret-of-the-tests";

/// What goes wrong with a body or a request.
type Error = std::io::Error;
/// The body of an answer.
type Answer = UnsyncBoxBody<Bytes, Error>;

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its method.
    pub method: Method,
    /// Its path, `/bucket/key`, as it came.
    pub path: String,
    /// Its query, without the question mark.
    pub query: String,
    /// The range that it asked for, as it came.
    pub range: Option<String>,
    status: Arc<AtomicU16>,
}

impl Seen {
    /// What it was answered; 0 if it was not, or not yet.
    pub fn status(&self) -> u16 {
        self.status.load(Ordering::SeqCst)
    }

    /// Whether it makes an object visible: one of an output, not what a job writes down in its hidden folder.
    pub fn publishes(&self) -> bool {
        self.puts() && !self.path.contains("/.windrow-") && (200..300).contains(&self.status())
    }

    /// Whether it makes or removes an object, once it is answered.
    pub fn writes(&self) -> bool {
        let deletes = match self.method {
            Method::DELETE => !self.query.contains("uploadId="),
            _ => self.method == Method::POST && self.query == "delete",
        };
        self.puts() || deletes
    }

    /// Whether it makes an object, once it is answered.
    fn puts(&self) -> bool {
        let whole = self.method == Method::PUT && !self.query.contains("partNumber=");
        let parts = self.method == Method::POST && self.query.contains("uploadId=");
        whole || parts
    }
}

/// A server that runs until it is dropped.
pub struct S3 {
    shared: Arc<Shared>,
    address: SocketAddr,
    runtime: Option<Runtime>,
}

struct Shared {
    root: PathBuf,
    store: S3Service,
    /// Those who write to one path take turns: without it several of them win what only one may.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    rules: Mutex<Vec<Arc<Rule>>>,
    synthetic: Mutex<Vec<Synthetic>>,
    seen: Mutex<Vec<Seen>>,
    received: AtomicU64,
    sent: Arc<AtomicU64>,
}

impl S3 {
    /// A server over a folder, which is made.
    pub fn start(root: &Path) -> S3 {
        S3::start_at(root, "127.0.0.1")
    }

    /// The same, at an address of this machine.
    pub fn start_at(root: &Path, host: &str) -> S3 {
        std::fs::create_dir_all(root).unwrap();
        let mut store = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
        store.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let shared = Arc::new(Shared {
            root: root.to_path_buf(),
            store: store.build(),
            turns: Mutex::default(),
            rules: Mutex::default(),
            synthetic: Mutex::default(),
            seen: Mutex::default(),
            received: AtomicU64::new(0),
            sent: Arc::default(),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("s3")
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind((host, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(accept(listener, shared.clone()));
        S3 { shared, address, runtime: Some(runtime) }
    }

    /// Makes a bucket; gives its folder.
    pub fn bucket(&self, name: &str) -> PathBuf {
        let folder = self.shared.root.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Makes a bucket appear to have `objects` empty objects with names as `prefix` and a number of eight digits. They
    /// can be listed, and not read.
    pub fn pretend(&self, bucket: &str, prefix: &str, objects: u64) {
        let synthetic = Synthetic::new(bucket, prefix, objects);
        self.shared.synthetic.lock().unwrap().push(synthetic);
    }

    /// The server's address, as clients want it.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The environment by which clients find the server.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_string()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_string()),
            ("AWS_REGION", "us-east-1".to_string()),
            ("AWS_ALLOW_HTTP", "true".to_string()),
        ]
    }

    /// From now on requests that a rule matches go wrong as it says. Of several rules the first that fires counts.
    pub fn break_by(&self, rule: Rule) -> Arc<Rule> {
        let rule = Arc::new(rule);
        self.shared.rules.lock().unwrap().push(rule.clone());
        rule
    }

    /// No rule holds any more.
    pub fn heal(&self) {
        self.shared.rules.lock().unwrap().clear();
    }

    /// All requests so far, in the order in which they came.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// How many requests came so far.
    pub fn requests(&self) -> u64 {
        self.shared.seen.lock().unwrap().len() as u64
    }

    /// How many bytes of bodies came in, and went out.
    pub fn bytes(&self) -> (u64, u64) {
        (self.shared.received.load(Ordering::SeqCst), self.shared.sent.load(Ordering::SeqCst))
    }

    /// Forgets requests and bytes.
    pub fn forget(&self) {
        self.shared.seen.lock().unwrap().clear();
        self.shared.received.store(0, Ordering::SeqCst);
        self.shared.sent.store(0, Ordering::SeqCst);
    }

    /// Uploads in parts that were neither completed nor given up.
    pub fn unfinished(&self) -> Vec<String> {
        self.names().into_iter().filter(|name| name.starts_with(".upload-")).collect()
    }

    /// Those of them of which parts were uploaded.
    pub fn unfinished_with_parts(&self) -> Vec<String> {
        let names = self.names();
        let has_parts = |upload: &String| {
            let id = upload.trim_start_matches(".upload-").trim_end_matches(".json");
            names.iter().any(|name| name.starts_with(&format!(".upload_id-{id}.part-")))
        };
        self.unfinished().into_iter().filter(has_parts).collect()
    }

    /// The names of the files in which the server keeps what is not an object.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.shared.root).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// All objects of a bucket, by key, with their bytes.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        let root = self.shared.root.join(bucket);
        let mut found = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = std::fs::read(&path) {
                    let key = path.strip_prefix(&root).unwrap().to_str().unwrap().to_string();
                    found.insert(key, bytes);
                }
            }
        }
        found
    }

    /// The keys of a bucket, in order.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        self.objects(bucket).into_keys().collect()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        // An error is of one connection, whose client sees it.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, shared.clone()));
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let socket = stream.as_raw_fd();
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = shared.clone();
        async move { shared.answer(request, socket).await }
    });
    // Ended by the client, or by a fault.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Shared {
    async fn answer(
        &self,
        request: Request<Incoming>,
        socket: i32,
    ) -> Result<Response<Answer>, Error> {
        let seen = Seen {
            method: request.method().clone(),
            path: request.uri().path().to_string(),
            query: request.uri().query().unwrap_or_default().to_string(),
            range: request
                .headers()
                .get(http::header::RANGE)
                .and_then(|value| value.to_str().ok())
                .map(str::to_string),
            status: Arc::default(),
        };
        self.seen.lock().unwrap().push(seen.clone());
        let fault = {
            let rules = self.rules.lock().unwrap();
            rules.iter().find_map(|rule| rule.meets(&seen))
        };
        let answer = self.answer_with(request, &seen, fault, socket).await;
        let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        seen.status.store(status, Ordering::SeqCst);
        answer
    }

    async fn answer_with(
        &self,
        request: Request<Incoming>,
        seen: &Seen,
        fault: Option<Fault>,
        socket: i32,
    ) -> Result<Response<Answer>, Error> {
        let length = request.headers().get(http::header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        self.received.fetch_add(length.unwrap_or(0), Ordering::SeqCst);
        if let Some(fault) = &fault {
            match fault {
                Fault::Stall(Some(time)) => tokio::time::sleep(*time).await,
                Fault::Stall(None) => std::future::pending().await,
                Fault::Reset => return Err(fail(socket)),
                Fault::Status { .. } => {
                    // A client that still writes when the answer comes and the connection ends sees a reset instead.
                    let _ = request.into_body().collect().await;
                    let answer = fault.refusal().expect("a refusal");
                    return Ok(self.counted(answer.map(whole), None, 0));
                }
                _ => {}
            }
        }
        let answer = self.store_answers(request, seen).await?;
        if matches!(fault, Some(Fault::LoseAnswer)) {
            return Err(fail(socket));
        }
        let answer = match &fault {
            Some(fault) => fault.disguise(answer),
            None => answer,
        };
        Ok(self.counted(answer, fault, socket))
    }

    /// What the store itself answers.
    async fn store_answers(
        &self,
        request: Request<Incoming>,
        seen: &Seen,
    ) -> Result<Response<Answer>, Error> {
        let listed = {
            let synthetic = self.synthetic.lock().unwrap();
            synthetic.iter().find_map(|bucket| bucket.answer(seen))
        };
        if let Some(listed) = listed {
            return Ok(Response::new(whole(Full::from(listed))));
        }
        let reads = seen.method == Method::GET || seen.method == Method::HEAD;
        if reads && self.is_folder(&seen.path) {
            // There are no folders in a bucket; the store below would fail.
            let absent = Fault::status(404).refusal().expect("a refusal");
            return Ok(absent.map(whole));
        }
        let turn = (!reads).then(|| {
            let mut turns = self.turns.lock().unwrap();
            turns.entry(seen.path.clone()).or_default().clone()
        });
        let held = match &turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        let answer = self.store.call(request.map(s3s::Body::from)).await;
        let answer = answer.map_err(|error| Error::other(format!("{error:?}")))?;
        drop(held);
        Ok(answer.map(|body| body.map_err(Error::other).boxed_unsync()))
    }

    /// Whether this path of a request, `/bucket/key`, is a folder below the bucket.
    fn is_folder(&self, path: &str) -> bool {
        let path = percent_decoded(path);
        let key = path.trim_start_matches('/').split_once('/').map(|(_, key)| key);
        key.is_some_and(|key| !key.is_empty())
            && self.root.join(path.trim_start_matches('/')).is_dir()
    }

    /// An answer whose bytes are counted as they go, and broken on the way.
    fn counted(
        &self,
        answer: Response<Answer>,
        fault: Option<Fault>,
        socket: i32,
    ) -> Response<Answer> {
        let sent = self.sent.clone();
        answer.map(|body| Faulty::new(body, fault, socket, sent).boxed_unsync())
    }
}

fn whole(body: Full<Bytes>) -> Answer {
    body.map_err(|never| match never {}).boxed_unsync()
}

/// Text of which the bytes that are written as `%XX` are as they are meant.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = (first == b'%').then(|| after.get(..2)).flatten();
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
