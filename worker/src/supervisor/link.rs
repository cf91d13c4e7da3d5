//! The coordinator at the other end of a [`Link`].

use super::control::{Control, ControlError};
use bytes::Bytes;
use std::time::Duration;
use windrow_protocol::binary::{BinaryContent, BinarySource, PIECE_WITHIN};
use windrow_protocol::control::{
    BlockPage, CertificateOf, Issued, JobSpec, Poll, PollAnswer, Refusal, Registered, WorkerHello,
};
use windrow_protocol::ids::{JobId, ShuffleId, WorkerId};
use windrow_protocol::link::{Link, LinkConfig, LinkError};
use windrow_protocol::security::Credentials;
use windrow_protocol::transport::ConnectError;

/// What a call may take beyond the time that it asks the coordinator to wait.
const ANSWER: Duration = Duration::from_secs(5);

/// A link for a supervisor, which tries again by itself: a call is given up after its first failure.
pub fn supervisor_link(address: impl Into<String>, credentials: Credentials) -> Link {
    Link::new(
        address,
        credentials,
        LinkConfig { patience: Duration::ZERO, ..LinkConfig::default() },
    )
}

impl From<LinkError> for ControlError {
    fn from(error: LinkError) -> ControlError {
        match error {
            LinkError::Connect(ConnectError::Version { theirs, ours, .. }) => {
                ControlError::Refused(Refusal::Version { coordinator: theirs, caller: ours })
            }
            LinkError::Denied { .. }
            | LinkError::Connect(ConnectError::Denied { .. } | ConnectError::Secured { .. }) => {
                ControlError::Refused(Refusal::Denied(error.to_string()))
            }
            error => ControlError::Unreachable(error.to_string()),
        }
    }
}

impl Control for Link {
    async fn register(
        &self,
        hello: WorkerHello,
        labels: Vec<String>,
    ) -> Result<Registered, ControlError> {
        let call = self.call(ANSWER, |client, context| {
            let (hello, labels) = (hello.clone(), labels.clone());
            async move { client.register(context, hello, labels).await }
        });
        Ok(call.await??)
    }

    async fn gone(&self, tokens: Vec<u128>) -> Result<(), ControlError> {
        let call = self.call(ANSWER, |client, context| {
            let tokens = tokens.clone();
            async move { client.gone(context, tokens).await }
        });
        Ok(call.await?)
    }

    async fn poll(&self, worker: WorkerId, poll: Poll) -> Result<PollAnswer, ControlError> {
        let answer = ANSWER + Duration::from_millis(u64::from(poll.wait_ms));
        let call = self.call(answer, |client, context| {
            let poll = poll.clone();
            async move { client.poll(context, worker, poll).await }
        });
        Ok(call.await?)
    }

    async fn job_spec(&self, job: JobId) -> Result<JobSpec, ControlError> {
        let call =
            self.call(ANSWER, |client, context| async move { client.job_spec(context, job).await });
        Ok(call.await??)
    }

    async fn blocks(
        &self,
        job: JobId,
        shuffle: ShuffleId,
        from: u32,
    ) -> Result<BlockPage, ControlError> {
        let call = self.call(ANSWER, |client, context| async move {
            client.blocks(context, job, shuffle, from).await
        });
        Ok(call.await??)
    }

    async fn certify(
        &self,
        public_key: Vec<u8>,
        of: CertificateOf,
    ) -> Result<Issued, ControlError> {
        let call = self.call(ANSWER, |client, context| {
            let public_key = public_key.clone();
            async move { client.certify(context, public_key, of).await }
        });
        Ok(call.await??)
    }

    async fn job_binary(&self, job: JobId) -> Result<Option<BinaryContent>, ControlError> {
        let call = self
            .call(ANSWER, |client, context| async move { client.job_binary(context, job).await });
        Ok(call.await??)
    }

    async fn binary_source(
        &self,
        worker: WorkerId,
        content: BinaryContent,
    ) -> Result<BinarySource, ControlError> {
        let call = self.call(ANSWER, |client, context| async move {
            client.binary_source(context, worker, content).await
        });
        Ok(call.await??)
    }

    async fn binary_piece(
        &self,
        content: BinaryContent,
        piece: u32,
    ) -> Result<Bytes, ControlError> {
        let call = self.call(PIECE_WITHIN, |client, context| async move {
            client.binary_piece(context, content, piece).await
        });
        Ok(call.await??)
    }

    async fn binary_fetched(
        &self,
        worker: WorkerId,
        content: BinaryContent,
        is_here: bool,
    ) -> Result<(), ControlError> {
        let call = self.call(ANSWER, |client, context| async move {
            client.binary_fetched(context, worker, content, is_here).await
        });
        Ok(call.await?)
    }

    fn connect_anew(&self) {
        Link::connect_anew(self);
    }
}
