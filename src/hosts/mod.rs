//! The machines of a cluster that one command starts, over `ssh`: which they are ([`file`]), how they are talked to ([`ssh`]), and
//! what is done there ([`remote`]).

mod file;
mod remote;
mod ssh;

pub(crate) use file::{Host, read};
pub(crate) use remote::{Found, Launch, Remote, own_binary};
pub(crate) use ssh::{HostError, Ssh};

use futures::StreamExt;
use futures::stream;
use std::future::Future;

/// With so many hosts at once something is done.
const AT_ONCE: usize = 32;

/// Does something with each of these, several at a time; what came of each is in their order.
pub(crate) async fn each<T, R, F: Future<Output = R>>(
    of: impl IntoIterator<Item = T>,
    act: impl Fn(T) -> F,
) -> Vec<R> {
    stream::iter(of).map(act).buffered(AT_ONCE).collect().await
}
