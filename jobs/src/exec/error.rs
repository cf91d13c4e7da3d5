//! Why a lane failed, as far as operators know.

/// An error of an operator.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The job's own code returned an error.
    #[error("{0}")]
    User(#[from] UserError),
    /// A result that cannot be represented.
    #[error("{0}")]
    Overflow(String),
    /// More rows were collected than travel with control messages.
    #[error("{0}")]
    TooMuch(String),
}

/// An error that a closure of the job returned.
#[derive(Debug, thiserror::Error)]
#[error("{operator} at {place}: {message}")]
pub struct UserError {
    /// The operator, as in `map_batches`.
    pub operator: &'static str,
    /// File and line of the operator in the job's code.
    pub place: String,
    /// What the closure said.
    pub message: String,
}

/// What a panic said.
pub fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_string(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without a message".to_string(),
    }
}
