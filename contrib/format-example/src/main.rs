//! A program with a format of its own: files of messages with their length before them, as many services log them.
//!
//! `cargo run -- run dedupe --input FOLDER --output FOLDER` writes each message once. [`frames`] has the format.

mod frames;

use bytes::Bytes;
use frames::{FrameSink, FrameSource};
use windrow::jobs;
use windrow::prelude::*;

/// Writes each message once
#[derive(Args, Serialize, Deserialize)]
struct Dedupe {
    /// Files of messages
    #[arg(long, required = true, num_args = 1.., value_name = "LOCATION")]
    input: Vec<Location>,
    /// The folder to write to
    #[arg(long, value_name = "LOCATION")]
    output: Location,
}

impl Job for Dedupe {
    const NAME: &str = "dedupe";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let messages = flow.read(FrameSource::new(&self.input));
        each_once(&messages).write(FrameSink, &self.output)
    }
}

/// What the job does, wherever messages come from: so that it can be tested without files.
fn each_once(messages: &Dataset<Bytes>) -> Dataset<Bytes> {
    messages.filter(|message| !message.is_empty()).distinct()
}

fn main() -> ExitCode {
    windrow::main(jobs![Dedupe])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_comes_once() {
        let messages = ["b", "a", "", "b", "c", "a"].map(Bytes::from);
        let outcome = Local::new()
            .threads(2)
            .run_plan("test", |flow| each_once(&flow.from_iter(messages)).sort().collect("once"))
            .unwrap();
        assert_eq!(outcome.rows::<Bytes>("once").unwrap(), ["a", "b", "c"]);
    }
}
