//! Manifests: any bytes, and JSON that is near to one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use windrow_datasets::commit::Manifest;
use windrow_datasets::location::Location;
use windrow_datasets::storage::Storage;

fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = rest.to_vec();
    if kind >= 64 {
        let start =
            br#"{"format":"windrow-manifest","version":2,"job":"a","job_name":"b","files":["#;
        bytes.splice(0..0, start.iter().copied());
        bytes.extend_from_slice(br#"],"rows":1,"bytes":2}"#);
    }
    std::fs::write(folder.path().join("_SUCCESS"), bytes).unwrap();
    let location = Location::of_path(folder.path()).unwrap();
    if let Ok(Some(manifest)) = Manifest::find(&Storage::new(), &location) {
        // Whoever reads it joins these with the output's location.
        for file in &manifest.files {
            assert!(!file.name.starts_with('/') && !file.name.split('/').any(|part| part == ".."));
        }
    }
});
