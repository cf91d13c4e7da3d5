//! How rustls is set up. Sessions are not resumed: each connection proves anew who is there, with a certificate that holds now.

use super::SecurityError;
use super::authority::{chain, key};
use super::credentials::Certificate;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::{Arc, OnceLock};

/// Whether those who connect must have a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callers {
    /// They must.
    Certified,
    /// They may have one, or show a token later.
    Any,
}

fn failed(error: impl std::fmt::Display) -> SecurityError {
    SecurityError::Certificate(error.to_string())
}

/// The algorithms: those of ring, AES with keys of 128 bits first, which takes fewer rounds than with 256 and is as hard to
/// break as the curve is by which keys are agreed on.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let make = || {
        use ring::cipher_suite::{
            TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
        };
        let cipher_suites = vec![
            TLS13_AES_128_GCM_SHA256,
            TLS13_AES_256_GCM_SHA384,
            TLS13_CHACHA20_POLY1305_SHA256,
        ];
        Arc::new(CryptoProvider { cipher_suites, ..ring::default_provider() })
    };
    PROVIDER.get_or_init(make).clone()
}

fn roots(authorities: &[Vec<u8>]) -> Result<Arc<RootCertStore>, SecurityError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(CertificateDer::from(authority.clone())).map_err(failed)?;
    }
    Ok(Arc::new(roots))
}

/// Makes sure that others will believe this process, whose certificate is to have this name.
pub(super) fn verify(
    authorities: &[Vec<u8>],
    own: &Certificate,
    name: &'static str,
) -> Result<(), SecurityError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(authorities)?, provider());
    let chain = chain(&own.chain);
    let (first, between) = chain.split_first().ok_or_else(|| failed("there is none"))?;
    let server = ServerName::try_from(name).map_err(failed)?;
    let verified = verifier.build().map_err(failed)?.verify_server_cert(
        first,
        between,
        &server,
        &[],
        UnixTime::now(),
    );
    verified.map(drop).map_err(|error| {
        failed(format!("others will not believe that this process is `{name}`: {error}"))
    })
}

/// For connections to others.
pub(super) fn client(
    authorities: &[Vec<u8>],
    certificate: Option<&Certificate>,
) -> Result<ClientConfig, SecurityError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(failed)?
        .with_root_certificates(roots(authorities)?);
    let mut config = match certificate {
        Some(own) => builder
            .with_client_auth_cert(chain(&own.chain), key(&own.key).into())
            .map_err(failed)?,
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// For connections from others.
pub(super) fn server(
    authorities: &[Vec<u8>],
    own: &Certificate,
    callers: Callers,
) -> Result<ServerConfig, SecurityError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(authorities)?, provider());
    let verifier = match callers {
        Callers::Certified => verifier,
        Callers::Any => verifier.allow_unauthenticated(),
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(failed)?
        .with_client_cert_verifier(verifier.build().map_err(failed)?)
        .with_single_cert(chain(&own.chain), key(&own.key).into())
        .map_err(failed)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
