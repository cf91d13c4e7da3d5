//! Why slots were free while a job ran: from when on and until when its attempts ran.

use super::{What, took_ms};
use crate::history::Row;
use std::collections::{BTreeMap, BTreeSet};
use windrow_protocol::ids::{TaskKind, WorkerId};

/// The slots that were there, and what those were free for.
#[derive(Debug, Default)]
pub(super) struct Free {
    pub(super) slots: u64,
    /// Slots times milliseconds, by what and by stage.
    pub(super) ms: BTreeMap<(What, u32), u64>,
}

/// Something that changes which attempts run, in the order of time; what ends goes before what begins.
type Change = (u64, bool, u32);

/// The attempts of a stage, over time.
#[derive(Clone, Copy, Debug, Default)]
struct Stage {
    running: u64,
    /// When its first task began, and the last one that began for the first time.
    begun: Option<(u64, u64)>,
}

impl Free {
    /// Of a job with these attempts.
    pub(super) fn of(
        rows: &[Row],
        stages: usize,
        elapsed_ms: u64,
        slots: &BTreeMap<WorkerId, u64>,
    ) -> Free {
        let mut free = Free { slots: seen(rows, elapsed_ms, slots), ms: BTreeMap::new() };
        let mut of_stages = vec![Stage::default(); stages];
        let mut changes: Vec<Change> = Vec::with_capacity(rows.len() * 2);
        for (row, at) in rows.iter().zip(0_u32..) {
            let begun = u64::from(row.begun_ms);
            changes.push((begun, true, at));
            changes.push((begun + took_ms(row, elapsed_ms), false, at));
            let stage = of_stages.get_mut(row.stage as usize);
            if let Some(stage) = stage.filter(|_| row.kind == TaskKind::Compute && row.number == 0)
            {
                let (first, last) = stage.begun.unwrap_or((begun, begun));
                stage.begun = Some((first.min(begun), last.max(begun)));
            }
        }
        changes.sort_unstable();
        let (mut at_ms, mut running, mut commits) = (0, 0_u64, 0_u64);
        let mut has_begun = false;
        let end: Change = (elapsed_ms, false, u32::MAX);
        for (now, begins, row) in changes.into_iter().chain([end]) {
            let now = now.min(elapsed_ms);
            if now > at_ms {
                let why = match (has_begun, commits, running) {
                    (false, ..) => (What::Begin, 0),
                    (true, 1.., _) => (What::Commit, 0),
                    (true, 0, running) => why(&of_stages, running, at_ms),
                };
                *free.ms.entry(why).or_default() +=
                    (now - at_ms) * free.slots.saturating_sub(running);
                at_ms = now;
            }
            let Some(row) = rows.get(row as usize) else { continue };
            let step = |count: &mut u64| if begins { *count += 1 } else { *count -= 1 };
            has_begun = true;
            step(&mut running);
            match row.kind {
                TaskKind::Commit => step(&mut commits),
                TaskKind::Compute => {
                    if let Some(of) = of_stages.get_mut(row.stage as usize) {
                        step(&mut of.running);
                    }
                }
                TaskKind::Split => {}
            }
        }
        free
    }
}

/// Why slots are free at a time at which so many attempts run.
fn why(stages: &[Stage], running: u64, at_ms: u64) -> (What, u32) {
    let numbered = || stages.iter().zip(0_u32..);
    let waits = numbered()
        .find(|(of, _)| of.begun.is_some_and(|(first, last)| first <= at_ms && at_ms < last));
    if let Some((_, stage)) = waits {
        return (What::Denied, stage);
    }
    let runs = numbered().filter(|(of, _)| of.running > 0).min_by_key(|(of, _)| of.begun);
    match runs {
        Some((_, stage)) => (What::Tail, stage),
        // The input is listed, one after the other: no task can begin.
        None if running > 0 => (What::Listing, 0),
        None => (What::Between, 0),
    }
}

/// How many slots there were: of each worker what it has, or what it ran at once.
fn seen(rows: &[Row], elapsed_ms: u64, slots: &BTreeMap<WorkerId, u64>) -> u64 {
    let mut by_worker: BTreeMap<WorkerId, Vec<(u64, bool)>> = BTreeMap::new();
    for row in rows {
        let (begun, of) = (u64::from(row.begun_ms), by_worker.entry(row.worker).or_default());
        of.push((begun, true));
        of.push((begun + took_ms(row, elapsed_ms), false));
    }
    let workers: BTreeSet<WorkerId> = by_worker.keys().chain(slots.keys()).copied().collect();
    let of_worker = |worker: &WorkerId| {
        let mut changes = by_worker.remove(worker).unwrap_or_default();
        changes.sort_unstable();
        let (mut now, mut most) = (0_u64, slots.get(worker).copied().unwrap_or_default());
        for (_, begins) in changes {
            // What began and ended within a millisecond ends first here.
            now = if begins { now + 1 } else { now.saturating_sub(1) };
            most = most.max(now);
        }
        most
    };
    workers.iter().map(of_worker).sum()
}
