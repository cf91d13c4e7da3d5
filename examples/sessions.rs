//! A group: `cargo run --example sessions -- run sessions --input clicks.tsv --output out/`.

use windrow::jobs;
use windrow::prelude::*;

/// Cuts each user's clicks into sessions: a new one begins after a pause.
#[derive(Args, Serialize, Deserialize)]
struct Sessions {
    /// Lines `user<TAB>seconds`, in any order
    #[arg(long)]
    input: Location,
    /// The folder to write lines `user<TAB>start<TAB>clicks` to
    #[arg(long)]
    output: Location,
    /// The seconds without a click that end a session
    #[arg(long, default_value_t = 1800)]
    pause: u64,
}

impl Job for Sessions {
    const NAME: &str = "sessions";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let pause = self.pause;
        flow.read_lines(&self.input)
            .flat_map(|line| {
                let (user, seconds) = line.split_once('\t')?;
                Some((user.to_string(), seconds.parse::<u64>().ok()?))
            })
            .group_by_key()
            .sorted_by(|a, b| a.cmp(&b))
            .flat_map(move |user, clicks| {
                let mut sessions: Vec<(String, u64, u64)> = Vec::new();
                let mut last = None;
                for click in clicks {
                    match sessions.last_mut() {
                        Some(session) if last.is_some_and(|last| click - last <= pause) => {
                            session.2 += 1;
                        }
                        _ => sessions.push((user.to_string(), click, 1)),
                    }
                    last = Some(click);
                }
                sessions
            })
            .write_text(&self.output)
    }
}

fn main() -> ExitCode {
    windrow::main(jobs![Sessions])
}
