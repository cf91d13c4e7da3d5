//! Listing in object stores: folders and patterns.
//!
//! Stores that promise to list in the order of the bytes of keys are asked for a page at a time, for the next one while
//! one is taken. What all keys of a pattern begin with is asked for, up to the first `*`, `?` or brace, also within a
//! name. Of several such beginnings that braces stand for, those are left out that begin with another one; then all
//! keys of one come before all keys of the next, so that listing one after the other gives one order.

use super::remote::{object_of, store_error};
use super::{Client, Each, Storage, StorageError, StorageErrorKind, received};
use crate::commit::MANIFEST_NAME;
use crate::location::{Location, glob};
use crate::source::SourceError;
use futures::TryStreamExt;
use object_store::ObjectMeta;
use object_store::ObjectStoreExt;
use object_store::list::{PaginatedListOptions, PaginatedListResult, PaginatedListStore};
use object_store::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// Calls `each` with the objects that `location` names, `by_manifest` where it is an output of ours.
pub(super) fn list(
    storage: &Storage,
    location: &Location,
    by_manifest: bool,
    each: &mut Each<'_>,
) -> Result<(), SourceError> {
    let Some((root, text)) = location.as_remote() else {
        unreachable!("{location} is in no object store")
    };
    if !location.is_pattern() || root.starts_with("http") {
        let (client, path) = storage.client(location)?;
        let in_folder = text.strip_suffix(MANIFEST_NAME);
        let in_folder = in_folder.filter(|folder| folder.is_empty() || folder.ends_with('/'));
        if by_manifest
            && let Some(folder) = in_folder
            && storage.files_of(&Location::remote(root, folder.trim_end_matches('/')), each)?
        {
            return Ok(());
        }
        if !text.is_empty() {
            let head = storage.wait(location, async move { client.store.head(&path).await })?;
            match head {
                Ok(meta) => return each(object_of(location.clone(), &meta)),
                Err(object_store::Error::NotFound { .. }) if !root.starts_with("http") => {}
                Err(error) => return Err(store_error(location, &error).into()),
            }
        }
        if by_manifest && !root.starts_with("http") && storage.files_of(location, each)? {
            return Ok(());
        }
    }
    let patterns = glob::expand_braces(text.as_bytes());
    let patterns: Vec<Vec<&[u8]>> = patterns.iter().map(|p| glob::components(p)).collect();
    let mut found = false;
    let mut take = |meta: ObjectMeta| {
        let name = meta.location.as_ref();
        // Stores list "folders" as empty objects whose names end with a slash.
        let is_folder = name.ends_with('/') && meta.size == 0;
        let path = glob::components(name.as_bytes());
        if is_folder || !patterns.iter().any(|pattern| glob::matches_path(pattern, &path)) {
            return Ok(());
        }
        found = true;
        each(object_of(Location::remote(root, name), &meta))
    };
    let prefixes = match location.is_pattern() || text.is_empty() {
        true => prefixes(&patterns),
        // It is no object, as was seen above.
        false => vec![format!("{text}/")],
    };
    for prefix in prefixes {
        let folder = prefix.rfind('/').map_or("", |at| &prefix[..at]);
        let (client, path) = storage.client(&Location::remote(root, folder))?;
        match &client.pages {
            Some(pages) => pages_of(storage, location, pages, &prefix, &mut take)?,
            None => whole(storage, location, client, path, &prefix, &mut take)?,
        }
    }
    if found {
        return Ok(());
    }
    let reason = if location.is_pattern() {
        "the pattern matches no object; note that `*` stays within one folder (`**` does not)"
    } else {
        "does not exist, neither as an object nor as a folder; check bucket and path"
    };
    Err(SourceError::Input { location: location.to_string(), reason: reason.to_string() })
}

/// What is taken of a listing.
type Take<'t> = dyn FnMut(ObjectMeta) -> Result<(), SourceError> + 't;

