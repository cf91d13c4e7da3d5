//! Named sets of options and secrets, in files that each process reads by itself.
//!
//! Ours is `stores.ini` in `windrow` below `XDG_CONFIG_HOME` (or `~/.config`), or the file that `WINDROW_STORES` names.
//! AWS's are `~/.aws/credentials` and `~/.aws/config`, or those that `AWS_SHARED_CREDENTIALS_FILE` and
//! `AWS_CONFIG_FILE` name: the client knows the environment and instance roles, and not these.

use super::options::{Meaning, StoreOptions, meaning};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where a process finds what it is told of stores: its environment.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Keys and values that a client is made with, beside the environment; of two with the same key the later one counts.
pub(super) fn settings(
    options: &StoreOptions,
    is_s3: bool,
    environment: Environment<'_>,
) -> Result<Vec<(String, String)>, String> {
    let mut found = match &options.profile {
        Some(name) => of_profile(name, environment)?,
        None if is_s3 => of_aws_by_itself(options, environment)?,
        None => Vec::new(),
    };
    let said = options.options.iter();
    found.extend(said.map(|option| (option.key().to_string(), option.value().to_string())));
    Ok(found)
}

/// What a profile says that was asked for by name: ours, or else AWS's.
fn of_profile(name: &str, environment: Environment<'_>) -> Result<Vec<(String, String)>, String> {
    let file = own_file(environment);
    let sections = match &file {
        Some(file) => read(file)?,
        None => Vec::new(),
    };
    if let Some((_, pairs)) = sections.iter().find(|(section, _)| section == name) {
        let file = file.unwrap_or_default();
        let mut found = Vec::new();
        for (key, value) in pairs {
            if key == "aws_profile" {
                found.extend(of_aws(value, environment)?.ok_or_else(|| {
                    format!(
                        "profile `{name}` of {} names `{value}`, which is no profile of AWS's files",
                        file.display()
                    )
                })?);
                continue;
            }
            if matches!(meaning(key), Meaning::Unknown | Meaning::Place) {
                return Err(format!(
                    "profile `{name}` of {}: `{key}` is no option of a store",
                    file.display()
                ));
            }
            found.push((key.clone(), value.clone()));
        }
        return Ok(found);
    }
    if let Some(found) = of_aws(name, environment)? {
        return Ok(found);
    }
    let known: Vec<&str> = sections.iter().map(|(section, _)| section.as_str()).collect();
    let known = if known.is_empty() {
        "no profile".to_string()
    } else {
        format!("the profiles {}", known.join(", "))
    };
    let file = file.map_or("stores.ini".to_string(), |file| file.display().to_string());
    Err(format!(
        "there is no profile `{name}`: {file} has {known}, and AWS's files have none of that name"
    ))
}

/// What AWS's files say where the environment is silent: of the profile in `AWS_PROFILE`, or the one named `default`.
fn of_aws_by_itself(
    options: &StoreOptions,
    environment: Environment<'_>,
) -> Result<Vec<(String, String)>, String> {
    const SECRETS: [&str; 5] = [
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_session_token",
        "aws_web_identity_token_file",
        "aws_role_arn",
    ];
    let says = |names: &[&str]| {
        names.iter().any(|name| {
            let said = options.options.iter().any(|option| option.key() == *name);
            said || environment(&name.to_ascii_uppercase()).is_some()
        })
    };
    let authorized =
        says(&["aws_access_key_id", "aws_web_identity_token_file", "aws_skip_signature"]);
    let named = environment("AWS_PROFILE");
    let name = named.as_deref().unwrap_or("default");
    let found = match of_aws(name, environment) {
        // Nothing of it is wanted.
        Err(_) if authorized => None,
        found => found?,
    };
    let Some(found) = found else {
        return match named {
            Some(name) if !authorized => Err(format!(
                "AWS_PROFILE names `{name}`, which is no profile of AWS's files; `aws configure list-profiles` shows those that there are"
            )),
            _ => Ok(Vec::new()),
        };
    };
    let wanted = |key: &str| match key {
        "aws_region" => !says(&["aws_region", "aws_default_region"]),
        "aws_endpoint_url" => !says(&["aws_endpoint_url", "aws_endpoint_url_s3", "aws_endpoint"]),
        _ => !(authorized && SECRETS.contains(&key)),
    };
    Ok(found.into_iter().filter(|(key, _)| wanted(key)).collect())
}

