//! What can be set about sharing: queues, users, preemption.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use windrow_protocol::claim::DEFAULT_QUEUE;

/// How a cluster is shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The queues, by name. [`DEFAULT_QUEUE`] is there also if it is not named.
    pub queues: BTreeMap<String, QueuePolicy>,
    /// Users that are not like each.
    pub users: BTreeMap<String, UserPolicy>,
    /// Each other user.
    pub each_user: UserPolicy,
    /// A job that has had work for so long and got no slot takes slots of those who have more, if that makes the shares more
    /// even; never, without.
    pub preempt_after_ms: Option<u64>,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePolicy {
    /// Its share of the slots, against the other queues; 0 counts as 1.
    pub weight: u32,
    /// As long as it has less than this part of all slots, in percent, and wants more, it goes before all queues that have theirs.
    pub guaranteed_percent: u32,
    /// The most of its jobs that run at once; others wait.
    pub jobs_max: u32,
    /// The most of its jobs that wait; others are refused.
    pub waiting_max: u32,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserPolicy {
    /// Their share of a queue, against its other users; 0 counts as 1.
    pub weight: u32,
    /// The most slots that their jobs have at once, in all queues.
    pub slots_max: u32,
    /// The most of their jobs that run at once, in all queues; others wait.
    pub jobs_max: u32,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            queues: BTreeMap::new(),
            users: BTreeMap::new(),
            each_user: UserPolicy::default(),
            preempt_after_ms: Some(30_000),
        }
    }
}

impl Default for QueuePolicy {
    fn default() -> QueuePolicy {
        let most = u32::MAX;
        QueuePolicy { weight: 1, guaranteed_percent: 0, jobs_max: most, waiting_max: most }
    }
}

impl Default for UserPolicy {
    fn default() -> UserPolicy {
        UserPolicy { weight: 1, slots_max: u32::MAX, jobs_max: u32::MAX }
    }
}

impl Policy {
    /// The settings of a queue, if it is there.
    pub fn queue(&self, name: &str) -> Option<QueuePolicy> {
        let named = self.queues.get(name).cloned();
        named.or_else(|| (name == DEFAULT_QUEUE).then(QueuePolicy::default))
    }

    /// The names of all queues.
    pub fn queue_names(&self) -> impl Iterator<Item = &str> {
        let default = (!self.queues.contains_key(DEFAULT_QUEUE)).then_some(DEFAULT_QUEUE);
        default.into_iter().chain(self.queues.keys().map(String::as_str))
    }

    /// The settings of a user.
    pub fn user(&self, name: &str) -> &UserPolicy {
        self.users.get(name).unwrap_or(&self.each_user)
    }
}
