//! The command line.

mod advertised;
mod claim;
mod cluster;
mod coordinator;
mod doctor;
mod down;
mod events;
mod explain;
mod generate;
mod hosts;
mod inspect;
mod jobs;
mod manual;
mod new;
mod profiles;
mod progress;
pub(crate) mod quantity;
mod queues;
mod replay;
mod run;
mod security;
mod simulate;
mod state;
mod stores;
mod submit;
mod top;
mod trace;
mod up;
mod verify;
mod worker;

use crate::config::Profile;
use crate::registry::JobEntry;
use crate::telemetry::Telemetry;
use crate::trace::Trace;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use tracing_subscriber::layer::{Identity, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};
use windrow_worker::executor_process::AttemptLogs;

/// Runs the command line of a program with these jobs: `run`, and all other commands of Windrow.
///
/// What is global to a process is installed here, and nowhere in the library: the TLS provider and the logs, which
/// `WINDROW_LOG` turns on (as in `WINDROW_LOG=debug`; with `WINDROW_LOG_FORMAT=json` an object a line), the trace, which goes to the folder that `WINDROW_TRACE` names, and OpenTelemetry, which tells where
/// `OTEL_EXPORTER_OTLP_ENDPOINT` says.
///
/// What flags and the environment do not say, a profile of `windrow.toml` may.
///
/// Exit codes: 0, success; 1, the command failed, and standard error says why; 2, wrong usage; 130, cancelled by Ctrl-C.
pub fn main(jobs: Vec<JobEntry>) -> ExitCode {
    let ended = command_line(jobs);
    crate::telemetry::flush();
    ended
}

fn command_line(jobs: Vec<JobEntry>) -> ExitCode {
    crate::allocator::keep_large_blocks();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !windrow_jobs::checked::panic_is_expected() {
            hook(panic);
        }
    }));
    // Only fails if one is installed already, which will do as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let is = |hidden: &str| std::env::args_os().nth(1).is_some_and(|word| word == hidden);
    // Processes that another one starts are told all by that.
    if is(worker::EXECUTOR) {
        install_logs(None, Some(AttemptLogs::layer()));
        return worker::executor(jobs);
    }
    if is(submit::SUBMIT) {
        log_to_stderr(None);
        return ended(submit::submit(&jobs));
    }
    let configuration = profiles::configuration(command(&jobs));
    let profile = configuration.as_ref().ok().and_then(|found| found.profile.as_ref());
    log_to_stderr(profile);
    let commands = match profile {
        Some(profile) => profiles::with_defaults(command(&jobs), profile),
        None => command(&jobs),
    };
    let matches = commands.get_matches();
    let configuration = match (configuration, matches.subcommand_name()) {
        // It tells all that is wrong, and this too.
        (configuration, Some("doctor")) => configuration,
        (Err(error), _) => return ended(Err(Failed::Because(error.to_string()))),
        (found, _) => found,
    };
    let result = match matches.subcommand() {
        Some(("run", matches)) => run::run(&jobs, matches),
        Some(("generate", matches)) => flags(matches).and_then(generate::Generate::run),
        Some(("coordinator", matches)) => {
            flags(matches).and_then(coordinator::CoordinatorFlags::run)
        }
        Some(("worker", matches)) => flags(matches).and_then(worker::Worker::run),
        Some(("cluster", matches)) => flags(matches).and_then(cluster::ClusterFlags::run),
        Some(("jobs", matches)) => flags(matches).and_then(jobs::JobsFlags::run),
        Some(("inspect", matches)) => flags(matches).and_then(inspect::Inspect::run),
        Some(("events", matches)) => flags(matches).and_then(events::EventsFlags::run),
        Some(("top", matches)) => flags(matches).and_then(top::TopFlags::run),
        Some(("explain", matches)) => flags(matches).and_then(explain::ExplainFlags::run),
        Some(("trace", matches)) => flags(matches).and_then(trace::TraceFlags::run),
        Some(("replay", matches)) => {
            flags(matches).and_then(|replay: replay::ReplayFlags| replay.run(jobs))
        }
        Some(("verify", matches)) => flags(matches).and_then(verify::Verify::run),
        Some(("doctor", matches)) => {
            flags(matches).and_then(|doctor: doctor::Doctor| doctor.run(&configuration))
        }
        Some(("new", matches)) => flags(matches).and_then(new::New::run),
        Some(("completions", matches)) => flags(matches)
            .and_then(|completions: manual::Completions| completions.run(command(&jobs))),
        Some(("man", matches)) => {
            flags(matches).and_then(|manual: manual::Manual| manual.run(command(&jobs)))
        }
        Some(("simulate", matches)) => flags(matches).and_then(simulate::Simulate::run),
        _ => unreachable!("clap asks for one of the commands"),
    };
    ended(result)
}