/// What AWS's files say of a profile; `None` if they have none of that name.
fn of_aws(
    name: &str,
    environment: Environment<'_>,
) -> Result<Option<Vec<(String, String)>>, String> {
    let file = |variable: &str, name: &str| {
        let said = environment(variable).map(PathBuf::from);
        said.or_else(|| Some(Path::new(&environment("HOME")?).join(".aws").join(name)))
    };
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut found = false;
    let config = file("AWS_CONFIG_FILE", "config").map(|file| (file, true));
    let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials").map(|file| (file, false));
    for (file, is_config) in config.into_iter().chain(credentials) {
        for (section, more) in read(&file)? {
            let its = match section.strip_prefix("profile ") {
                Some(profile) if is_config => profile.trim(),
                _ => section.as_str(),
            };
            if its == name {
                found = true;
                pairs.extend(more);
            }
        }
    }
    if !found {
        return Ok(None);
    }
    let has = |wanted: &str| pairs.iter().any(|(key, _)| key == wanted);
    let mut settings = Vec::new();
    for (key, value) in &pairs {
        let ours = match key.as_str() {
            "aws_access_key_id" | "aws_secret_access_key" | "aws_session_token" => key.as_str(),
            "region" => "aws_region",
            "endpoint_url" => "aws_endpoint_url",
            "web_identity_token_file" => "aws_web_identity_token_file",
            "role_arn" if has("web_identity_token_file") => "aws_role_arn",
            "role_session_name" => "aws_role_session_name",
            _ => continue,
        };
        settings.push((ours.to_string(), value.clone()));
    }
    let elsewhere = ["sso_session", "sso_start_url", "credential_process", "source_profile"];
    let elsewhere = elsewhere.into_iter().chain(["credential_source"]).find(|key| has(key));
    if let Some(key) = elsewhere
        && !has("aws_access_key_id")
    {
        return Err(format!(
            "AWS's profile `{name}` gets its keys by `{key}`, which only AWS's own tools do: run eval \"$(aws configure export-credentials --profile {name} --format env)\" first"
        ));
    }
    Ok(Some(settings))
}

