//! The end of a job: commit or abort.

use super::begin::check_partitions;
use super::manifest::{self, folder_of};
use super::{
    Committed, Folder, Found, JobInfo, MANIFEST_NAME, Manifest, ManifestFile, Output,
    QUARANTINE_NAME, Staged, StagedFiles, Survey, Swap, WriteMode, folder, quarantine,
};
use crate::storage::{Storage, StorageError, StorageErrorKind};
use std::collections::BTreeSet;

/// How often a commit looks again at what other jobs have written before it gives up.
const TRIES: usize = 50;

/// Makes the output visible: what attempts have staged, one for each part, then the manifest; then deletes what was
/// overwritten, and all that is left of other attempts, as far as that can be removed.
///
/// To be called once the decision to commit is certain, and again until it succeeds; a job that has committed gets the
/// manifest that is there. Files are put on the disk on the threads of the rayon pool.
///
/// # Errors
/// [`StorageError`], after which some part files may be visible, without the new manifest: call it again.
/// [`StorageErrorKind::Exists`] if another job has written to the output meanwhile, and this one may not: nothing of
/// it is visible then. [`StorageErrorKind::Corrupt`] if a staged file is gone or has another size: then it is of no use.
pub fn commit(
    storage: &Storage,
    output: &Output,
    job: &JobInfo,
    staged: &[StagedFiles],
) -> Result<Manifest, StorageError> {
    output.check_names()?;
    commit_to(storage, output, folder(storage, output).as_ref(), job, staged)
}

/// As [`commit`], to this folder.
pub(super) fn commit_to(
    storage: &Storage,
    output: &Output,
    folder: &dyn Folder,
    job: &JobInfo,
    staged: &[StagedFiles],
) -> Result<Manifest, StorageError> {
    let (manifest, before) = swap(storage, output, folder, job, staged)?;
    if manifest.job == output.job {
        folder.delete(storage, &manifest.removed)?;
        if output.mode == WriteMode::Overwrite {
            release(storage, folder, |name| name != quarantine::own_file(&output.job))?;
        }
    }
    // Those of the job before, should it have been stopped.
    folder.delete(storage, &before)?;
    let attempts = staged.iter().map(|staged| staged.attempt.clone()).collect();
    // It has committed, whatever is left of other attempts: that is found by its records, and swept by the next job.
    let _ = folder.clean(storage, &Committed::Attempts(attempts));
    Ok(manifest)
}

/// Makes the files visible and writes the manifest, unless that was done before; gives it, and what the manifest before
/// it has removed.
fn swap(
    storage: &Storage,
    output: &Output,
    folder: &dyn Folder,
    job: &JobInfo,
    staged: &[StagedFiles],
) -> Result<(Manifest, Vec<String>), StorageError> {
    let mut files: Option<Vec<Staged>> = None;
    for _ in 0..TRIES {
        let found = folder.find(storage)?;
        if let Some(manifest) = &found.manifest
            && manifest.has(&output.job)
        {
            return Ok((manifest.clone(), Vec::new()));
        }
        let listed = match &files {
            Some(files) => files,
            None => files.insert(list(storage, output, staged)?),
        };
        let done = plan(output, folder, job, &found, listed).and_then(|manifest| {
            // Again, should it have been done before: what another job has overwritten meanwhile is gone.
            folder.publish(storage, listed)?;
            if !job.left_out.is_empty() {
                let rows = quarantine::to_json_lines(&job.left_out);
                folder.write(storage, &quarantine::file_name(&output.job), rows)?;
            }
            let swap = folder.write_manifest(storage, manifest.to_json(), &found)?;
            Ok((manifest, swap))
        });
        match done {
            Ok((manifest, Swap::Done)) => {
                let before = found.manifest.map_or_else(Vec::new, |before| before.removed);
                return Ok((manifest, before));
            }
            Ok((_, Swap::Conflict)) => {}
            // Another commit of this job, at the same time, may have finished: then what it wrote counts.
            Err(error) => match folder.find(storage)?.manifest {
                Some(manifest) if manifest.has(&output.job) => return Ok((manifest, Vec::new())),
                found => {
                    if error.kind == StorageErrorKind::Exists {
                        take_back(storage, output, folder, found.as_ref())?;
                    }
                    return Err(error);
                }
            },
        }
    }
    let reason = format!(
        "other jobs have written to it {TRIES} times while this one was to commit; run it again when they are done"
    );
    take_back(storage, output, folder, folder.find(storage)?.manifest.as_ref())?;
    Err(output.refused(StorageErrorKind::Exists, reason))
}

/// Deletes what the job has made visible but those files that a manifest lists.
fn take_back(
    storage: &Storage,
    output: &Output,
    folder: &dyn Folder,
    found: Option<&Manifest>,
) -> Result<(), StorageError> {
    folder.unpublish(storage, &listed_in(found))?;
    release(storage, folder, |name| name == quarantine::own_file(&output.job))
}