/// Lists in pages, in the store's order, all keys that begin with `prefix`.
fn pages_of(
    storage: &Storage,
    location: &Location,
    store: &Arc<dyn PaginatedListStore>,
    prefix: &str,
    take: &mut Take<'_>,
) -> Result<(), SourceError> {
    let ask = |page_token: Option<String>| {
        let (store, prefix) = (store.clone(), prefix.to_string());
        storage.start(location, async move {
            let options = PaginatedListOptions { page_token, ..PaginatedListOptions::default() };
            let prefix = (!prefix.is_empty()).then_some(prefix);
            store.list_paginated(prefix.as_deref(), options).await
        })
    };
    let mut last: Option<Path> = None;
    let mut asked: Option<Receiver<object_store::Result<PaginatedListResult>>> = Some(ask(None)?);
    while let Some(answer) = asked.take() {
        let page = received(location, &answer)?.map_err(|error| store_error(location, &error))?;
        asked = page.page_token.map(|token| ask(Some(token))).transpose()?;
        for meta in page.result.objects {
            if last.as_ref().is_some_and(|last| last.as_ref() >= meta.location.as_ref()) {
                let reason = format!(
                    "the store lists {} behind {}: it must list keys in the order of their bytes, as S3 does",
                    meta.location,
                    last.unwrap_or_default()
                );
                let kind = StorageErrorKind::Unsupported;
                return Err(StorageError::new(location, kind, reason).into());
            }
            last = Some(meta.location.clone());
            take(meta)?;
        }
    }
    Ok(())
}

/// Lists whole, and puts in order, all objects below the folder `path` whose keys begin with `prefix`.
fn whole(
    storage: &Storage,
    location: &Location,
    client: Client,
    path: Path,
    prefix: &str,
    take: &mut Take<'_>,
) -> Result<(), SourceError> {
    let list = async move { client.store.list(Some(&path)).try_collect::<Vec<_>>().await };
    let listed = storage.wait(location, list)?;
    let mut listed = listed.map_err(|error| store_error(location, &error))?;
    listed.retain(|meta| meta.location.as_ref().starts_with(prefix));
    listed.sort_by(|a, b| a.location.as_ref().cmp(b.location.as_ref()));
    listed.into_iter().try_for_each(take)
}

/// What keys begin with that match one of the patterns: ascending, and none begins with another.
fn prefixes(patterns: &[Vec<&[u8]>]) -> Vec<String> {
    let mut prefixes: Vec<String> = patterns.iter().map(|pattern| prefix(pattern)).collect();
    prefixes.sort_unstable();
    let mut kept: Vec<String> = Vec::new();
    for prefix in prefixes {
        if !kept.last().is_some_and(|last| prefix.starts_with(last.as_str())) {
            kept.push(prefix);
        }
    }
    kept
}

/// What keys begin with that match a pattern, as far as it is text. A pattern without anything to match is a folder,
/// or an object: its own key begins so, too.
fn prefix(pattern: &[&[u8]]) -> String {
    let mut prefix = Vec::new();
    for (at, component) in pattern.iter().enumerate() {
        if at > 0 {
            prefix.push(b'/');
        }
        let wild = component.iter().position(|byte| matches!(byte, b'*' | b'?'));
        prefix.extend_from_slice(&component[..wild.unwrap_or(component.len())]);
        if wild.is_some() {
            break;
        }
    }
    // Of a character that was cut in two, nothing.
    match String::from_utf8(prefix) {
        Ok(prefix) => prefix,
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_as_long_as_the_text_is_sure() {
        let of = |pattern: &str| {
            let patterns = glob::expand_braces(pattern.as_bytes());
            let patterns: Vec<Vec<&[u8]>> = patterns.iter().map(|p| glob::components(p)).collect();
            prefixes(&patterns)
        };
        assert_eq!(of("a/2024-*/x"), ["a/2024-"]);
        assert_eq!(of("a/b"), ["a/b"]);
        assert_eq!(of("a/**"), ["a/"]);
        assert_eq!(of("a/**/x"), ["a/"]);
        assert_eq!(of("**/x"), [""]);
        assert_eq!(of("a/b*/**"), ["a/b"]);
        assert_eq!(of("?"), [""]);
        assert_eq!(of("a/{c,b,bc}/*"), ["a/b/", "a/bc/", "a/c/"]);
        assert_eq!(of("a/{c,b}x/*"), ["a/bx/", "a/cx/"]);
    }
}