/// The file of our own profiles.
fn own_file(environment: Environment<'_>) -> Option<PathBuf> {
    if let Some(said) = environment("WINDROW_STORES") {
        return Some(PathBuf::from(said));
    }
    let folder = environment("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty());
    let folder = match folder {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(&environment("HOME")?).join(".config"),
    };
    Some(folder.join("windrow").join("stores.ini"))
}

/// A section's name, and its keys with their values.
type Section = (String, Vec<(String, String)>);

/// The sections of a file; none if it is not there.
fn read(file: &Path) -> Result<Vec<Section>, String> {
    match std::fs::read_to_string(file) {
        Ok(text) => sections(&text).map_err(|why| format!("{}: {why}", file.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(format!("{} cannot be read: {error}", file.display())),
    }
}

/// The sections of a text: `[name]`, then `key = value` lines. What is indented belongs to the key above, and is
/// nothing that is needed here; lines that begin with `#` or `;` are comments.
fn sections(text: &str) -> Result<Vec<Section>, String> {
    let mut sections: Vec<Section> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.starts_with([' ', '\t', '#', ';']) || line.trim().is_empty() {
            continue;
        }
        let line = line.trim_end();
        // The line itself is not shown: there may be a secret in it.
        let wrong = |why: &str| format!("line {}: {why}", number + 1);
        if let Some(name) = line.strip_prefix('[') {
            let name = name.split(']').next().unwrap_or_default().trim();
            sections.push((name.to_string(), Vec::new()));
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            return Err(wrong("is neither [NAME] nor KEY = VALUE"));
        };
        let Some((_, pairs)) = sections.last_mut() else {
            return Err(wrong("stands before the first [NAME]"));
        };
        let value = value.trim();
        let quoted = |mark| value.strip_prefix(mark).and_then(|value| value.strip_suffix(mark));
        let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
        pairs.push((key.trim().to_ascii_lowercase(), value.to_string()));
    }
    Ok(sections)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    struct World {
        folder: tempfile::TempDir,
        variables: HashMap<&'static str, String>,
    }

    impl World {
        fn new(files: &[(&str, &str)], variables: &[(&'static str, &str)]) -> World {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = folder.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            let home = ("HOME", folder.path().display().to_string());
            let variables = variables.iter().map(|(name, value)| (*name, value.to_string()));
            World { variables: variables.chain([home]).collect(), folder }
        }

        fn settings(&self, profile: Option<&str>, said: &[&str]) -> Result<String, String> {
            let options = said.iter().map(|text| text.parse().unwrap()).collect();
            let options = StoreOptions { profile: profile.map(str::to_string), options };
            let found = settings(&options, true, &|name| self.variables.get(name).cloned())?;
            let pairs: Vec<String> =
                found.iter().map(|(key, value)| format!("{key}={value}")).collect();
            Ok(pairs.join(" "))
        }
    }

    const OURS: &str = "# mine\n[minio]\naws_endpoint_url = http://localhost:9000\naws_access_key_id = \"me\"\naws_secret_access_key='hush = hush'\n\n[other]\naws_profile = work\naws_region = eu-north-1\n";
    const AWS: &str = "[default]\nregion = us-west-2\ns3 =\n  max_concurrent_requests = 20\n[profile work]\nregion=eu-west-1\nendpoint_url = http://localhost:9001\n[profile far]\nsso_session = corp\n";
    const CREDENTIALS: &str = "[default]\naws_access_key_id = d\naws_secret_access_key = dd\n[work]\naws_access_key_id = w\naws_secret_access_key = ww\n";

    fn files() -> [(&'static str, &'static str); 3] {
        [
            (".config/windrow/stores.ini", OURS),
            (".aws/config", AWS),
            (".aws/credentials", CREDENTIALS),
        ]
    }

    #[test]
    fn a_profile_of_ours_is_found_by_its_name() {
        let world = World::new(&files(), &[]);
        assert_eq!(
            world.settings(Some("minio"), &["aws_region=x"]).unwrap(),
            "aws_endpoint_url=http://localhost:9000 aws_access_key_id=me aws_secret_access_key=hush = hush aws_region=x"
        );
        assert_eq!(
            world.settings(Some("other"), &[]).unwrap(),
            "aws_region=eu-west-1 aws_endpoint_url=http://localhost:9001 aws_access_key_id=w aws_secret_access_key=ww aws_region=eu-north-1"
        );
        let elsewhere = world.folder.path().join(".config/windrow/stores.ini");
        let elsewhere = elsewhere.to_str().unwrap();
        let other = World::new(&[], &[("WINDROW_STORES", elsewhere)]);
        assert!(other.settings(Some("minio"), &[]).unwrap().contains("localhost:9000"));
        let error = other.settings(Some("nowhere"), &[]).unwrap_err();
        assert!(error.contains("`nowhere`"), "{error}");
    }

    #[test]
    fn a_profile_of_aws_is_found_too() {
        let world = World::new(&files(), &[]);
        let work = "aws_region=eu-west-1 aws_endpoint_url=http://localhost:9001 aws_access_key_id=w aws_secret_access_key=ww";
        assert_eq!(world.settings(Some("work"), &[]).unwrap(), work);
        let world = World::new(&files(), &[("AWS_PROFILE", "work")]);
        assert_eq!(world.settings(None, &[]).unwrap(), work);
        let world = World::new(&files(), &[]);
        assert_eq!(
            world.settings(None, &[]).unwrap(),
            "aws_region=us-west-2 aws_access_key_id=d aws_secret_access_key=dd"
        );
    }

    #[test]
    fn the_environment_and_options_come_before_aws_files() {
        let keys = [("AWS_ACCESS_KEY_ID", "e"), ("AWS_SECRET_ACCESS_KEY", "ee")];
        let world = World::new(&files(), &keys);
        assert_eq!(world.settings(None, &[]).unwrap(), "aws_region=us-west-2");
        let world = World::new(&files(), &[("AWS_REGION", "here"), ("AWS_SKIP_SIGNATURE", "true")]);
        assert_eq!(world.settings(None, &[]).unwrap(), "");
        let world = World::new(&files(), &[]);
        let said = ["aws_skip_signature=true", "aws_region=z"];
        let expected = "aws_skip_signature=true aws_region=z";
        assert_eq!(world.settings(None, &said).unwrap(), expected);
        assert_eq!(World::new(&[], &[]).settings(None, &[]).unwrap(), "");
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        let world = World::new(&files(), &[("AWS_PROFILE", "nobody")]);
        assert!(world.settings(None, &[]).unwrap_err().contains("AWS_PROFILE names `nobody`"));
        let error = world.settings(Some("mino"), &[]).unwrap_err();
        assert!(error.contains("the profiles minio, other"), "{error}");
        assert!(!error.contains("hush"), "{error}");
        let error = world.settings(Some("far"), &[]).unwrap_err();
        assert!(error.contains("sso_session") && error.contains("export-credentials"), "{error}");
        let bad = "[a]\naws_secret_access_key hush\n";
        let world = World::new(&[(".config/windrow/stores.ini", bad)], &[]);
        let error = world.settings(Some("a"), &[]).unwrap_err();
        assert!(error.contains("line 2") && !error.contains("hush"), "{error}");
        let bad = "[a]\naws_bucket = b\n";
        let world = World::new(&[(".config/windrow/stores.ini", bad)], &[]);
        assert!(world.settings(Some("a"), &[]).unwrap_err().contains("`aws_bucket`"));
    }
}
