use windrow::prelude::*;

#[derive(Serialize, Deserialize)]
struct LongLines {
    least: usize,
}

impl Job for LongLines {
    const NAME: &str = "long-lines";

    fn plan(&self, flow: &Flow) -> Result<()> {
        flow.read_lines("a.txt").filter(|line| line.len() >= self.least).write_text("out")
    }
}

fn main() {}
