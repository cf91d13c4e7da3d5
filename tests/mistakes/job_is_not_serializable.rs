use windrow::prelude::*;

struct Fares {
    input: String,
}

impl Job for Fares {
    const NAME: &str = "fares";

    fn plan(&self, flow: &Flow) -> Result<()> {
        flow.read_lines(&self.input).write_text("out")
    }
}

fn main() {}
