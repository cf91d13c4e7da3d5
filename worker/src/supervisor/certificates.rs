//! Certificates: of the worker, and of its executors. The coordinator makes them; keys are drawn here, and stay.

use super::config::SupervisorConfig;
use super::control::{Control, ControlError};
use super::within;
use std::time::Duration;
use windrow_protocol::control::{CertificateOf, Refusal};
use windrow_protocol::ids::JobId;
use windrow_protocol::security::{Certificate, Given, NewKey, SecurityError};

/// How often it is looked whether the worker's certificate is old.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl From<SecurityError> for ControlError {
    fn from(error: SecurityError) -> ControlError {
        ControlError::Refused(Refusal::Invalid(error.to_string()))
    }
}

/// A certificate with a new key.
async fn ask<C: Control>(
    config: &SupervisorConfig,
    control: &C,
    of: CertificateOf,
) -> Result<Certificate, ControlError> {
    let key = NewKey::draw()?;
    let asked = control.certify(key.public().to_vec(), of);
    let issued = within(config.limits.answer, asked).await?;
    Ok(key.certified(issued.chain, Duration::from_secs(issued.lifetime_s)))
}

/// Gets a certificate for the worker, where it needs one.
///
/// # Errors
/// If the coordinator gives none.
pub(super) async fn of_worker<C: Control>(
    config: &SupervisorConfig,
    control: &C,
) -> Result<(), ControlError> {
    if config.credentials.want_certificate() {
        let certificate = ask(config, control, CertificateOf::Worker).await?;
        config.credentials.install(certificate)?;
        control.connect_anew();
    }
    Ok(())
}

/// Gets another certificate for the worker whenever the one that it has is old. Never ends.
pub(super) async fn renew<C: Control>(config: &SupervisorConfig, control: &C) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Err(error) = of_worker(config, control).await {
            tracing::warn!(%error, "there is no new certificate yet");
        }
    }
}

/// What an executor of a job shows to other workers: a certificate that is good for the blocks of its job alone; the worker's
/// own, where the coordinator certifies nobody.
///
/// # Errors
/// If the coordinator does not answer.
pub(super) async fn of_executor<C: Control>(
    config: &SupervisorConfig,
    control: &C,
    job: JobId,
) -> Result<Option<Given>, ControlError> {
    if !config.credentials.are_on() {
        return Ok(None);
    }
    let certificate = match ask(config, control, CertificateOf::Executor(job)).await {
        Ok(certificate) => Some(certificate),
        Err(ControlError::Refused(Refusal::CertifiesNobody)) => None,
        Err(error) => return Err(error),
    };
    Ok(config.credentials.give(certificate))
}
