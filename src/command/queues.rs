//! The file with the queues: how users and jobs share a cluster.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use windrow_coordinator::scheduler::{Policy, QueuePolicy, UserPolicy};
use windrow_protocol::claim::check_name;

/// What is wrong with such a file.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueuesError {
    /// It cannot be read.
    #[error("the file with queues, {0}, cannot be read: {1}")]
    Unreadable(String, #[source] std::io::Error),
    /// It is not what it should be.
    #[error("the file with queues, {0}: {1}")]
    Odd(String, String),
}

/// The file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Seconds, or `false` for never.
    preempt_after_s: Option<After>,
    #[serde(default)]
    queues: BTreeMap<String, Queue>,
    /// Each user that is not named below.
    each_user: Option<User>,
    #[serde(default)]
    users: BTreeMap<String, User>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a number of seconds, or false for never")]
enum After {
    Seconds(u32),
    Is(bool),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Queue {
    weight: Option<u32>,
    guaranteed_percent: Option<u32>,
    jobs_max: Option<u32>,
    waiting_max: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    weight: Option<u32>,
    slots_max: Option<u32>,
    jobs_max: Option<u32>,
}

/// Reads how a cluster is shared.
///
/// # Errors
/// [`QueuesError`], with the line and the key.
pub(super) fn of_file(path: &Path) -> Result<Policy, QueuesError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| QueuesError::Unreadable(name.clone(), error))?;
    policy(&text).map_err(|why| QueuesError::Odd(name, why))
}

fn policy(text: &str) -> Result<Policy, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    let default = Policy::default();
    let preempt_after_ms = match file.preempt_after_s {
        None => default.preempt_after_ms,
        Some(After::Seconds(seconds)) => Some(u64::from(seconds) * 1_000),
        Some(After::Is(false)) => None,
        Some(After::Is(true)) => {
            return Err("`preempt_after_s` is a number of seconds, or false for never".to_owned());
        }
    };
    let mut policy = Policy { preempt_after_ms, ..default };
    let mut guaranteed = 0;
    for (name, queue) in file.queues {
        check_name("queue", &name)?;
        let queue = queue.policy().map_err(|why| format!("queue `{name}`: {why}"))?;
        guaranteed += queue.guaranteed_percent;
        policy.queues.insert(name, queue);
    }
    if guaranteed > 100 {
        return Err(format!("queues have {guaranteed} % guaranteed, and there are 100 %"));
    }
    if let Some(user) = file.each_user {
        policy.each_user = user.policy().map_err(|why| format!("`each_user`: {why}"))?;
    }
    for (name, user) in file.users {
        check_name("user", &name)?;
        let user = user.policy().map_err(|why| format!("user `{name}`: {why}"))?;
        policy.users.insert(name, user);
    }
    Ok(policy)
}

impl Queue {
    fn policy(self) -> Result<QueuePolicy, String> {
        let default = QueuePolicy::default();
        Ok(QueuePolicy {
            weight: at_least_one("weight", self.weight, default.weight)?,
            guaranteed_percent: match self.guaranteed_percent {
                Some(percent) if percent > 100 => {
                    return Err(format!("`guaranteed_percent` is at most 100, and not {percent}"));
                }
                percent => percent.unwrap_or(default.guaranteed_percent),
            },
            jobs_max: at_least_one("jobs_max", self.jobs_max, default.jobs_max)?,
            waiting_max: self.waiting_max.unwrap_or(default.waiting_max),
        })
    }
}

impl User {
    fn policy(self) -> Result<UserPolicy, String> {
        let default = UserPolicy::default();
        Ok(UserPolicy {
            weight: at_least_one("weight", self.weight, default.weight)?,
            slots_max: at_least_one("slots_max", self.slots_max, default.slots_max)?,
            jobs_max: at_least_one("jobs_max", self.jobs_max, default.jobs_max)?,
        })
    }
}

fn at_least_one(key: &str, value: Option<u32>, default: u32) -> Result<u32, String> {
    match value {
        Some(0) => Err(format!("`{key}` is at least 1")),
        value => Ok(value.unwrap_or(default)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_who_has_what() {
        let text = "preempt_after_s = 10\n[queues.night]\nweight = 3\njobs_max = 2\n\
                    [queues.default]\nguaranteed_percent = 20\n\
                    [each_user]\nslots_max = 8\n[users.\"ann@lab\"]\nweight = 2\n";
        let policy = policy(text).unwrap();
        assert_eq!(policy.preempt_after_ms, Some(10_000));
        let night = QueuePolicy { weight: 3, jobs_max: 2, ..QueuePolicy::default() };
        assert_eq!(policy.queue("night"), Some(night));
        assert_eq!(policy.queue("default").map(|of| of.guaranteed_percent), Some(20));
        assert_eq!(policy.queue("day"), None);
        assert_eq!(policy.user("bob").slots_max, 8);
        let ann = UserPolicy { weight: 2, ..UserPolicy::default() };
        assert_eq!(policy.user("ann@lab"), &ann);
        assert_eq!(super::policy("").unwrap(), Policy::default());
        assert_eq!(super::policy("preempt_after_s = false").unwrap().preempt_after_ms, None);
    }

    #[test]
    fn what_is_odd_is_told() {
        for (text, why) in [
            ("[queues.a]\nwheight = 3\n", "unknown field `wheight`"),
            ("[queues.a]\nweight = 0\n", "queue `a`: `weight` is at least 1"),
            ("[queues.a]\nguaranteed_percent = 101\n", "at most 100"),
            ("[queues.a]\nguaranteed_percent = 60\n[queues.b]\nguaranteed_percent = 60\n", "120 %"),
            ("[queues.\"a b\"]\n", "`a b`"),
            ("[users.ann]\nslots_max = \"many\"\n", "line 2"),
            ("preempt_after_s = true", "false for never"),
            ("preempt_after_s = \"x\"", "a number of seconds"),
            ("[queues.a", "line 1"),
        ] {
            let told = policy(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }
}
