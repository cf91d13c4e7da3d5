//! What a job claims of the cluster that it shares with others: through which queue, for whom, and what its attempts need.

use serde::{Deserialize, Serialize};

/// The queue of jobs that name none.
pub const DEFAULT_QUEUE: &str = "default";

/// The most bytes of the name of a queue, a user or a label.
pub const NAME_MAX: usize = 64;

/// The most labels that attempts need, or a worker has.
pub const LABELS_MAX: usize = 16;

/// What a job claims.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The queue that it goes through; empty for [`DEFAULT_QUEUE`].
    pub queue: String,
    /// Whose it is; empty where nobody says so. A coordinator that knows who calls puts their name here.
    pub user: String,
    /// Of the jobs that one user has in one queue, those of a higher priority go first; 0 is ordinary.
    pub priority: i16,
    /// What each attempt needs: of no stage anything, of all stages the same (one), or by stage.
    pub needs: Vec<Needs>,
}

/// What an attempt needs of a worker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Needs {
    /// So many of its slots; 0 counts as 1.
    pub slots: u32,
    /// So much of its memory for records, in bytes: a slot stands for its part of that.
    pub memory: u64,
    /// A worker with all these labels.
    pub labels: Vec<String>,
}

impl Default for Needs {
    fn default() -> Needs {
        Needs { slots: 1, memory: 0, labels: Vec::new() }
    }
}

impl Needs {
    /// Whether any worker will do, with one slot.
    pub fn is_ordinary(&self) -> bool {
        self.slots <= 1 && self.memory == 0 && self.labels.is_empty()
    }

    /// How many slots it takes of a worker that has so many, so much memory and these labels; `None` if it never runs there.
    pub fn slots_of(&self, slots: u32, memory: u64, labels: &[String]) -> Option<u32> {
        if !self.labels.iter().all(|label| labels.contains(label)) || self.memory > memory {
            return None;
        }
        let share = u128::from(self.memory) * u128::from(slots);
        let for_memory = share.div_ceil(u128::from(memory.max(1))) as u32;
        let takes = self.slots.max(for_memory).max(1);
        (takes <= slots).then_some(takes)
    }

    /// For people: `2 slots, 1073741824 bytes of memory, the label gpu`.
    pub fn text(&self) -> String {
        let mut parts = Vec::new();
        if self.slots > 1 {
            parts.push(format!("{} slots", self.slots));
        }
        if self.memory > 0 {
            parts.push(format!("{} bytes of memory", self.memory));
        }
        match &self.labels[..] {
            [] => {}
            [one] => parts.push(format!("the label {one}")),
            several => parts.push(format!("the labels {}", several.join(", "))),
        }
        if parts.is_empty() { "1 slot".to_owned() } else { parts.join(", ") }
    }
}

impl Claim {
    /// The name of its queue.
    pub fn queue(&self) -> &str {
        if self.queue.is_empty() { DEFAULT_QUEUE } else { &self.queue }
    }

    /// What the attempts of a stage need.
    pub fn needs_of(&self, stage: u32) -> Needs {
        match &self.needs[..] {
            [one] => one.clone(),
            several => several.get(stage as usize).cloned().unwrap_or_default(),
        }
    }

    /// What is wrong with it, of a job of so many stages.
    ///
    /// # Errors
    /// A name that is too long or has odd characters, too many labels, or needs of stages that are not there.
    pub fn check(&self, stages: usize) -> Result<(), String> {
        let queue = (!self.queue.is_empty()).then_some(("queue", &self.queue));
        let user = (!self.user.is_empty()).then_some(("user", &self.user));
        for (what, name) in queue.into_iter().chain(user) {
            check_name(what, name)?;
        }
        if self.needs.len() > 1 && self.needs.len() != stages {
            return Err(format!(
                "the job has {stages} stages, and says what the attempts of {} need",
                self.needs.len()
            ));
        }
        self.needs.iter().try_for_each(|needs| check_labels(&needs.labels))
    }
}

/// A queue, as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    /// Its name.
    pub name: String,
    /// Its share of the slots, against the other queues.
    pub weight: u32,
    /// What of all slots is guaranteed to it, in percent.
    pub guaranteed_percent: u32,
    /// The slots that its jobs have.
    pub slots: u64,
    /// Its jobs that may run.
    pub running: u32,
    /// Its jobs that wait for a place in it.
    pub waiting: u32,
}

/// What is wrong with labels.
///
/// # Errors
/// A label that is empty, too long or has odd characters, or too many labels.
pub fn check_labels(labels: &[String]) -> Result<(), String> {
    if labels.len() > LABELS_MAX {
        return Err(format!("there are {} labels, and the most is {LABELS_MAX}", labels.len()));
    }
    labels.iter().try_for_each(|label| check_name("label", label))
}

/// What is wrong with the name of a queue, user or label (`what` of these it is).
///
/// # Errors
/// If it is empty, too long, or has other characters than letters, digits, `-`, `_`, `.` and `@`.
pub fn check_name(what: &str, name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_alphanumeric() || "-_.@".contains(c);
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(fits) {
        return Err(format!(
            "the name of a {what} has 1 to {NAME_MAX} bytes of letters, digits, `-`, `_`, `.` and `@`, and this one is `{}`",
            name.chars().take(NAME_MAX).collect::<String>().escape_debug()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(slots: u32, memory: u64, labels: &[&str]) -> Needs {
        Needs { slots, memory, labels: labels.iter().map(|&label| label.to_owned()).collect() }
    }

    #[test]
    fn memory_counts_as_slots() {
        let gpu = ["gpu".to_owned()];
        assert_eq!(Needs::default().slots_of(4, 0, &[]), Some(1));
        assert_eq!(needs(2, 0, &[]).slots_of(4, 100, &[]), Some(2));
        assert_eq!(needs(5, 0, &[]).slots_of(4, 100, &[]), None);
        // A slot stands for 25 bytes.
        assert_eq!(needs(1, 25, &[]).slots_of(4, 100, &[]), Some(1));
        assert_eq!(needs(1, 26, &[]).slots_of(4, 100, &[]), Some(2));
        assert_eq!(needs(1, 100, &[]).slots_of(4, 100, &[]), Some(4));
        assert_eq!(needs(1, 101, &[]).slots_of(4, 100, &[]), None);
        assert_eq!(needs(1, u64::MAX, &[]).slots_of(u32::MAX, u64::MAX, &[]), Some(u32::MAX));
        assert_eq!(needs(1, 0, &["gpu"]).slots_of(4, 100, &[]), None);
        assert_eq!(needs(1, 0, &["gpu"]).slots_of(4, 100, &gpu), Some(1));
    }

    #[test]
    fn names_are_checked() {
        let claim = |queue: &str| Claim { queue: queue.to_owned(), ..Claim::default() };
        assert_eq!(claim("").check(1), Ok(()));
        assert_eq!(claim("night-runs_2@lab.org").check(1), Ok(()));
        assert!(claim("a b").check(1).unwrap_err().contains("`a b`"));
        assert!(claim(&"q".repeat(65)).check(1).is_err());
        let odd = Claim { needs: vec![Needs::default(); 2], ..Claim::default() };
        assert_eq!((odd.check(2), odd.check(3).is_err()), (Ok(()), true));
        let labelled = Claim { needs: vec![needs(1, 0, &[""])], ..Claim::default() };
        assert!(labelled.check(1).is_err());
    }
}