/// Tells how a command has ended.
fn ended(result: Result<(), Failed>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::Usage(error)) => error.exit(),
        Err(Failed::Cancelled) => {
            tell("windrow: cancelled\n");
            ExitCode::from(130)
        }
        Err(Failed::Because(why)) => {
            tell(&format!("windrow: {why}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Installs the logs of a process that runs no attempts of its own.
fn log_to_stderr(profile: Option<&Profile>) {
    install_logs(profile, None::<Identity>);
}

/// Installs the logs: what is logged, and how, is said by the environment, or else by the profile; and who else listens.
fn install_logs(profile: Option<&Profile>, beside: Option<impl Layer<Registry> + Send + Sync>) {
    let said = |variable: &str, key: &str| {
        let said = std::env::var(variable).ok();
        said.or_else(|| profile?.text(key).map(str::to_owned))
    };
    let filter = said("WINDROW_LOG", "log")
        .and_then(|filter| tracing_subscriber::EnvFilter::try_new(filter).ok())
        .unwrap_or_else(|| tracing_subscriber::EnvFilter::new(LOG));
    let colours = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours);
    let log = match said("WINDROW_LOG_FORMAT", "log_format").as_deref() {
        Some("json") => log.json().flatten_event(true).boxed(),
        _ => log.boxed(),
    };
    let log = log.with_filter(filter);
    // Only fails if logs are installed already, which will do as well.
    let traces = Trace::of_environment();
    let telemetry = Telemetry::of_environment();
    let others = tracing_subscriber::registry().with(beside).with(traces).with(telemetry);
    let _ = others.with(log).try_init();
}

/// What is logged if nobody says: errors, and who was refused.
const LOG: &str = "error,windrow::security=warn";

fn flags<F: FromArgMatches>(matches: &ArgMatches) -> Result<F, Failed> {
    F::from_arg_matches(matches).map_err(Failed::from)
}

/// Writes a result to standard output. That a pipe is closed is no error: its reader has seen enough.
pub(crate) fn print(text: &str) -> Result<(), Failed> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failed::Because(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes what a person is told to standard error; where that cannot be written, nobody is there to be told.
pub(crate) fn tell(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// A number of things, in words: `1 file`, `2 files`.
pub(crate) fn number_of(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Why a command failed.
pub(crate) enum Failed {
    /// Wrong flags.
    Usage(clap::Error),
    /// By Ctrl-C.
    Cancelled,
    /// What a person is told.
    Because(String),
}

impl From<clap::Error> for Failed {
    fn from(error: clap::Error) -> Failed {
        Failed::Usage(error)
    }
}

impl From<crate::RunError> for Failed {
    fn from(error: crate::RunError) -> Failed {
        match error {
            crate::RunError::Failed(failure)
                if failure.class == windrow_protocol::failure::FailureClass::Cancelled =>
            {
                Failed::Cancelled
            }
            other => Failed::Because(other.to_string()),
        }
    }
}

fn command(jobs: &[JobEntry]) -> Command {
    let name = std::env::args_os()
        .next()
        .and_then(|path| Some(std::path::Path::new(&path).file_name()?.to_str()?.to_string()))
        .unwrap_or_else(|| "windrow".to_string());
    /// A command with the flags `A`.
    fn with<A: Args>(name: &'static str, about: &'static str) -> Command {
        A::augment_args(Command::new(name)).about(about)
    }
    let generate = with::<generate::Generate>("generate", "Makes input to try things on");
    let coordinator = with::<coordinator::CoordinatorFlags>(
        "coordinator",
        "Runs a coordinator: what decides which worker does what",
    );
    let worker = with::<worker::Worker>(
        "worker",
        "Runs a worker: does tasks of jobs, of this program and of others",
    );
    let cluster = with::<cluster::ClusterFlags>(
        "cluster",
        "Starts, shows and ends a cluster of processes, on this machine or over hosts; secures and shows others",
    );
    let on_cluster =
        with::<jobs::JobsFlags>("jobs", "Lists, shows, follows and cancels jobs on a cluster");
    let inspect = with::<inspect::Inspect>(
        "inspect",
        "Shows what lies at a location: schema, statistics, first rows",
    );
    let verify = with::<verify::Verify>("verify", "Compares an output with its manifest");
    let explain = with::<explain::ExplainFlags>("explain", "Says why a job did what it did");
    let trace = with::<trace::TraceFlags>(
        "trace",
        "Says where the time of a job went, and writes a trace of it",
    );
    let top =
        with::<top::TopFlags>("top", "Shows a cluster, or a job, in the terminal as it goes on");
    let events =
        with::<events::EventsFlags>("events", "Tells what happens on a cluster, or to a job");
    let replay =
        with::<replay::ReplayFlags>("replay", "Runs one task of a job again, in this process");
    let simulate = with::<simulate::Simulate>(
        "simulate",
        "Tries the scheduler on a simulated cluster, with faults",
    );
    let doctor = with::<doctor::Doctor>(
        "doctor",
        "Looks whether this machine, and a cluster, are fit for jobs, and says what to do",
    );
    let new = with::<new::New>("new", "Makes a crate for jobs of your own");
    let completions =
        with::<manual::Completions>("completions", "Prints what a shell completes commands by");
    let manual = with::<manual::Manual>("man", "Writes pages for `man`");
    let commands = Command::new("windrow")
        .bin_name(name)
        .about("Windrow: parallel batch jobs over typed records, in this process or on a cluster")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(run::command(jobs))
        .subcommand(coordinator)
        .subcommand(worker)
        .subcommand(cluster)
        .subcommand(on_cluster)
        .subcommand(generate)
        .subcommand(inspect)
        .subcommand(verify)
        .subcommand(top)
        .subcommand(events)
        .subcommand(explain)
        .subcommand(trace)
        .subcommand(replay)
        .subcommand(simulate)
        .subcommand(doctor)
        .subcommand(new)
        .subcommand(completions)
        .subcommand(manual);
    profiles::with_flag(commands)
}
