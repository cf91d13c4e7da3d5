//! The binaries of jobs that any worker runs: the client that submitted a job is asked for its binary once a worker is without
//! it, the coordinator [keeps](Store) it, and workers read it of the coordinator and of one another.
//!
//! What a job's binary is, is journalled. Who has it is not: workers say so again when they next start an executor of it.

mod sources;
mod store;

pub(crate) use sources::Sources;
pub(crate) use store::Store;

use super::core::Core;
use super::job::Job;
use super::limits::SOURCES_MAX;
use crate::scheduler::Millis;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use windrow_protocol::binary::{BINARY_BYTES_MAX, BinaryContent, BinarySource, any_build};
use windrow_protocol::control::Refusal;
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{JobId, WorkerId};
use windrow_protocol::security::Identity;

/// What a job's binary is, where workers get that of the one who submitted the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobBinary {
    /// The kind of machine that it runs on.
    pub(crate) machine: String,
    /// Who submitted it, by the name of their token; empty where nobody has to say so.
    pub(crate) submitter: String,
    /// Once that is known.
    pub(crate) content: Option<BinaryContent>,
}

impl Job {
    /// The build of the workers that run it.
    pub(crate) fn pool(&self) -> String {
        match &self.binary {
            Some(binary) => any_build(&binary.machine),
            None => self.submission.binary.build.clone(),
        }
    }

    fn content(&self) -> Option<BinaryContent> {
        self.binary.as_ref()?.content
    }

    /// That of a job which needs one.
    fn with_binary(&mut self) -> Result<&mut JobBinary, Refusal> {
        let (id, is_running) = (self.id, self.is_running());
        match self.binary.as_mut().filter(|_| is_running) {
            Some(binary) => Ok(binary),
            None => Err(Refusal::Invalid(format!("job {id} needs no binary"))),
        }
    }

    /// The same, for the one who submitted the job: what others send is not run in their name.
    fn with_binary_by(&mut self, who: &Identity, now: Millis) -> Result<&mut JobBinary, Refusal> {
        let id = self.id;
        let submitter = &self.with_binary()?.submitter;
        if submitter != who.holder().unwrap_or_default() {
            return Err(Refusal::Denied(format!(
                "the binary of job {id} comes from `{submitter}`, who submitted it, and this is {who}"
            )));
        }
        if let Some(wanted) = &mut self.binary_wanted {
            *wanted = now;
        }
        self.with_binary()
    }
}

impl Core {
    /// The binary of a job that runs, if it is known, and nobody has been asked for it yet, nor has it, as far as is known: another
    /// coordinator may have kept it.
    pub(crate) fn unseen_binary(&self, id: JobId) -> Option<BinaryContent> {
        let job =
            self.jobs.get(&id).filter(|job| job.is_running() && job.binary_wanted.is_none())?;
        job.content().filter(|content| !self.sources.has(*content))
    }

    /// What a job's binary is; if it cannot be had anywhere, who submitted the job is asked for it.
    pub(crate) fn job_binary(
        &mut self,
        id: JobId,
        now: Millis,
    ) -> Result<Option<BinaryContent>, Refusal> {
        let job = self.job_mut(id)?;
        if !job.is_running() {
            // Workers may still have to remove what it has left; nobody is asked for the binary any more.
            let content = job.content().filter(|content| self.sources.has(*content));
            return content.map(Some).ok_or(Refusal::NoJob(id));
        }
        let content = job.with_binary()?.content;
        if !content.is_some_and(|content| self.sources.has(content)) {
            let job = self.job_mut(id)?;
            if job.binary_wanted.is_none() {
                job.binary_wanted = Some(now);
                job.news.alert();
                self.explain_waiting(now);
            }
        }
        Ok(content)
    }

    /// Who submitted a job says what its binary is.
    pub(crate) fn offered(
        &mut self,
        id: JobId,
        content: BinaryContent,
        who: &Identity,
        now: Millis,
    ) -> Result<(), Refusal> {
        if content.bytes == 0 || content.bytes > BINARY_BYTES_MAX {
            return Err(Refusal::Invalid(format!(
                "a binary has 1 to {BINARY_BYTES_MAX} bytes, and that of job {id} {}",
                content.bytes
            )));
        }
        let known = &mut self.job_mut(id)?.with_binary_by(who, now)?.content;
        match *known {
            Some(known) if known != content => Err(Refusal::Invalid(format!(
                "the binary of job {id} is {known}, and not {content}"
            ))),
            Some(_) => Ok(()),
            None => {
                *known = Some(content);
                self.keep_binary(id, content, now);
                Ok(())
            }
        }
    }

