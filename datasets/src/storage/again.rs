//! Requests that we make again, since the client makes them only once.
//!
//! A client tries again what fails in passing, but for requests that it takes to be harmful when they are made twice:
//! deletions, which stores take in bulk, and writes with a condition. Both are harmless here: what is deleted already is
//! fine, and after a write with a condition it is looked at what is there.

use super::options::Retries;
use object_store::{Error, Result};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Makes a request until it succeeds, or fails other than in passing, or was made often enough.
pub(super) async fn again<T, F: Future<Output = Result<T>>>(
    retries: Retries,
    mut request: impl FnMut() -> F,
) -> Result<T> {
    let begun = Instant::now();
    let mut tries = 0;
    loop {
        match request().await {
            Err(Error::Generic { .. })
                if tries < retries.most && begun.elapsed() < retries.within =>
            {
                tokio::time::sleep(pause(retries.backoff, tries)).await;
                tries += 1;
            }
            done => return done,
        }
    }
}

/// How long to wait after so many tries: twice as long each time, and up to half as long again, so that those who fail
/// together do not come again together.
fn pause(first: Duration, tries: usize) -> Duration {
    let pause = first.saturating_mul(1 << tries.min(20)).min(PAUSE_MAX);
    let random = RandomState::new().hash_one(tries) as f64 / u64::MAX as f64;
    pause.mul_f64(1.0 + random / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const RETRIES: Retries =
        Retries { most: 3, within: Duration::from_secs(60), backoff: Duration::from_millis(1) };

    /// Makes a request that fails so often; how often it was made, and whether it succeeded.
    async fn made(failures: usize, error: impl Fn() -> Error) -> (usize, bool) {
        let made = Cell::new(0);
        let done = again(RETRIES, || {
            made.set(made.get() + 1);
            let failed = made.get() <= failures;
            let error = &error;
            async move { if failed { Err(error()) } else { Ok(()) } }
        });
        let done = done.await;
        (made.get(), done.is_ok())
    }

    fn reset() -> Error {
        Error::Generic { store: "S3", source: "connection reset".into() }
    }

    fn refused() -> Error {
        Error::Precondition { path: String::new(), source: "another is there".into() }
    }

    #[tokio::test]
    async fn what_fails_in_passing_is_tried_so_often_and_nothing_else() {
        assert_eq!(made(0, reset).await, (1, true));
        assert_eq!(made(3, reset).await, (4, true));
        assert_eq!(made(9, reset).await, (4, false));
        assert_eq!(made(1, refused).await, (1, false));
    }

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let first = Duration::from_millis(100);
        for tries in 0..100 {
            let least = first.saturating_mul(1 << tries.min(20)).min(PAUSE_MAX);
            let pause = pause(first, tries);
            assert!(pause >= least && pause <= least.mul_f64(1.5), "{tries}: {pause:?}");
        }
    }
}
