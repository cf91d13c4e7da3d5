//! Before a job: may it write here, and can it?

use super::leftovers::{Runner, note_runner, sweep_dead};
use super::{Manifest, Output, Survey, WriteMode, folder};
use crate::storage::{Storage, StorageError, StorageErrorKind};

/// Begins to write an output: sweeps what dead jobs left there, [checks](check), and writes down who runs this job, so
/// that what it leaves can be told from what a living job needs. To be followed by [`super::commit`] or
/// [`super::abort`].
///
/// # Errors
/// As for [`check`].
pub fn begin(storage: &Storage, output: &Output, runner: Runner) -> Result<(), StorageError> {
    output.check_names()?;
    // What cannot be swept is not in the way; what is in the way is told by the check.
    let _ = sweep_dead(storage, &output.location);
    check(storage, output)?;
    note_runner(storage, output, runner)
}

/// Looks whether a job may and can write this output. Changes nothing.
///
/// # Errors
/// [`StorageError`] if there is output already and the mode is [`WriteMode::Error`]; if what is there was not written
/// by this engine, and so can be neither overwritten nor appended to; if the location is a file, or must not be
/// written; if the store cannot take output.
pub fn check(storage: &Storage, output: &Output) -> Result<(), StorageError> {
    use StorageErrorKind::{Exists, Unsupported};
    output.check_names()?;
    if output.mode == WriteMode::OverwritePartitions && output.partitioned_by.is_empty() {
        let reason = "is written without folders by column (write_parquet_by), so that there are no partitions to overwrite; use --mode overwrite or append";
        return Err(output.refused(Unsupported, reason));
    }
    let folder = folder(storage, output);
    folder.check_access()?;
    let (parts, other, success) = match folder.survey()? {
        Survey::Nothing => return Ok(()),
        Survey::File => {
            let reason =
                "is a file, but an output is a folder of part files; write to another location";
            return Err(output.refused(Unsupported, reason));
        }
        Survey::Folder { parts, other, success } => (parts, other, success),
    };
    if parts.is_empty() && other.is_none() && !success {
        return Ok(());
    }
    let manifest = Manifest::find(storage, &output.location)?;
    match output.mode {
        WriteMode::Error => {
            let reason = "holds files already; replace them with --overwrite, add to them with --mode append, or write to another location";
            Err(output.refused(Exists, reason))
        }
        WriteMode::Overwrite => match other {
            Some(other) if manifest.is_none() => {
                let reason = format!(
                    "is no output of a job: it holds `{other}`, and nothing is deleted that no job wrote; remove it yourself, or write to another location"
                );
                Err(output.refused(Exists, reason))
            }
            _ => Ok(()),
        },
        WriteMode::Append | WriteMode::OverwritePartitions => match &manifest {
            Some(manifest) => check_partitions(output, manifest),
            None if parts.is_empty() && other.is_none() => Ok(()),
            None => Err(output.refused(Exists, super::job::no_manifest(output))),
        },
    }
}

/// Fails if the files that are there are in folders of other columns than those that are to come beside them.
pub(super) fn check_partitions(output: &Output, found: &Manifest) -> Result<(), StorageError> {
    if found.files.is_empty() || found.partitioned_by == output.partitioned_by {
        return Ok(());
    }
    let by = |columns: &[String]| match columns {
        [] => "in no folders by column".to_string(),
        columns => format!("in folders by {}", columns.join(", ")),
    };
    let reason = format!(
        "holds files {}, and this job writes them {}: readers could not tell them apart; write to another location, or overwrite all of it",
        by(&found.partitioned_by),
        by(&output.partitioned_by)
    );
    Err(output.refused(StorageErrorKind::Exists, reason))
}
