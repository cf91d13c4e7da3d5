//! The authority of a cluster: makes itself, and certifies keys.

use super::files::{self, CA, CA_KEY};
use super::identity::COORDINATOR;
use super::{Certificate, Identity, Secret, SecurityError};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A point of the curve P-256, uncompressed: a first byte of 4, and two coordinates.
const PUBLIC_KEY_BYTES: usize = 65;

/// Clocks of different machines may differ so much.
const CLOCKS: Duration = Duration::from_secs(60 * 60);

/// How long an authority lives that Windrow makes.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

fn failed(error: impl std::fmt::Display) -> SecurityError {
    SecurityError::Certificate(error.to_string())
}

/// A key pair that is not certified yet. The curve is P-256.
pub struct NewKey(KeyPair);

impl NewKey {
    /// Draws one.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn draw() -> Result<NewKey, SecurityError> {
        Ok(NewKey(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?))
    }

    /// What is certified: a point of the curve, uncompressed.
    pub fn public(&self) -> &[u8] {
        self.0.public_key_raw()
    }

    /// The key with its certificate, and those between that and the authority, in DER; good for `lifetime` from now on.
    pub fn certified(self, chain: Vec<Vec<u8>>, lifetime: Duration) -> Certificate {
        let key = Secret::new(self.0.serialize_der());
        Certificate { chain, key, since: SystemTime::now(), lifetime: Some(lifetime) }
    }
}

/// Somebody else's public key.
struct PublicKey<'k>(&'k [u8]);

impl PublicKeyData for PublicKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// The authority of a cluster, with its key.
pub struct Authority(Issuer<'static, KeyPair>);

impl Authority {
    /// Makes a new one: the text of its certificate, and of its key.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn make() -> Result<(String, Secret<String>), SecurityError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = CertificateParams::default();
        // Each of its own name: where two are believed, those who verify find the right one by it.
        let id: String = key.public_key_raw()[1..5].iter().map(|b| format!("{b:02x}")).collect();
        params.distinguished_name = named(&format!("Windrow cluster {id}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        live(&mut params, AUTHORITY_LIFE);
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok((certificate.pem(), Secret::new(key.serialize_pem())))
    }

    /// The authority of a folder; none if that has no key of one.
    ///
    /// # Errors
    /// If the files cannot be read, or are none.
    pub fn read(folder: &Path) -> Result<Option<Authority>, SecurityError> {
        let Some(key) = files::read_private(folder, CA_KEY)? else { return Ok(None) };
        let missing = SecurityError::Missing {
            folder: folder.to_owned(),
            missing: "`ca.pem`, the certificate of `ca-key.pem`",
        };
        let certificate = files::read(folder, CA)?.ok_or(missing)?;
        let wrong = |name: &str, error: rcgen::Error| SecurityError::Content {
            path: folder.join(name),
            why: error.to_string(),
        };
        let key = KeyPair::from_pem(&key).map_err(|error| wrong(CA_KEY, error))?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key);
        Ok(Some(Authority(issuer.map_err(|error| wrong(CA, error))?)))
    }

    /// Certifies that who has the key to `public_key` is `identity`: the certificate, in DER.
    ///
    /// # Errors
    /// If that is no public key, or nobody who has certificates.
    pub fn certify(
        &self,
        public_key: &[u8],
        identity: &Identity,
        lifetime: Duration,
    ) -> Result<Vec<u8>, SecurityError> {
        if public_key.len() != PUBLIC_KEY_BYTES || public_key[0] != 4 {
            return Err(failed("this is no public key of the curve P-256"));
        }
        let names = identity.names();
        if names.is_empty() {
            return Err(failed(format!("there are no certificates for {identity}")));
        }
        let mut usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if matches!(identity, Identity::Worker { .. }) {
            usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        self.issue(&PublicKey(public_key), names, usages, lifetime)
    }

    /// A certificate of a coordinator, with its key.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(super) fn of_coordinator(&self, lifetime: Duration) -> Result<Certificate, SecurityError> {
        let key = NewKey::draw()?;
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = self.issue(&key.0, vec![COORDINATOR.to_owned()], usages, lifetime)?;
        Ok(key.certified(vec![certificate], lifetime))
    }

    fn issue(
        &self,
        key: &impl PublicKeyData,
        names: Vec<String>,
        usages: Vec<ExtendedKeyUsagePurpose>,
        lifetime: Duration,
    ) -> Result<Vec<u8>, SecurityError> {
        let name = names.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(names).map_err(failed)?;
        params.distinguished_name = named(&name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        params.use_authority_key_identifier_extension = true;
        live(&mut params, lifetime);
        let certificate = params.signed_by(key, &self.0).map_err(failed)?;
        Ok(certificate.der().to_vec())
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Lets it hold from now on, as any clock of the cluster has it.
fn live(params: &mut CertificateParams, lifetime: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - CLOCKS).into();
    params.not_after = (now + lifetime).into();
}

/// Certificates in DER, as rustls takes them.
pub(super) fn chain(certificates: &[Vec<u8>]) -> Vec<CertificateDer<'static>> {
    certificates.iter().map(|der| CertificateDer::from(der.clone())).collect()
}

/// A key in DER (PKCS #8), as rustls takes it.
pub(super) fn key(der: &Secret<Vec<u8>>) -> PrivatePkcs8KeyDer<'static> {
    PrivatePkcs8KeyDer::from(der.reveal().clone())
}
