//! Workers on which one task after the other fails are set aside for a while: a full disk, a library that is missing there.

use super::config::Mutation;
use super::decide::Decider;
use super::marks::Mark;
use super::outcome::Outcome;
use windrow_protocol::ids::WorkerId;

impl Decider<'_> {
    /// A task has failed on a worker: is it the worker?
    pub(crate) fn follow_struck(&mut self, id: WorkerId) {
        let Some(worker) = self.state.workers.get(&id) else { return };
        let again = worker.aside_until.is_some() && self.planted(Mutation::SetAsideTwice);
        if !(worker.takes_work() || again) || worker.strikes < self.config.strikes_max {
            return;
        }
        // Where tasks fail everywhere, it is not.
        let others =
            self.state.workers.iter().filter(|(other, of)| **other != id && of.takes_work());
        let (mut all, mut better) = (0, 0);
        for (_, other) in others {
            all += 1;
            better += usize::from(other.strikes == 0);
        }
        if better == 0 || self.state.aside.len() > all {
            return;
        }
        let doubled = self.config.aside_ms << u32::from(worker.asides).min(20);
        let until = self.now.plus(doubled.min(self.config.aside_ms_max));
        self.marks.mark(Mark::SetAside);
        self.out.push(Outcome::WorkerSetAside { worker: id, until });
    }

    /// Workers whose time is over get work again, and all do if nobody else takes any.
    pub(crate) fn follow_aside(&mut self) {
        if self.state.aside.is_empty() {
            return;
        }
        let nobody = self.state.takers() == 0;
        for &id in &self.state.aside {
            let until = self.state.workers.get(&id).and_then(|worker| worker.aside_until);
            if nobody || until.is_none_or(|until| until <= self.now) {
                self.marks.mark(Mark::BroughtBack);
                self.out.push(Outcome::WorkerBack { worker: id });
                if self.planted(Mutation::BringBackTwice) {
                    self.out.push(Outcome::WorkerBack { worker: id });
                }
            }
        }
    }
}
