//! Which jobs a queue takes, and which of them wait until others have ended.

use crate::scheduler::Mutation;
use crate::scheduler::decide::Decider;
use crate::scheduler::event::JobRequest;
use crate::scheduler::marks::Mark;
use crate::scheduler::outcome::Outcome;

impl Decider<'_> {
    /// Why a job cannot go through the queue that it names, if it cannot.
    pub(crate) fn refused_by_queue(&self, request: &JobRequest) -> Option<String> {
        let shares = &self.state.shares.0;
        let (claim, policy) = (&request.claim, shares.policy());
        if let Err(why) = claim.check(request.shape.stages.len()) {
            return Some(why);
        }
        let name = claim.queue();
        let Some(queue) = policy.queue(name) else {
            let names: Vec<&str> = policy.queue_names().collect();
            return Some(format!("there is no queue `{name}`; there are: {}", names.join(", ")));
        };
        if shares.must_wait(claim) && shares.waiting_in(name) >= queue.waiting_max as usize {
            return Some(format!(
                "queue `{name}` is full: {} jobs wait in it, which is the most that may; submit the job again later",
                queue.waiting_max
            ));
        }
        let slots_max = policy.user(&claim.user).slots_max;
        if let Some(needs) = claim.needs.iter().find(|needs| needs.slots > slots_max) {
            return Some(format!(
                "its attempts need {}, and user `{}` may have {slots_max} slots at once",
                needs.text(),
                claim.user
            ));
        }
        (!shares.has_room(&claim.needs)).then(|| {
            "the jobs that run need too many different things of workers: submit the job again when some have ended"
                .to_owned()
        })
    }

    /// The next job that waits starts, if its queue and its user have a place.
    pub(crate) fn follow_waiting(&mut self) {
        if let Some(job) = self.state.shares.0.next_waiting() {
            self.marks.mark(Mark::WaitedForQueue);
            self.out.push(Outcome::JobStarts { job });
        }
    }

    /// Whether a job has to wait for a place in its queue.
    pub(crate) fn must_wait(&self, request: &JobRequest) -> bool {
        let ignores = self.planted(Mutation::IgnoreQueueLimit);
        self.state.shares.0.must_wait(&request.claim) && !ignores
    }
}
