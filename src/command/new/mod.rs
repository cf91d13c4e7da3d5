//! `new`: a crate for jobs of one's own, with a test, CI and an image.

use super::{Failed, print};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

/// What the crate's name is in the templates.
const NAME: &str = "crate-name";

/// What the dependency is in the templates.
const WINDROW: &str = "\"windrow-dependency\"";

/// The files of a crate.
const FILES: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("Cargo.toml.template")),
    ("src/main.rs", include_str!("main.rs.template")),
    (".gitignore", "/target\n"),
    (".github/workflows/ci.yml", include_str!("ci.yml.template")),
    ("Dockerfile", include_str!("Dockerfile.template")),
    ("README.md", include_str!("README.md.template")),
];

/// `windrow new`.
#[derive(Args, Debug)]
pub(crate) struct New {
    /// The crate's folder, whose last part is its name
    #[arg(value_name = "FOLDER", value_parser = folder)]
    folder: PathBuf,
    /// The folder with Windrow's source [default: the release of this version]
    #[arg(long, value_name = "DIR")]
    windrow: Option<PathBuf>,
}

/// A folder whose last part is the name of a crate.
fn folder(text: &str) -> Result<PathBuf, String> {
    let folder = PathBuf::from(text);
    let last = folder.file_name().and_then(|last| last.to_str()).unwrap_or_default();
    name(last).map(|_| folder)
}

/// A name that Cargo takes, and that is no crate of Windrow's.
fn name(text: &str) -> Result<String, String> {
    let fits = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !fits {
        return Err(
            "a crate's name has letters, digits, `-` and `_`, and begins with a letter".into()
        );
    }
    match text {
        "windrow" | "clap" | "serde" | "test" | "core" | "std" | "alloc" => {
            Err("that is the name of another crate".into())
        }
        _ => Ok(text.to_owned()),
    }
}

impl New {
    /// Writes the crate.
    pub(super) fn run(self) -> Result<(), Failed> {
        let New { folder, windrow } = self;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let failed = |path: &Path, why: &dyn std::fmt::Display| {
            Failed::Because(format!("new: {}: {why}", path.display()))
        };
        let dependency = match &windrow {
            None => format!("{:?}", env!("CARGO_PKG_VERSION")),
            Some(folder) => {
                let folder = fs::canonicalize(folder).map_err(|error| failed(folder, &error))?;
                let is_source = fs::read_to_string(folder.join("Cargo.toml"))
                    .is_ok_and(|manifest| manifest.contains("name = \"windrow\""));
                if !is_source {
                    return Err(failed(&folder, &"this is not the folder with Windrow's source"));
                }
                format!("{{ path = {:?} }}", folder.display().to_string())
            }
        };
        fs::create_dir(&folder).map_err(|error| failed(&folder, &error))?;
        // What was tried together, and may be built already.
        if let Some(source) = &windrow {
            let (from, to) = (source.join("Cargo.lock"), folder.join("Cargo.lock"));
            fs::copy(&from, to).map_err(|error| failed(&from, &error))?;
        }
        for (file, template) in FILES {
            let path = folder.join(file);
            let text = template.replace(NAME, &name).replace(WINDROW, &dependency);
            let written = path.parent().map_or(Ok(()), fs::create_dir_all);
            written.and_then(|()| fs::write(&path, text)).map_err(|error| failed(&path, &error))?;
        }
        let shown = folder.display();
        print(&format!(
            "{name}: a crate with one job; its test and its first run:\n    cd {shown} && cargo test\n    cargo run --release -- run lengths --input README.md --output lengths\n"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_cargo_takes() {
        assert_eq!(name("my-jobs_2"), Ok("my-jobs_2".to_owned()));
        for wrong in ["", "2jobs", "my jobs", "../x", "windrow", "é"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
        assert_eq!(folder("../my-jobs"), Ok(PathBuf::from("../my-jobs")));
        for wrong in ["..", "/", "x/2jobs"] {
            assert!(folder(wrong).is_err(), "{wrong}");
        }
    }
}