/// Deletes these files of the quarantine.
fn release(
    storage: &Storage,
    folder: &dyn Folder,
    which: impl Fn(&str) -> bool,
) -> Result<(), StorageError> {
    let names = folder.quarantined(storage)?.into_iter().filter(|name| which(name));
    let names: Vec<String> = names.map(|name| format!("{QUARANTINE_NAME}/{name}")).collect();
    folder.delete(storage, &names)
}

fn listed_in(manifest: Option<&Manifest>) -> BTreeSet<String> {
    manifest.into_iter().flat_map(|m| m.files.iter().map(|file| file.name.clone())).collect()
}

/// The files of all tasks, in the order of their names.
fn list(
    storage: &Storage,
    output: &Output,
    staged: &[StagedFiles],
) -> Result<Vec<Staged>, StorageError> {
    let lists = super::records::in_parallel(staged, |staged| staged.listed(storage, output))?;
    let mut files: Vec<Staged> = lists.into_iter().flatten().collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    check_staged(output, &files)?;
    Ok(files)
}

/// Fails unless each staged file is one of this output, and no two are of one part.
fn check_staged(output: &Output, staged: &[Staged]) -> Result<(), StorageError> {
    let bad = |reason: String| Err(output.refused(StorageErrorKind::Unsupported, reason));
    for file in staged {
        if !manifest::is_file_name(&file.name) || !output.is_own(&file.name) {
            return bad(format!("`{}` is no part file of job {}", file.name, output.job));
        }
    }
    match staged.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => bad(format!("`{}` was to be committed twice", pair[0].name)),
        None => Ok(()),
    }
}

/// Why nothing can be added to what is there.
pub(super) fn no_manifest(output: &Output) -> String {
    let what = match output.mode {
        WriteMode::OverwritePartitions => "no partition can be overwritten",
        _ => "nothing can be appended",
    };
    format!(
        "holds files, but no {MANIFEST_NAME} that lists them, so that {what}; write to another location"
    )
}

/// The manifest to be written, given the one that was `found`.
pub(super) fn plan(
    output: &Output,
    folder: &dyn Folder,
    job: &JobInfo,
    found: &Found,
    staged: &[Staged],
) -> Result<Manifest, StorageError> {
    let foreign = || -> Result<Vec<String>, StorageError> {
        Ok(match folder.survey()? {
            Survey::Folder { parts, .. } => {
                parts.into_iter().filter(|name| !output.is_own(name)).collect()
            }
            _ => Vec::new(),
        })
    };
    let mut files: Vec<ManifestFile> = staged.iter().map(Staged::listed).collect();
    let mut removed = Vec::new();
    match (output.mode, &found.manifest) {
        (WriteMode::Error, found) => {
            if found.is_some() || !foreign()?.is_empty() {
                let reason = "another job has written to it since this one began; run the job again, with another location";
                return Err(output.refused(StorageErrorKind::Exists, reason));
            }
        }
        (WriteMode::Append, Some(old)) => {
            check_partitions(output, old)?;
            files.splice(0..0, old.files.iter().cloned());
        }
        (WriteMode::OverwritePartitions, Some(old)) => {
            check_partitions(output, old)?;
            let replaced: BTreeSet<&str> =
                staged.iter().map(|file| folder_of(&file.name)).collect();
            let (gone, kept): (Vec<_>, Vec<_>) =
                old.files.iter().cloned().partition(|file| replaced.contains(file.folder()));
            removed = gone.into_iter().map(|file| file.name).collect();
            files.splice(0..0, kept);
        }
        (WriteMode::Append | WriteMode::OverwritePartitions, None) => {
            if !foreign()?.is_empty() {
                return Err(output.refused(StorageErrorKind::Exists, no_manifest(output)));
            }
        }
        (WriteMode::Overwrite, Some(old)) => {
            removed = old.files.iter().map(|file| file.name.clone()).collect();
        }
        (WriteMode::Overwrite, None) => removed = foreign()?,
    }
    Ok(Manifest::new(output, job, found.manifest.as_ref(), files, removed))
}

/// Removes all that a job without a decision to commit has left in an output: what it has staged, and files that were
/// made visible by a commit which was then refused. Folders that the job made and that are empty go too. Must not be
/// called once the decision to commit is made.
///
/// # Errors
/// What the storage says. What is gone already is no error.
pub fn abort(storage: &Storage, output: &Output) -> Result<(), StorageError> {
    output.check_names()?;
    let folder = folder(storage, output);
    let found = Manifest::find(storage, &output.location)?;
    take_back(storage, output, folder.as_ref(), found.as_ref())?;
    folder.clean(storage, &Committed::Nothing)
}
