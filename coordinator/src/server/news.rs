//! What is new about a job, for those who wait for it.
//!
//! A job may have much that is new in a moment, and who waits looks at it now and then: so they are woken by the first of it,
//! and then by what must not wait.

use tokio::sync::watch;

/// What is new about a job.
#[derive(Debug, Default)]
pub(crate) struct News {
    count: u64,
    /// Whether somebody waits who has not been woken since.
    is_watched: bool,
    wakes: watch::Sender<u64>,
}

impl News {
    /// How much new there was.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// There is something new.
    pub(crate) fn add(&mut self) {
        self.count += 1;
        if std::mem::take(&mut self.is_watched) {
            self.wake();
        }
    }

    /// There is something new that must not wait.
    pub(crate) fn alert(&mut self) {
        self.count += 1;
        self.wake();
    }

    /// Changes with the first that is new from now on, and whenever something must not wait.
    pub(crate) fn watch(&mut self) -> watch::Receiver<u64> {
        self.is_watched = true;
        self.wakes.subscribe()
    }

    fn wake(&self) {
        if self.wakes.receiver_count() > 0 {
            self.wakes.send_replace(self.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_woken_by_the_first_and_by_what_must_not_wait() {
        let mut news = News::default();
        news.add();
        let mut wakes = news.watch();
        assert!(!wakes.has_changed().unwrap());
        news.add();
        assert!(wakes.has_changed().unwrap());
        wakes.mark_unchanged();
        news.add();
        assert!(!wakes.has_changed().unwrap());
        news.alert();
        assert!(wakes.has_changed().unwrap());
        wakes.mark_unchanged();
        let other = news.watch();
        news.add();
        assert!(wakes.has_changed().unwrap() && other.has_changed().unwrap());
        assert_eq!(news.count(), 5);
    }
}
