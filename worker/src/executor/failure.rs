//! From the errors of operators, sources and storage to a [`Failure`].

use windrow_datasets::formats::CannotWrite;
use windrow_datasets::push::PushError;
use windrow_datasets::source::SourceError;
use windrow_datasets::storage::{StorageError, StorageErrorKind};
use windrow_jobs::exec::OperatorError;
use windrow_jobs::plan::Plan;
use windrow_jobs::shuffle::SpillFailed;
use windrow_protocol::failure::{Failure, FailureClass};

/// The failure of a storage error.
pub fn of_storage(error: &StorageError) -> Failure {
    let class = match error.kind {
        StorageErrorKind::Other | StorageErrorKind::Full => FailureClass::Storage,
        _ => FailureClass::BadInput,
    };
    Failure::new(class, error.to_string())
}

/// The failure of a source's error.
pub fn of_source(error: SourceError) -> Failure {
    match error {
        SourceError::Input { .. } => Failure::new(FailureClass::BadInput, error.to_string()),
        SourceError::Storage { .. } => Failure::new(FailureClass::Storage, error.to_string()),
        SourceError::Push(error) => of_push(&error),
    }
}

/// The failure of an operator's or a sink's error.
pub fn of_push(error: &PushError) -> Failure {
    if let Some(error) = error.downcast_ref::<Failure>() {
        return error.clone();
    }
    if let Some(error) = error.downcast_ref::<StorageError>() {
        return of_storage(error);
    }
    if error.is::<CannotWrite>() {
        return Failure::new(FailureClass::BadInput, error.to_string());
    }
    if error.is::<SpillFailed>() {
        return Failure::new(FailureClass::Memory, error.to_string());
    }
    if error.is::<OperatorError>() {
        return Failure::new(FailureClass::UserCode, error.to_string());
    }
    if let Some(io) = error.downcast_ref::<std::io::Error>() {
        let inner = io.get_ref().and_then(|inner| inner.downcast_ref::<StorageError>());
        return match inner {
            Some(error) => of_storage(error),
            None => Failure::new(FailureClass::Storage, error.to_string()),
        };
    }
    Failure::new(FailureClass::Internal, error.to_string())
}

/// A failure for want of memory, with the stage whose rows have none.
pub fn in_stage(mut failure: Failure, plan: &Plan, stage: usize) -> Failure {
    if failure.class == FailureClass::Memory {
        failure.message = format!("{} (stage {})", failure.message, plan.stages()[stage].name);
    }
    failure
}