    /// A piece of a job's binary has come. Of which binary it is.
    pub(crate) fn put(
        &mut self,
        id: JobId,
        (piece, bytes): (u32, u64),
        who: &Identity,
        now: Millis,
    ) -> Result<BinaryContent, Refusal> {
        let Some(content) = self.job_mut(id)?.with_binary_by(who, now)?.content else {
            return Err(Refusal::Invalid(format!("nobody has offered a binary for job {id}")));
        };
        if piece >= content.pieces() || bytes != content.piece_bytes(piece) {
            return Err(Refusal::Invalid(format!(
                "the binary of job {id} has no piece {piece} of {bytes} bytes"
            )));
        }
        Ok(content)
    }

    /// The coordinator has all of a binary.
    pub(crate) fn binary_is_here(&mut self, content: BinaryContent, now: Millis) {
        self.sources.is_here(content);
        let waiting = self.jobs.values_mut().filter(|job| job.binary_wanted.is_some());
        for job in waiting.filter(|job| job.content() == Some(content)) {
            job.binary_wanted = None;
            job.news.add();
        }
        self.explain_waiting(now);
    }

    /// The binary of a job cannot be had.
    pub(crate) fn no_binary(&mut self, id: JobId, why: String, now: Millis) {
        self.give_up(id, Failure::new(FailureClass::WrongBinary, why), now);
        self.handle_next(now);
    }

    /// Where a worker is to read a binary.
    pub(crate) fn binary_source(
        &mut self,
        worker: WorkerId,
        content: BinaryContent,
    ) -> Result<BinarySource, Refusal> {
        let workers = &self.workers;
        let address = |id: WorkerId| {
            let of = workers.get(&id).filter(|of| of.is_known())?;
            Some(of.hello.data_address.clone())
        };
        if address(worker).is_none() {
            return Err(Refusal::NoWorker(worker));
        }
        Ok(self.sources.next(worker, content, address))
    }

    /// The binaries of jobs that run.
    pub(crate) fn binaries_in_use(&self) -> BTreeSet<BinaryContent> {
        self.jobs.values().filter(|job| job.is_running()).filter_map(Job::content).collect()
    }

    /// Forgets where binaries are that no job wants, if there are many: who needs them says so again.
    pub(crate) fn forget_sources(&mut self) {
        if self.sources.len() > SOURCES_MAX {
            let in_use = self.binaries_in_use();
            self.sources.retain(&in_use);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Config;
    use windrow_protocol::control::{BinaryId, JobOptions, JobSubmission};
    use windrow_protocol::security::Role;
    use windrow_protocol::shape::JobShape;

    fn holder(name: &str) -> Identity {
        let (token, name) = ("12ab34cd".to_owned(), name.to_owned());
        Identity::Holder { token, name, role: Role::Submit }
    }

    #[test]
    fn a_binary_comes_from_who_submitted_the_job_and_nobody_else() {
        let mut core = Core::new(Config::default());
        let (id, now) = (JobId(1), Millis(0));
        let submission = JobSubmission {
            token: 1,
            name: "test".to_owned(),
            arguments: "{}".to_owned(),
            options: JobOptions::default(),
            binary: BinaryId { build: "b1".to_owned(), name: "b1".to_owned() },
            fingerprint: 7,
            shape: JobShape::default(),
            weight: 1,
        };
        let (machine, submitter) = ("abacus".to_owned(), "alice".to_owned());
        let binary = JobBinary { machine, submitter, content: None };
        assert_eq!(
            core.enter_job(id, submission, Default::default(), Some(binary), now),
            "any-abacus"
        );
        let content = BinaryContent::of(&b"any"[..]).unwrap();
        for other in [holder("eve"), Identity::Unsecured] {
            let refused = core.offered(id, content, &other, now).unwrap_err();
            assert!(matches!(&refused, Refusal::Denied(why) if why.contains("`alice`")));
        }
        core.offered(id, content, &holder("alice"), now).unwrap();
        assert!(core.put(id, (0, 3), &holder("eve"), now).is_err());
        assert_eq!(core.put(id, (0, 3), &holder("alice"), now), Ok(content));
        assert_eq!(core.job(id).unwrap().spec().submitter, "alice");
    }
}
