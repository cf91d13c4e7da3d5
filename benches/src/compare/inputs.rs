//! Inputs of comparisons, made once and kept.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use windrow_datasets::generate::{Generator, Measurements, Tera, Words};

/// About the size of a file.
const FILE: u64 = 128 << 20;

/// A folder with Zipf text of this size.
pub(super) fn words(scratch: &Path, bytes: u64) -> io::Result<PathBuf> {
    make(&scratch.join(format!("words-{bytes}")), bytes, FILE, |part, size, path| {
        Words { bytes: size, seed: part }.write_file(path)
    })
}

/// A folder with this many records to sort.
pub(super) fn tera(scratch: &Path, records: u64) -> io::Result<PathBuf> {
    make(
        &scratch.join(format!("tera-{records}")),
        records,
        FILE / Tera::RECORD as u64,
        |part, size, path| Tera { records: size, seed: part }.write_file(path),
    )
}

/// A folder with this many lines `station;temperature`.
pub(super) fn measurements(scratch: &Path, records: u64) -> io::Result<PathBuf> {
    make(
        &scratch.join(format!("measurements-{records}")),
        records,
        FILE / 14,
        |part, size, path| Measurements { records: size, seed: part }.write_file(path),
    )
}

/// A folder with the tables of TPC-H at this scale, made by a binary that has `generate tpch`.
pub(super) fn tpch(scratch: &Path, scale: f64, binary: Option<&Path>) -> io::Result<PathBuf> {
    let folder = scratch.join(format!("tpch-{scale}"));
    if !folder.exists() {
        let missing = || io::Error::other("--tpch is missing, and so are the tables");
        let unfinished = folder.with_extension("unfinished");
        let done = Command::new(binary.ok_or_else(missing)?)
            .args(["generate", "tpch", "--quiet", "--overwrite", "--scale", &scale.to_string()])
            .arg("--output")
            .arg(&unfinished)
            .output()?;
        if !done.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned()));
        }
        fs::rename(&unfinished, &folder)?;
    }
    Ok(folder)
}

/// Makes files of `step` units each in `folder`, `total` together, if it is not there yet.
fn make(
    folder: &Path,
    total: u64,
    step: u64,
    write: impl Fn(u64, u64, &Path) -> io::Result<u64>,
) -> io::Result<PathBuf> {
    if !folder.exists() {
        // Under another name until it is whole.
        let unfinished = folder.with_extension("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        fs::create_dir_all(&unfinished)?;
        for part in 0..total.div_ceil(step) {
            write(
                part,
                step.min(total - part * step),
                &unfinished.join(format!("input-{part:04}")),
            )?;
        }
        fs::rename(&unfinished, folder)?;
    }
    Ok(folder.to_path_buf())
}
