//! What goes wrong between a client and a store, and when.

use super::{Answer, Error, Seen};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, RETRY_AFTER};
use http::{Method, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// So much later a body is cut, so that what it had before has been written.
const FLUSHED: Duration = Duration::from_millis(20);

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The store answers with this status, and says after how many seconds to come again.
    Status { status: u16, retry_after: Option<u64> },
    /// The connection is reset before anything is done.
    Reset,
    /// The store does what it is asked to, and the connection is reset before it says so.
    LoseAnswer,
    /// The answer comes so much later; `None`: never.
    Stall(Option<Duration>),
    /// The body stops after so many bytes, for so long; `None`: for ever.
    StallBody(u64, Option<Duration>),
    /// The connection is reset after so many bytes of the body.
    ResetBody(u64),
    /// The connection is closed in good order after so many bytes of the body.
    CutBody(u64),
    /// The answer has so many bytes of what it should have, and says that this is all.
    Shorten(u64),
    /// One bit of this byte of the body is another one.
    FlipBit(u64),
    /// The answer has this ETag.
    ETag(&'static str),
}

impl Fault {
    /// The store answers with this status at once.
    pub fn status(status: u16) -> Fault {
        Fault::Status { status, retry_after: None }
    }

    /// The store forbids it.
    pub fn denied() -> Fault {
        Fault::status(403)
    }

    /// What the store says instead of an answer.
    pub(super) fn refusal(&self) -> Option<Response<Full<Bytes>>> {
        let Fault::Status { status, retry_after } = self else { return None };
        let code = match status {
            403 => "AccessDenied",
            404 => "NoSuchKey",
            429 => "TooManyRequests",
            503 => "SlowDown",
            _ => "InternalError",
        };
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>said by a test</Message></Error>"
        );
        let mut answer = Response::builder().status(*status);
        if let Some(seconds) = retry_after {
            answer = answer.header(RETRY_AFTER, *seconds);
        }
        Some(answer.body(Full::from(text)).unwrap())
    }

    /// Changes what an answer says of itself.
    pub(super) fn disguise(&self, mut answer: Response<Answer>) -> Response<Answer> {
        let header = |answer: &Response<Answer>, name| {
            let value: Option<&http::HeaderValue> = answer.headers().get(name);
            value.and_then(|value| value.to_str().ok()).map(str::to_string)
        };
        match self {
            Fault::ETag(tag) => {
                answer.headers_mut().insert(ETAG, format!("\"{tag}\"").parse().unwrap());
            }
            Fault::Shorten(bytes) => {
                let length = header(&answer, CONTENT_LENGTH).and_then(|text| text.parse().ok());
                if length.is_some_and(|length: u64| length > *bytes) {
                    answer.headers_mut().insert(CONTENT_LENGTH, (*bytes).into());
                    if let Some(range) = header(&answer, CONTENT_RANGE) {
                        let start = range.trim_start_matches("bytes ").split('-').next().unwrap();
                        let start: u64 = start.parse().unwrap();
                        let size = range.rsplit('/').next().unwrap();
                        let range = format!("bytes {start}-{}/{size}", start + bytes - 1);
                        answer.headers_mut().insert(CONTENT_RANGE, range.parse().unwrap());
                    }
                }
            }
            _ => {}
        }
        answer
    }
}

/// Which of the requests that a rule matches go wrong.
#[derive(Clone, Debug)]
pub enum When {
    /// All.
    Always,
    /// That one alone, from 1 on.
    Nth(u64),
    /// The first ones.
    First(u64),
    /// That one and all later ones.
    From(u64),
    /// This share of them, by a seed.
    Share(f64, u64),
}

/// Which requests go wrong, and how. It counts.
pub struct Rule {
    method: Option<Method>,
    path: String,
    query: String,
    writes: bool,
    when: When,
    fault: Fault,
    met: AtomicU64,
    fired: AtomicU64,
}

impl Rule {
    /// Requests of any method, path and query go wrong in this way.
    pub fn new(when: When, fault: Fault) -> Rule {
        Rule {
            method: None,
            path: String::new(),
            query: String::new(),
            writes: false,
            when,
            fault,
            met: AtomicU64::new(0),
            fired: AtomicU64::new(0),
        }
    }

