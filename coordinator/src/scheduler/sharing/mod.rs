//! Sharing: many users' jobs on one cluster.
//!
//! A job goes through a queue, and is somebody's. Slots are shared by a tree: among queues by their weights, in a queue
//! among its users by theirs, among the jobs of a user by priority, then by their weights. [`Shares`] counts the time for
//! which each has had slots, for each unit of its weight, and whoever has had least is next: start-time fair queueing (Goyal, Vin and
//! Cheng, "Start-time fair queuing", 1996) over slots rather than packets, with what attempts will take still counted ahead by
//! what those before them took. Who was away has no credit for it.
//!
//! - `policy` is what can be set.
//! - `needs` numbers what attempts need of workers, so that sets of them are cheap.
//! - `accounts` counts slot time; `tree` is who has an account, `shares` keeps the tree, and `asked` looks at it.
//! - `admission` lets jobs of a full queue wait, and go on.
//! - `preemption` takes slots back for who has had none for long.
//!
//! Who has had what is no part of the durable state: a recovered scheduler begins with accounts that are even. What jobs claim
//! is ([`Claims`](super::state::Claims)).

mod accounts;
mod admission;
mod asked;
mod needs;
mod policy;
mod preemption;
mod shares;
mod tree;

pub use asked::QueueView;
pub(crate) use needs::{Kind, KindSet};
pub use policy::{Policy, QueuePolicy, UserPolicy};
pub(crate) use shares::Shares;
