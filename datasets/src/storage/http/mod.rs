//! The HTTP below the clients of object stores.
//!
//! [`Wire`] counts what goes over it, lets no more requests run at once than the store bears ([`Limiter`]), and asks a
//! second time for what the store is unusually slow to answer ([`Pace`]; J. Dean and L. A. Barroso, "The Tail at Scale",
//! 2013). Retries after an error or within a body are the client's, above it, and pass through here again: so what is
//! counted is what the store saw.

mod limiter;
mod pace;
mod traffic;

#[cfg(test)]
mod tests;

pub(super) use traffic::Meter;
pub use traffic::Traffic;

use async_trait::async_trait;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use limiter::{Limiter, Permit};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};
use pace::Pace;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;

/// Makes HTTP clients of which a [`Meter`] counts the traffic.
#[derive(Debug)]
pub(super) struct Connector(pub(super) Arc<Meter>);

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Wire::new(client, self.0.clone())))
    }
}

/// One client's connections to a store.
#[derive(Debug)]
struct Wire {
    client: HttpClient,
    meter: Arc<Meter>,
    limiter: Arc<Limiter>,
    pace: Pace,
}

impl Wire {
    fn new(client: HttpClient, meter: Arc<Meter>) -> Wire {
        Wire { client, meter, limiter: Arc::default(), pace: Pace::default() }
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.meter.request(request.body().content_length() as u64);
        self.client.execute(request).await
    }

    /// Sends a request that may be sent twice.
    async fn send_or_repeat(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let Some(patience) = self.pace.patience() else { return self.send(request).await };
        let first = self.send(request.clone());
        tokio::pin!(first);
        tokio::select! {
            answer = &mut first => return answer,
            () = tokio::time::sleep(patience) => {}
        }
        self.pace.repeated();
        self.meter.hedged();
        let second = self.send(request);
        tokio::pin!(second);
        // The first good answer counts; of two bad ones the later.
        tokio::select! {
            answer = &mut first => if answer.is_ok() { answer } else { second.await },
            answer = &mut second => if answer.is_ok() { answer } else { first.await },
        }
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let permit = self.limiter.clone().acquire().await;
        let reads = request.method() == http::Method::GET && request.body().is_empty();
        let begun = Instant::now();
        let answer =
            if reads { self.send_or_repeat(request).await } else { self.send(request).await };
        let status = answer.as_ref().map(|answer| answer.status());
        let overloaded = match &status {
            Ok(status) => matches!(status.as_u16(), 429 | 503),
            Err(_) => true,
        };
        self.limiter.answered(overloaded);
        if status.is_ok_and(|status| status.is_success()) {
            if reads {
                self.pace.answered(begun.elapsed());
            }
        } else {
            self.meter.failed();
        }
        let (parts, body) = answer?.into_parts();
        let body = Counted { body, meter: self.meter.clone(), permit: Some(permit) };
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

/// The body of an answer; its request counts as running until it is read, breaks off or is dropped.
///
/// Who reads a body that broke off asks for the rest while he still has the broken one: if that kept its permit, as
/// many as there are permits would wait for each other for ever.
struct Counted {
    body: HttpResponseBody,
    meter: Arc<Meter>,
    permit: Option<Permit>,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(frame))) => {
                self.meter.received(frame.data_ref().map_or(0, |data| data.len() as u64));
            }
            Poll::Ready(Some(Err(_)) | None) => self.permit = None,
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
