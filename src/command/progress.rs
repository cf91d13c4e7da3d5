//! How far a job has come, on standard error: a bar for each stage on a terminal, else a line each few seconds.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use windrow_protocol::control::JobStatus;
use windrow_worker::local::{LocalJob, StageProgress};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How often bars are drawn.
const BAR_EVERY: Duration = Duration::from_millis(100);

/// What is shown until this is dropped.
pub(super) struct Shown {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // A thread that only draws may fail as it likes.
            let _ = thread.join();
        }
    }
}

/// A stage, as it is shown.
struct Stage {
    name: String,
    progress: Arc<StageProgress>,
}

/// Shows the stages of a job in this process.
pub(super) fn show_local(job: &LocalJob) -> Shown {
    let stages = job.plan().stages().iter().zip(job.progress());
    let stages: Vec<Stage> =
        stages.map(|(stage, progress)| Stage { name: stage.name.clone(), progress }).collect();
    let (stop, stopped) = channel::<()>();
    let terminal = std::io::stderr().is_terminal();
    let thread = std::thread::spawn(move || {
        let every = if terminal { BAR_EVERY } else { LINE_EVERY };
        let mut bars = terminal.then(|| Bars::new(&stages));
        let started = Instant::now();
        while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            match &mut bars {
                Some(bars) => bars.draw(&stages),
                None => super::tell(&format!("{}\n", line(&stages, started.elapsed()))),
            }
        }
        if let Some(bars) = bars {
            bars.clear();
        }
    });
    Shown { stop: Some(stop), thread: Some(thread) }
}

/// What stages are at, in a line.
fn line(stages: &[Stage], elapsed: Duration) -> String {
    let running = stages.iter().enumerate().find(|(_, stage)| {
        let (done, lanes) = (stage.progress.done(), stage.progress.lanes());
        lanes > 0 && done < lanes
    });
    let seconds = elapsed.as_secs();
    match running {
        Some((number, stage)) => {
            let (done, lanes) = (stage.progress.done(), stage.progress.lanes());
            format!("{seconds} s: stage {number}, {done} of {lanes} lanes: {}", stage.name)
        }
        None => format!("{seconds} s: between stages"),
    }
}

struct Bars {
    all: MultiProgress,
    bars: Vec<Option<ProgressBar>>,
}

impl Bars {
    fn new(stages: &[Stage]) -> Bars {
        Bars { all: MultiProgress::new(), bars: stages.iter().map(|_| None).collect() }
    }

    fn draw(&mut self, stages: &[Stage]) {
        for (bar, stage) in self.bars.iter_mut().zip(stages) {
            let lanes = stage.progress.lanes();
            if lanes == 0 {
                continue;
            }
            let bar = bar.get_or_insert_with(|| {
                let style =
                    ProgressStyle::with_template("{bar:30} {pos:>6}/{len:6} {elapsed:>5} {msg}");
                let bar = ProgressBar::new(lanes).with_message(stage.name.clone());
                self.all.add(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
            });
            bar.set_position(stage.progress.done());
        }
    }

    fn clear(self) {
        // A terminal that is gone shows nothing anyway.
        let _ = self.all.clear();
    }
}

/// Shows a job on a cluster, from its status.
pub(super) struct Remote {
    bars: Option<(MultiProgress, Vec<ProgressBar>)>,
    line: Instant,
    notes: usize,
}

impl Remote {
    pub(super) fn new() -> Remote {
        let bars = std::io::stderr().is_terminal().then(|| (MultiProgress::new(), Vec::new()));
        Remote { bars, line: Instant::now(), notes: 0 }
    }

    /// Shows a status.
    pub(super) fn show(&mut self, status: &JobStatus) {
        for note in status.notes.iter().skip(self.notes) {
            match &self.bars {
                // A terminal that is gone shows nothing anyway.
                Some((all, _)) => drop(all.println(note)),
                None => eprintln!("{note}"),
            }
        }
        self.notes = self.notes.max(status.notes.len());
        if let Some((all, bars)) = &mut self.bars {
            for stage in &status.stages[bars.len().min(status.stages.len())..] {
                let style =
                    ProgressStyle::with_template("{bar:30} {pos:>6}/{len:6} {elapsed:>5} {msg}");
                let bar = ProgressBar::new(0).with_message(stage.name.clone());
                let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
                bars.push(all.add(bar.with_style(style)));
            }
            for (bar, stage) in bars.iter().zip(&status.stages) {
                bar.set_length(u64::from(stage.tasks.unwrap_or_default()));
                bar.set_position(u64::from(stage.done));
            }
        } else if self.line.elapsed() > LINE_EVERY {
            self.line = Instant::now();
            let at = status.stages.iter().find(|stage| stage.tasks.is_none_or(|t| stage.done < t));
            if let Some(stage) = at {
                let tasks = stage.tasks.map_or("?".to_string(), |tasks| tasks.to_string());
                eprintln!(
                    "{} s: stage {}, {} of {tasks} tasks: {}",
                    status.elapsed_ms / 1000,
                    stage.stage.0,
                    stage.done,
                    stage.name
                );
            }
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        if let Some((all, _)) = &self.bars {
            // As above.
            let _ = all.clear();
        }
    }
}
