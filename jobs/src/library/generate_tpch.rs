//! The tables of TPC-H.

use crate::error::Error;
use crate::{Flow, Job, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::panic::Location as CodePlace;
use windrow_datasets::generate::tpch::{
    Customer, LineItem, Nation, Order, Part, PartSupp, Region, Supplier, TpchSource, TpchTable,
};
use windrow_datasets::location::Location;

/// Writes the eight tables of TPC-H as Parquet, a folder a table, each with a manifest.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct GenerateTpch {
    /// The scale: 1 is about 1 GB of text, 0.001 the least
    #[arg(long)]
    pub scale: f64,
    /// The folder to write the tables' folders into
    #[arg(long, value_name = "LOCATION")]
    pub output: Location,
}

impl GenerateTpch {
    fn table<T: TpchTable>(&self, flow: &Flow) -> Result<()> {
        let source = TpchSource::<T>::new(self.scale).map_err(|error| Error::Plan {
            place: CodePlace::caller().to_string(),
            reason: error.to_string(),
        })?;
        flow.read(source).write_parquet(self.output.join(T::NAME))
    }
}

impl Job for GenerateTpch {
    const NAME: &str = "generate-tpch";

    fn plan(&self, flow: &Flow) -> Result<()> {
        self.table::<Region>(flow)?;
        self.table::<Nation>(flow)?;
        self.table::<Supplier>(flow)?;
        self.table::<Customer>(flow)?;
        self.table::<Part>(flow)?;
        self.table::<PartSupp>(flow)?;
        self.table::<Order>(flow)?;
        self.table::<LineItem>(flow)
    }
}
