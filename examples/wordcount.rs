//! Word count with closures: `cargo run --example wordcount -- run words --input text/ --output counts/`.
//!
//! The ready job `wordcount` does the same with `read_words` and `count_by_value`, which is faster.

use windrow::jobs;
use windrow::prelude::*;

/// Counts words in any case, the most frequent first.
#[derive(Args, Serialize, Deserialize)]
struct Words {
    /// Files of text
    #[arg(long, required = true, num_args = 1..)]
    input: Vec<Location>,
    /// The folder to write to
    #[arg(long)]
    output: Location,
    /// How many words to write
    #[arg(long, default_value_t = 100)]
    most: usize,
}

impl Job for Words {
    const NAME: &str = "words";

    fn plan(&self, flow: &Flow) -> Result<()> {
        flow.read_lines(&self.input)
            .flat_map(|line| {
                let words = line.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
                words.map(|word| (word.to_lowercase(), 1u64)).collect::<Vec<_>>()
            })
            .reduce_by_key(|a, b| a + b)
            .top(self.most, |a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)))
            .write_text(&self.output)
    }
}

fn main() -> ExitCode {
    windrow::main(jobs![Words])
}
