//! A join: `cargo run --example join -- run named-sales --sales sales.tsv --names names.tsv --output out/`.

use windrow::jobs;
use windrow::prelude::*;

/// Puts the name of its article before each sale; sales of articles without a name are left out.
#[derive(Args, Serialize, Deserialize)]
struct NamedSales {
    /// Lines `article<TAB>price`
    #[arg(long)]
    sales: Location,
    /// Lines `article<TAB>name`
    #[arg(long)]
    names: Location,
    /// The folder to write to
    #[arg(long)]
    output: Location,
}

/// The two fields of a line; one without a tab is left out.
fn fields(line: &str) -> Option<(String, String)> {
    let (first, second) = line.split_once('\t')?;
    Some((first.to_string(), second.to_string()))
}

impl Job for NamedSales {
    const NAME: &str = "named-sales";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let names = flow.read_lines(&self.names).flat_map(fields);
        let sales = flow.read_lines(&self.sales).flat_map(fields);
        sales
            .join(&names)
            .map_to::<(String, String)>(|(_article, (price, name))| (name, price))
            .write_text(&self.output)
    }
}

fn main() -> ExitCode {
    windrow::main(jobs![NamedSales])
}
