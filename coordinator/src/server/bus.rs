//! The event bus: what happens to jobs, stages, tasks and workers, numbered, to whoever asks.
//!
//! It is bounded and never holds the engine back: the last events are kept, and who comes too late for some is told how many.
//! Events follow from outcomes alone, so that a coordinator that goes on from a journal goes on with their numbers.

use std::collections::VecDeque;
use tokio::sync::watch;
use windrow_protocol::events::{Cursor, Event, EventPage, Since, What};
use windrow_protocol::ids::JobId;

/// Events that are kept.
const KEPT: usize = 1 << 16;

/// The most events of one page.
const PAGE: usize = 2_000;

/// The bus.
#[derive(Debug)]
pub(crate) struct Bus {
    /// Whose events they are.
    stream: u64,
    /// The number of the last one.
    number: u64,
    kept: VecDeque<Event>,
    /// The number of the last one, for those who wait.
    changed: watch::Sender<u64>,
}

impl Bus {
    /// One without events.
    pub(crate) fn new(stream: u64) -> Bus {
        Bus { stream, number: 0, kept: VecDeque::new(), changed: watch::Sender::new(0) }
    }

    /// The events are those of another stream from now on.
    pub(crate) fn is_of(&mut self, stream: u64) {
        self.stream = stream;
    }

    /// So many events happened before those that are known.
    pub(crate) fn goes_on_after(&mut self, number: u64) {
        self.number = number;
        self.kept.clear();
    }

    /// What is seen with all events so far.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { stream: self.stream, number: self.number }
    }

    /// A number that changes with each event.
    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Something happened.
    pub(crate) fn publish(&mut self, at_ms: u64, what: What) {
        self.number += 1;
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(Event { number: self.number, at_ms, what });
        if self.changed.receiver_count() > 0 {
            self.changed.send_replace(self.number);
        }
    }

    /// Events, in order; of one job alone, if that is wanted.
    pub(crate) fn since(&self, since: Since, job: Option<JobId>) -> EventPage {
        let oldest = self.number - self.kept.len() as u64;
        let (seen, missed) = match since {
            Since::Oldest => (oldest, None),
            Since::Now => (self.number, None),
            Since::Cursor(of) if of.stream != self.stream || of.number > self.number => {
                (oldest, Some(0))
            }
            Since::Cursor(of) if of.number < oldest => (oldest, Some(oldest - of.number)),
            Since::Cursor(of) => (of.number, None),
        };
        let (mut events, mut number) = (Vec::new(), seen);
        for event in self.kept.iter().skip((seen - oldest) as usize) {
            number = event.number;
            if job.is_none_or(|job| event.what.job() == Some(job)) {
                events.push(event.clone());
            }
            if events.len() == PAGE {
                break;
            }
        }
        EventPage { events, cursor: Cursor { stream: self.stream, number }, missed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_protocol::ids::{StageId, WorkerId};

    fn bus(events: u64) -> Bus {
        let mut bus = Bus::new(7);
        for at_ms in 0..events {
            bus.publish(at_ms, What::WorkerJoined(WorkerId(at_ms)));
        }
        bus
    }

    fn behind(stream: u64, number: u64) -> Since {
        Since::Cursor(Cursor { stream, number })
    }

    fn numbers(page: &EventPage) -> (Option<u64>, Option<u64>, usize) {
        let of = |event: &Event| event.number;
        (page.events.first().map(of), page.events.last().map(of), page.events.len())
    }

    #[test]
    fn pages_follow_one_another_without_gaps() {
        let total = PAGE as u64 * 2 + 10;
        let bus = bus(total);
        let first = bus.since(Since::Oldest, None);
        assert_eq!((numbers(&first), first.missed), ((Some(1), Some(2_000), PAGE), None));
        let second = bus.since(Since::Cursor(first.cursor), None);
        assert_eq!(numbers(&second), (Some(2_001), Some(4_000), PAGE));
        let third = bus.since(Since::Cursor(second.cursor), None);
        assert_eq!(numbers(&third), (Some(4_001), Some(total), 10));
        assert_eq!(third.cursor, bus.cursor());
        let none = bus.since(Since::Cursor(third.cursor), None);
        assert_eq!((none.events.len(), none.cursor, none.missed), (0, third.cursor, None));
        assert_eq!(bus.since(Since::Now, None), none);
    }

    #[test]
    fn who_comes_too_late_is_told_what_is_missed() {
        let more = 25;
        let bus = bus(KEPT as u64 + more);
        let late = bus.since(behind(7, 5), None);
        assert_eq!((late.missed, late.events[0].number), (Some(more - 5), more + 1));
        let just = bus.since(behind(7, more), None);
        assert_eq!((just.missed, just.events[0].number), (None, more + 1));
        for stranger in [behind(8, 5), behind(7, KEPT as u64 + more + 1)] {
            let page = bus.since(stranger, None);
            assert_eq!((page.missed, page.events[0].number), (Some(0), more + 1));
        }
    }

    #[test]
    fn events_of_one_job_are_told_alone_and_the_cursor_moves_on() {
        let mut bus = bus(3);
        bus.publish(9, What::StageOpened(JobId(2), StageId(0), 5));
        bus.publish(9, What::StageOpened(JobId(1), StageId(0), 5));
        let page = bus.since(Since::Oldest, Some(JobId(2)));
        assert_eq!((page.events.len(), page.events[0].number, page.cursor.number), (1, 4, 5));
    }

    #[test]
    fn numbers_go_on_after_what_is_not_known() {
        let mut bus = bus(3);
        bus.goes_on_after(100);
        bus.publish(1, What::WorkerJoined(WorkerId(1)));
        let page = bus.since(behind(7, 98), None);
        assert_eq!((page.events[0].number, page.missed), (101, Some(2)));
    }
}
