//! Jobs that are submitted over HTTP, of programs that lie in a folder of the coordinator's machine.
//!
//! A coordinator knows no job: to make a plan of a job's arguments takes the job's program. So that is started for a moment, as
//! another process and with the caller's token, submits the job as any client does, and ends. Callers choose among the programs
//! that are there, and give a job's own arguments; how the program runs is not theirs to say.

use super::admission::token;
use super::api::{Refused, json_of};
use crate::server::Service;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use windrow_protocol::security::Identity;

/// A program has so long to submit a job.
const WITHIN: Duration = Duration::from_secs(60);

/// The most bytes that are told of what a program says.
const SAYS_MAX: usize = 4_000;

/// What a job is to be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The program, by the name of its file.
    program: String,
    /// The job's name in it.
    job: String,
    /// The job's own arguments, as words of a command line.
    #[serde(default)]
    arguments: Vec<String>,
    /// `error`, `overwrite`, `append` or `overwrite-partitions`.
    mode: Option<String>,
    /// With the same key it is submitted once.
    once: Option<String>,
    #[serde(default)]
    skip_bad_records: u32,
    task_timeout_s: Option<u64>,
    store_profile: Option<String>,
}

impl Asked {
    /// The flags with which the program runs.
    fn flags(&self, address: SocketAddr, security: Option<&Path>) -> Vec<String> {
        let mut flags = vec![
            "--detach".to_owned(),
            "--quiet".to_owned(),
            format!("--cluster={address}"),
            format!("--skip-bad-records={}", self.skip_bad_records),
        ];
        let mut flag = |name: &str, value: Option<String>| {
            flags.extend(value.map(|value| format!("--{name}={value}")));
        };
        flag("mode", self.mode.clone());
        flag("submit-once", self.once.clone());
        flag("task-timeout", self.task_timeout_s.map(|seconds| seconds.to_string()));
        flag("store-profile", self.store_profile.clone());
        flag("security", security.map(|folder| folder.display().to_string()));
        flags
    }
}

fn bad(why: impl Into<String>) -> Refused {
    Refused(StatusCode::BAD_REQUEST, why.into())
}

fn failed(error: &dyn std::fmt::Display) -> Refused {
    Refused(StatusCode::INTERNAL_SERVER_ERROR, format!("the program cannot be started: {error}"))
}

/// The folder of programs.
fn folder(service: &Service) -> Result<PathBuf, Refused> {
    let folder = service.lock().0.config.programs.clone();
    folder.ok_or_else(|| {
        let why = "this coordinator has no programs: start it with `--programs FOLDER`";
        Refused(StatusCode::NOT_FOUND, why.to_owned())
    })
}

/// The programs that there are.
pub(super) async fn programs(State(service): State<Service>) -> Result<Response, Refused> {
    let folder = folder(&service)?;
    let listed = spawn_blocking(move || -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().into_string().unwrap_or_default();
            if is_program(&entry.path()) && is_name(&name) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    });
    let names = listed.await.map_err(io::Error::other).and_then(|listed| listed);
    Ok(json_of(&json!({ "programs": names.map_err(|error| failed(&error))? })))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|of| of.is_file() && of.permissions().mode() & 0o111 != 0)
}

/// Whether it names a file, and no place elsewhere.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0'])
}

/// Submits a job. Answers with its name.
pub(super) async fn submit(
    State(service): State<Service>,
    Extension(who): Extension<Identity>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refused> {
    let asked: Asked = serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
    let program = folder(&service)?.join(&asked.program);
    if !is_name(&asked.program) || !is_program(&program) {
        let why = format!(
            "there is no program `{}`; /api/v1/programs lists those that there are",
            asked.program
        );
        return Err(Refused(StatusCode::NOT_FOUND, why));
    }
    let Ok(_one) = service.shared.submitting.try_acquire() else {
        let why = "other jobs are being submitted: try again in a moment";
        return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, why.to_owned()));
    };
    let security = credentials(&service, &headers).await?;
    let flags = asked.flags(reached(service.shared.address), security.as_ref().map(TempDir::path));
    let input = json!({ "job": asked.job, "arguments": asked.arguments }).to_string();
    let ran = tokio::time::timeout(WITHIN, run(&program, &flags, input)).await;
    let Output { status, stdout, stderr } = ran
        .map_err(|_| {
            bad(format!("`{}` has submitted nothing for {} s", asked.program, WITHIN.as_secs()))
        })?
        .map_err(|error| failed(&error))?;
    if !status.success() {
        let says = String::from_utf8_lossy(&stderr[..stderr.len().min(SAYS_MAX)]).trim().to_owned();
        tracing::info!(program = asked.program, %who, %status, "a job that was asked for over HTTP is not submitted");
        return Err(bad(format!("{}: {says}", asked.program)));
    }
    let job = String::from_utf8_lossy(&stdout).trim().to_owned();
    tracing::info!(program = asked.program, job, %who, "a job was submitted over HTTP");
    Ok(json_of(&json!({ "job": job })))
}

async fn run(program: &Path, flags: &[String], input: String) -> io::Result<Output> {
    let mut child = Command::new(program)
        .arg("__submit")
        .args(flags)
        .env_remove("WINDROW_SECURITY")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that has ended by now says why.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    child.wait_with_output().await
}

/// How this machine reaches where the coordinator listens.
fn reached(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// A folder with what the caller has shown, which only this account can read; it is gone with its value. None where nothing is
/// secured.
async fn credentials(service: &Service, headers: &HeaderMap) -> Result<Option<TempDir>, Refused> {
    let Some(gate) = service.gate() else { return Ok(None) };
    let token = token(headers).unwrap_or_default().to_owned();
    let write = move || -> io::Result<TempDir> {
        let folder = TempDir::new()?;
        let own = |name: &str, content: &str| {
            let mut options = fs::OpenOptions::new();
            let file =
                options.write(true).create_new(true).mode(0o600).open(folder.path().join(name));
            io::Write::write_all(&mut file?, content.as_bytes())
        };
        own("ca.pem", &gate.authorities_pem()?)?;
        own("token", &token)?;
        Ok(folder)
    };
    let written = spawn_blocking(write).await.map_err(io::Error::other).and_then(|written| written);
    written.map(Some).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_sets_no_flags_of_the_program() {
        let asked: Asked = serde_json::from_value(json!({
            "program": "p", "job": "j", "mode": "error --workers=9", "once": "--workers=9", "store_profile": "x",
        }))
        .unwrap();
        let flags = asked.flags("127.0.0.1:1".parse().unwrap(), Some(Path::new("/s")));
        assert_eq!(
            flags,
            [
                "--detach",
                "--quiet",
                "--cluster=127.0.0.1:1",
                "--skip-bad-records=0",
                "--mode=error --workers=9",
                "--submit-once=--workers=9",
                "--store-profile=x",
                "--security=/s",
            ]
        );
        for wrong in ["{}", r#"{"program":"p","job":"j","flags":["--workers=9"]}"#] {
            assert!(serde_json::from_str::<Asked>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn programs_are_those_of_the_folder() {
        for name in ["", ".", "..", "../p", "/bin/sh", ".hidden", "a/b"] {
            assert!(!is_name(name), "{name}");
        }
        assert!(is_name("fares-1.2"));
    }
}
