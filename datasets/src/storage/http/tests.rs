//! A store that is slow, overloaded or broken, below the wire.

use super::*;
use futures::future::join_all;
use http_body_util::{BodyExt, StreamBody};
use object_store::client::{HttpErrorKind, HttpRequestBody};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// What the store does with a request.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Status(u16),
    After(Duration),
    Never,
    Broken,
    /// Good, with a body that breaks off.
    BreaksOff,
}

/// Answers by turns; those behind the last are good.
#[derive(Clone, Debug, Default)]
struct Fake(Arc<FakeState>);

#[derive(Debug, Default)]
struct FakeState {
    answers: Mutex<Vec<Answer>>,
    running: AtomicU32,
    most: AtomicU32,
    /// How long every answer takes.
    takes: Duration,
}

#[async_trait]
impl HttpService for Fake {
    async fn call(&self, _request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = self.0.answers.lock().unwrap().pop().unwrap_or(Answer::Status(200));
        let running = self.0.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most.fetch_max(running, Ordering::SeqCst);
        tokio::time::sleep(self.0.takes).await;
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        let good = |status: u16| {
            let body = HttpResponseBody::from("12345678".to_string());
            Ok(http::Response::builder().status(status).body(body).unwrap())
        };
        match answer {
            Answer::Status(status) => good(status),
            Answer::After(time) => {
                tokio::time::sleep(time).await;
                good(200)
            }
            Answer::Never => std::future::pending().await,
            Answer::BreaksOff => {
                let frames = [Ok(Frame::data(Bytes::from("1234"))), Err(broken())];
                let body = HttpResponseBody::new(StreamBody::new(futures::stream::iter(frames)));
                Ok(http::Response::builder().status(200).body(body).unwrap())
            }
            Answer::Broken => Err(broken()),
        }
    }
}

fn broken() -> HttpError {
    HttpError::new(HttpErrorKind::Connect, std::io::Error::other("broken"))
}

struct Store {
    fake: Fake,
    wire: Wire,
}

impl Store {
    fn new(takes: Duration) -> Store {
        let fake = Fake(Arc::new(FakeState { takes, ..FakeState::default() }));
        let wire = Wire::new(HttpClient::new(fake.clone()), Arc::default());
        Store { fake, wire }
    }

    /// These are the next answers.
    fn answers(&self, answers: impl IntoIterator<Item = Answer>) {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        *self.fake.0.answers.lock().unwrap() = answers;
    }

    async fn request(&self, method: &str, body: HttpRequestBody) -> Result<Vec<u8>, u16> {
        let request = http::Request::builder().method(method).uri("http://store/x").body(body);
        let answer = self.wire.call(request.unwrap()).await.map_err(|_| 0_u16)?;
        let status = answer.status();
        let bytes = answer.into_body().bytes().await.unwrap().to_vec();
        if status.is_success() { Ok(bytes) } else { Err(status.as_u16()) }
    }

    async fn read(&self) -> Result<Vec<u8>, u16> {
        self.request("GET", HttpRequestBody::empty()).await
    }

    fn traffic(&self) -> Traffic {
        self.wire.meter.traffic()
    }

    /// Reads until the pace is known.
    async fn warm(&self) {
        for _ in 0..64 {
            self.read().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn traffic_is_what_the_store_sees() {
    let store = Store::new(Duration::ZERO);
    store.answers([Answer::Status(200), Answer::Status(500), Answer::Broken]);
    assert_eq!(store.read().await, Ok(b"12345678".to_vec()));
    assert_eq!(store.read().await, Err(500));
    assert_eq!(store.request("PUT", HttpRequestBody::from(vec![0; 100])).await, Err(0));
    assert_eq!(
        store.traffic(),
        Traffic { requests: 3, failed: 2, hedged: 0, bytes_received: 16, bytes_sent: 100 }
    );
    let before = store.traffic();
    store.read().await.unwrap();
    let mut sum = before;
    sum.add(store.traffic().since(before));
    assert_eq!(sum, store.traffic());
    assert_eq!(store.traffic().since(before).requests, 1);
}

#[tokio::test(start_paused = true)]
async fn a_read_without_an_answer_is_sent_again() {
    let store = Store::new(Duration::from_millis(10));
    store.warm().await;
    store.answers([Answer::Never]);
    assert!(store.read().await.is_ok());
    assert_eq!((store.traffic().requests, store.traffic().hedged), (66, 1));
    // A slow first answer is as good as the second one's error.
    store.answers([Answer::After(Duration::from_secs(3)), Answer::Broken]);
    assert!(store.read().await.is_ok());
    assert_eq!(store.traffic().hedged, 2);
}

#[tokio::test(start_paused = true)]
async fn what_changes_something_is_sent_once() {
    let store = Store::new(Duration::from_millis(10));
    store.warm().await;
    store.answers([Answer::After(Duration::from_secs(5))]);
    assert!(store.request("PUT", HttpRequestBody::from(vec![1])).await.is_ok());
    store.answers([Answer::After(Duration::from_secs(5))]);
    assert!(store.request("POST", HttpRequestBody::empty()).await.is_ok());
    assert_eq!(store.traffic().hedged, 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_slow_as_a_whole_is_not_asked_twice_as_often() {
    let store = Store::new(Duration::from_millis(10));
    store.warm().await;
    let slow = Duration::from_secs(1);
    store.answers(std::iter::repeat_n(Answer::After(slow), 4000));
    for _ in 0..1000 {
        store.read().await.unwrap();
    }
    let hedged = store.traffic().hedged;
    assert!((1..=110).contains(&hedged), "{hedged} of 1,000 were sent twice");
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_store_gets_fewer_requests_at_once() {
    let store = Store::new(Duration::from_millis(300));
    let first = store.wire.limiter.limit();
    join_all((0..500).map(|_| store.read())).await;
    let grown = store.wire.limiter.limit();
    assert!(grown > first + 4.0, "{grown}");
    let most = f64::from(store.fake.0.most.load(Ordering::SeqCst));
    assert!(most <= grown + store.traffic().hedged as f64, "{most}");
    store.answers(std::iter::repeat_n(Answer::Status(503), 3000));
    for _ in 0..100 {
        join_all((0..10).map(|_| store.read())).await;
    }
    let cut = store.wire.limiter.limit();
    assert!(cut < grown * 0.8, "{cut} after {grown}");
    assert!(cut >= 2.0);
}

#[tokio::test(start_paused = true)]
async fn one_who_gives_up_leaves_its_place() {
    let store = Store::new(Duration::ZERO);
    store.answers(std::iter::repeat_n(Answer::Never, 100));
    let all = join_all((0..100).map(|_| store.read()));
    assert!(tokio::time::timeout(Duration::from_secs(1), all).await.is_err());
    store.answers([]);
    assert!(store.read().await.is_ok());
}

/// Who reads a body that breaks off asks for the rest before he lets go of it.
#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_keeps_no_place() {
    let store = Store::new(Duration::ZERO);
    store.answers(vec![Answer::BreaksOff; 300]);
    let mut kept = Vec::new();
    for _ in 0..300 {
        let request = http::Request::builder().method("GET").uri("http://store/x");
        let request = request.body(HttpRequestBody::empty()).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(60), store.wire.call(request));
        let mut body = answer.await.expect("a place is free").unwrap().into_body();
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_err());
        kept.push(body);
    }
}
