//! A broadcast: `cargo run --example broadcast -- run by-country --input visits.tsv --countries countries.tsv --output
//! out/`.

use windrow::jobs;
use windrow::prelude::*;

/// Counts visits by the name of the country.
#[derive(Args, Serialize, Deserialize)]
struct ByCountry {
    /// Lines `country code<TAB>page`
    #[arg(long)]
    input: Location,
    /// Lines `country code<TAB>name`: few, so that every task has them whole
    #[arg(long)]
    countries: Location,
    /// The folder to write to
    #[arg(long)]
    output: Location,
}

impl Job for ByCountry {
    const NAME: &str = "by-country";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let countries = flow
            .read_lines(&self.countries)
            .flat_map(|line| {
                let (code, name) = line.split_once('\t')?;
                Some((code.to_string(), name.to_string()))
            })
            .broadcast();
        flow.read_lines(&self.input)
            .map_with(&countries, |line, countries| {
                let code = line.split('\t').next().unwrap_or_default();
                countries.get(code).unwrap_or("elsewhere").to_string()
            })
            .count_by_value()
            .sort()
            .write_text(&self.output)
    }
}

fn main() -> ExitCode {
    windrow::main(jobs![ByCountry])
}
