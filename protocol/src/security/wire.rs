//! A connection, secured or not.

use super::Identity;
use rustls::pki_types::CertificateDer;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A connection between two processes. What is written to a secured one may stay in a buffer until it is flushed.
#[derive(Debug)]
pub enum Wire {
    /// What is sent is what the network carries.
    Plain(TcpStream),
    /// It is encrypted, and each side knows who the other is.
    Secured(Box<TlsStream<TcpStream>>),
}

impl Wire {
    /// The plain connection, where bytes may be moved by the system itself.
    pub fn plain(&self) -> Option<&TcpStream> {
        match self {
            Wire::Plain(stream) => Some(stream),
            Wire::Secured(_) => None,
        }
    }

    /// Who the other side is, by its certificate; none if it has shown none that says so.
    pub(super) fn certified(&self) -> Option<Identity> {
        let Wire::Secured(stream) = self else { return None };
        let chain = stream.get_ref().1.peer_certificates()?;
        identity_of(chain.first()?)
    }
}

/// Whom a certificate is of that was verified already.
fn identity_of(certificate: &CertificateDer<'_>) -> Option<Identity> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    Identity::of_names(certificate.valid_dns_names())
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_read(context, into),
            Wire::Secured(stream) => Pin::new(stream).poll_read(context, into),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Wire::Secured(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_flush(context),
            Wire::Secured(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Wire::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Wire::Secured(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
