//! Work on the compute threads, for which the waiting side waits without holding a thread.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use windrow_protocol::failure::{Failure, FailureClass};

thread_local! {
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Remembers where panics happen, so that failures can say it. For a process that runs tasks, once, at its start: what was
/// the panic hook before is called too.
pub fn note_places_of_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string);
        // On a thread that ends there may be nothing to remember it in.
        let _ = PLACE.try_with(|there| there.replace(place));
        before(info);
    }));
}

/// Runs work on the pool. A panic is a failure of class [`FailureClass::UserCode`].
///
/// Not cancel safe: work whose waiter was dropped is run all the same.
pub(super) async fn compute<T: Send + 'static>(
    pool: &rayon::ThreadPool,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    pool.spawn(move || {
        // Nobody may wait any more.
        let _ = answer.send(caught(work));
    });
    match answered.await {
        Ok(done) => done,
        Err(_) => Err(Failure::new(FailureClass::Internal, "the compute threads are gone")),
    }
}

/// Runs work, on this thread.
fn caught<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done,
        Err(payload) => {
            let place = PLACE.with(RefCell::take);
            let at = place.map_or_else(String::new, |place| format!(" at {place}"));
            let text = format!("a panic{at}: {}", message(&*payload));
            // A payload may panic when it is dropped.
            let _ = catch_unwind(AssertUnwindSafe(move || drop(payload)));
            Err(Failure::new(FailureClass::UserCode, text))
        }
    }
}

fn message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "(no text)"
    }
}
