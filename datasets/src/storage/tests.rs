//! Listing, in local folders and in a store, against a plain definition of it.

use super::*;
use crate::location::{IntoLocations, glob};
use object_store::memory::InMemory;
use object_store::{ObjectStoreExt, PutPayload};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;

/// The same empty files in a folder and in a store.
struct Worlds {
    folder: tempfile::TempDir,
    storage: Storage,
}

impl Worlds {
    fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Worlds {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(InMemory::new());
        for name in names {
            write(folder.path(), name, "");
            let path = object_store::path::Path::parse(name).unwrap();
            futures::executor::block_on(store.put(&path, PutPayload::default())).unwrap();
        }
        let storage = Storage::new();
        storage.set_client("s3://b", store);
        Worlds { folder, storage }
    }

    /// What a pattern names in the folder; `None` for an error.
    fn local(&self, pattern: &str) -> Option<Vec<String>> {
        let root = self.folder.path().to_str().unwrap();
        names(&self.storage, &format!("{root}/{pattern}"), root)
    }

    /// What a pattern names in the store.
    fn remote(&self, pattern: &str) -> Option<Vec<String>> {
        names(&self.storage, &format!("s3://b/{pattern}"), "s3://b")
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn names(storage: &Storage, location: &str, root: &str) -> Option<Vec<String>> {
    let location: Location = location.parse().unwrap();
    let listed = storage.list(&location.into_locations()).ok()?;
    let names = listed.iter().map(|object| object.location.to_string());
    Some(names.map(|name| name[root.len() + 1..].to_string()).collect())
}

/// What a pattern names, by the definition: all that match, in the order of their bytes; `None` if none does.
fn plain(files: &BTreeSet<String>, pattern: &str) -> Option<Vec<String>> {
    let patterns = glob::expand_braces(pattern.as_bytes());
    let matches = |name: &&String| {
        let path = glob::components(name.as_bytes());
        patterns.iter().any(|pattern| glob::matches_path(&glob::components(pattern), &path))
    };
    let found: Vec<String> = files.iter().filter(matches).cloned().collect();
    (!found.is_empty()).then_some(found)
}

/// Files, none of which is a folder of another.
fn files() -> impl Strategy<Value = BTreeSet<String>> {
    let component = r"[ab.-]|a[ab.-]|_a|a\.b";
    let name = proptest::collection::vec(component, 1..4).prop_map(|parts| parts.join("/"));
    proptest::collection::btree_set(name, 1..16).prop_map(|mut names| {
        names.retain(|name| name.split('/').all(|part| part != "." && part != ".."));
        let all = names.clone();
        names.retain(|name| {
            let folder = format!("{name}/");
            !all.iter().any(|other| other.starts_with(&folder))
        });
        names
    })
}

fn pattern() -> impl Strategy<Value = String> {
    let component = prop_oneof![
        Just("*".to_string()),
        Just("**".to_string()),
        Just("a*".to_string()),
        Just("{a,b}".to_string()),
        Just("{a,a/b,b/*}".to_string()),
        Just("*.b".to_string()),
        Just("?".to_string()),
        Just("a".to_string()),
    ];
    proptest::collection::vec(component, 1..4)
        .prop_map(|parts| parts.join("/"))
        .prop_filter("a pattern", |pattern| pattern.contains(['*', '?', '{']))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn what_matches_is_listed_once_and_in_order(files in files(), pattern in pattern()) {
        let worlds = Worlds::new(files.iter().map(String::as_str));
        let expected = plain(&files, &pattern);
        prop_assert_eq!(worlds.local(&pattern), expected.clone(), "local {}", pattern);
        prop_assert_eq!(worlds.remote(&pattern), expected, "in a store {}", pattern);
    }
}

#[test]
fn the_order_is_that_of_the_bytes_of_paths() {
    let names = ["t/a/b", "t/a.b", "t/a-", "t/ab", "t/B", "t/é"];
    let worlds = Worlds::new(names);
    let sorted = ["t/B", "t/a-", "t/a.b", "t/a/b", "t/ab", "t/é"].map(str::to_string);
    assert_eq!(worlds.local("t"), Some(sorted.to_vec()));
    assert_eq!(worlds.remote("t"), Some(sorted.to_vec()));
}

#[test]
fn links_are_followed_where_that_ends() {
    let worlds = Worlds::new(["a/x", "c/y"]);
    let root = worlds.folder.path();
    let link = |from: &str, to: &str| std::os::unix::fs::symlink(to, root.join(from)).unwrap();
    link("a/up", "..");
    link("a/c", "../c");
    let some = |names: &[&str]| Some(names.iter().map(|name| name.to_string()).collect::<Vec<_>>());
    assert_eq!(worlds.local("a"), some(&["a/c/y", "a/up/c/y", "a/x"]));
    assert_eq!(worlds.local("**/y"), some(&["c/y"]));
    assert_eq!(worlds.local("a/*/y"), some(&["a/c/y"]));
    link("a/z", "nowhere");
    assert_eq!(worlds.local("a"), None, "a link to nothing");
    assert_eq!(worlds.local("a/*x"), some(&["a/x"]));
}

#[test]
fn the_one_who_takes_may_end_a_listing() {
    let worlds = Worlds::new(["t/a", "t/b", "t/c"]);
    let root = worlds.folder.path().to_str().unwrap();
    for location in [format!("{root}/t"), "s3://b/t".to_string()] {
        let location: Location = location.parse().unwrap();
        let mut seen = 0;
        let result = worlds.storage.list_each(&location.clone().into_locations(), &mut |_| {
            seen += 1;
            if seen < 2 {
                return Ok(());
            }
            Err(StorageError::other(&location, "enough").into())
        });
        assert!(result.is_err());
        assert_eq!(seen, 2);
    }
}

#[test]
fn an_output_of_ours_is_what_its_manifest_lists() {
    let manifest = r#"{"format": "windrow-manifest", "version": 1, "job": "j", "job_name": "n", "rows": 2, "bytes": 3,
        "files": [{"name": "part-2", "rows": 1, "bytes": 1, "crc32": 0}, {"name": "part-1", "rows": 1, "bytes": 2, "crc32": 0}]}"#;
    let worlds = Worlds::new([]);
    let (folder, client) = (worlds.folder.path(), Arc::new(InMemory::new()));
    worlds.storage.set_client("s3://b", client.clone());
    let put = |name: &str, text: &str| {
        write(folder, name, text);
        let path = object_store::path::Path::parse(name).unwrap();
        let text = PutPayload::from(text.to_string());
        futures::executor::block_on(client.put(&path, text)).unwrap();
    };
    for (name, text) in [
        ("out/part-1", "ab"),
        ("out/part-2", "c"),
        ("out/part-3", "no part of it"),
        ("foreign/x", ""),
    ] {
        put(name, text);
    }
    put("foreign/_SUCCESS", "");
    let some = |names: &[&str]| Some(names.iter().map(|name| name.to_string()).collect::<Vec<_>>());
    let of_both = |location: &str, expected: Option<Vec<String>>| {
        assert_eq!(worlds.local(location), expected, "{location}");
        assert_eq!(worlds.remote(location), expected, "{location}");
    };
    of_both("out", some(&["out/part-1", "out/part-2", "out/part-3"]));
    put("out/_SUCCESS", manifest);
    of_both("out", some(&["out/part-2", "out/part-1"]));
    of_both("out/_SUCCESS", some(&["out/part-2", "out/part-1"]));
    of_both("out/*", some(&["out/part-1", "out/part-2", "out/part-3"]));
    of_both("foreign", some(&["foreign/x"]));
    of_both("foreign/_SUCCESS", some(&["foreign/_SUCCESS"]));
    // One that is not what the manifest says.
    put("out/part-1", "abc");
    for root in [folder.to_str().unwrap(), "s3://b"] {
        let location: Location = format!("{root}/out").parse().unwrap();
        let listed = worlds.storage.list(&location.into_locations()).unwrap();
        let read = |object: &Object| {
            let file = worlds.storage.open_listed(object)?;
            file.read_at(0, &mut [0; 8])
        };
        assert_eq!(read(&listed[0]).unwrap(), 1);
        let error = read(&listed[1]).unwrap_err();
        assert_eq!(error.kind, StorageErrorKind::Corrupt);
        assert!(error.to_string().contains("out/part-1"), "{error}");
    }
    put("out/_SUCCESS", "{ \"format\"");
    of_both("out", None);
}