    /// Only those of a method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Rule {
        self.method = Some(method);
        self
    }

    /// Only those whose path (`/bucket/key`) has this text.
    #[must_use]
    pub fn path(mut self, text: &str) -> Rule {
        self.path = text.to_string();
        self
    }

    /// Only those whose query has this text.
    #[must_use]
    pub fn query(mut self, text: &str) -> Rule {
        self.query = text.to_string();
        self
    }

    /// Only those after which there is another object, or one less, or one is another.
    #[must_use]
    pub fn writes(mut self) -> Rule {
        self.writes = true;
        self
    }

    /// How many requests it has broken.
    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::SeqCst)
    }

    /// What goes wrong with a request, if anything does.
    pub(super) fn meets(&self, request: &Seen) -> Option<Fault> {
        let matches = self.method.as_ref().is_none_or(|method| *method == request.method)
            && request.path.contains(&self.path)
            && request.query.contains(&self.query)
            && (!self.writes || request.writes());
        if !matches {
            return None;
        }
        let nth = self.met.fetch_add(1, Ordering::SeqCst) + 1;
        let fires = match self.when {
            When::Always => true,
            When::Nth(only) => nth == only,
            When::First(last) => nth <= last,
            When::From(first) => nth >= first,
            When::Share(share, seed) => {
                (mixed(seed ^ mixed(nth)) >> 11) as f64 / ((1u64 << 53) as f64) < share
            }
        };
        fires.then(|| {
            self.fired.fetch_add(1, Ordering::SeqCst);
            self.fault.clone()
        })
    }
}

/// The finalizer of SplitMix64: numbers in a row become numbers that seem random.
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Makes the end of a connection a reset; gives the error that ends it. It must be open still.
pub(super) fn fail(socket: i32) -> Error {
    let now = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the option's value is a `linger`, of its size; a socket that is closed already is an error, not a crash.
    unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const now).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        );
    }
    Error::other("the test resets the connection")
}

/// The body of an answer, counted and broken on the way.
pub(super) struct Faulty {
    body: Answer,
    fault: Option<Fault>,
    socket: i32,
    /// So many bytes have gone.
    at: u64,
    stalled: Option<Pin<Box<tokio::time::Sleep>>>,
    sent: Arc<AtomicU64>,
    /// What is to go before more is asked for.
    rest: Bytes,
}

impl Faulty {
    pub(super) fn new(
        body: Answer,
        fault: Option<Fault>,
        socket: i32,
        sent: Arc<AtomicU64>,
    ) -> Faulty {
        Faulty { body, fault, socket, at: 0, stalled: None, sent, rest: Bytes::new() }
    }

    /// How many more bytes may go before the fault, and what then happens.
    fn before_fault(&self) -> Option<u64> {
        match &self.fault {
            Some(
                Fault::StallBody(bytes, _)
                | Fault::ResetBody(bytes)
                | Fault::CutBody(bytes)
                | Fault::Shorten(bytes),
            ) => Some(bytes.saturating_sub(self.at)),
            _ => None,
        }
    }

    /// Waits so long, once.
    fn stalled_for(&mut self, time: Duration, context: &mut Context<'_>) -> Poll<()> {
        let sleep = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        sleep.as_mut().poll(context)
    }

    /// What happens at the place of the fault.
    fn at_fault(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &self.fault {
            Some(Fault::ResetBody(_)) => Poll::Ready(Some(Err(fail(self.socket)))),
            Some(Fault::CutBody(_)) => {
                ready!(self.stalled_for(FLUSHED, context));
                Poll::Ready(Some(Err(Error::other("the test closes the connection"))))
            }
            Some(Fault::Shorten(_)) => Poll::Ready(None),
            Some(Fault::StallBody(_, None)) => Poll::Pending,
            Some(Fault::StallBody(_, Some(time))) => {
                let time = *time;
                ready!(self.stalled_for(time, context));
                self.fault = None;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Ready(None),
        }
    }
}

impl Body for Faulty {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let left = self.before_fault();
        if left == Some(0) {
            return self.at_fault(context);
        }
        if self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return other,
            }
        }
        let count = left.map_or(self.rest.len(), |left| self.rest.len().min(left as usize));
        let mut data = self.rest.split_to(count);
        if let Some(Fault::FlipBit(place)) = self.fault
            && (self.at..self.at + count as u64).contains(&place)
        {
            let mut changed = data.to_vec();
            changed[(place - self.at) as usize] ^= 1;
            data = Bytes::from(changed);
        }
        self.at += count as u64;
        self.sent.fetch_add(count as u64, Ordering::SeqCst);
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.fault.is_none() && self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let shortened = matches!(self.fault, Some(Fault::Shorten(_)));
        if shortened { SizeHint::default() } else { self.body.size_hint() }
    }
}
