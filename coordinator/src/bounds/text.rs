//! What bounds a job, as people read it.

use super::{Bounds, LINES, PER_MS, What, took_ms};

/// Less than so many hundredths of the time is not told of.
const LEAST_PERCENT: f64 = 0.5;

/// A task that took so many times what the others do is told of.
const SKEWED: u64 = 2;

pub(super) fn lines(bounds: &Bounds<'_>, name: &str) -> Vec<String> {
    let all = (bounds.slots * bounds.elapsed_ms * PER_MS).max(1);
    let not_known = match bounds.left_out {
        0 => String::new(),
        attempts => format!("; {attempts} attempts are not known any more"),
    };
    let head = format!(
        "{name}: {} on {} slot{}, whose time went to{not_known}",
        seconds(bounds.elapsed_ms * PER_MS),
        bounds.slots,
        if bounds.slots == 1 { "" } else { "s" },
    );
    let told = bounds.ranked().into_iter().filter_map(|(what, units, stage)| {
        let percent = units as f64 * 100.0 / all as f64;
        let line = format!("{percent:>4.0} %  {}", of(bounds, what, stage));
        (percent >= LEAST_PERCENT).then_some(line)
    });
    std::iter::once(head).chain(told.take(LINES)).collect()
}

fn seconds(units: u64) -> String {
    format!("{:.2} s", units as f64 / (PER_MS * 1000) as f64)
}

/// What something is, where most of it was, and what would help.
fn of(bounds: &Bounds<'_>, what: What, stage: u32) -> String {
    let name = bounds.shape.stages.get(stage as usize).map_or("", |of| &*of.name);
    let most = format!("most in s{stage} ({name})");
    let spilled = bounds.stages.values().any(|times| times.spilled_bytes > 0);
    match what {
        What::Reading => format!(
            "waiting for bytes of the input, {most}: fewer columns, a filter that prunes, or workers nearer to the data help; on one disk more slots do not"
        ),
        What::Decoding => format!(
            "making records of the input, {most}: Parquet in place of text, fewer columns, or more slots help"
        ),
        What::Operators => format!(
            "the job's own code and its operators, {most}: a faster closure or more slots (--workers, --threads) help"
        ),
        What::IntoShuffles => {
            let memory = if spilled { "some did not fit the memory: --memory, " } else { "" };
            let into = into_shuffles(name);
            format!("rows on their way into shuffles, {most}: {memory}{into}")
        }
        What::OutOfShuffles => format!(
            "waiting for shuffled rows and reading them, {most}: fewer rows and columns, or a faster network help"
        ),
        What::Writing => format!(
            "encoding and writing the output, {most}: more slots help, or a format that costs less"
        ),
        What::Queued => format!(
            "waiting for a thread of the worker, {most}: a worker has more slots than threads (--threads), or a table for a join is being made"
        ),
        What::Around => format!(
            "orders, starting processes and telling what came, {most}: larger tasks help, and jobs that follow one another on the same workers"
        ),
        What::Lost => {
            format!("attempts whose output was not used, {most}: `explain` says why each ended")
        }
        What::Listing => {
            "listing the input, while nothing else can begin: fewer and larger files help"
                .to_owned()
        }
        What::Commit => "making the output visible: fewer and larger part files help".to_owned(),
        What::Begin => {
            "free slots, before anything began: the job waited in its queue, or for workers"
                .to_owned()
        }
        What::Denied => format!(
            "free slots that its tasks did not get, {most}: their queue, user or needs allow no more (--queue, --task-slots), or what they read was made again"
        ),
        What::Between => {
            "free slots between stages: that the next one can begin is told and decided".to_owned()
        }
        What::Tail => tail(bounds, stage, &most),
    }
}

/// What helps where the rows that a stage of this name shuffles take the time.
fn into_shuffles(name: &str) -> &'static str {
    let last = name.rsplit(" > ").next().unwrap_or(name);
    if last.contains("group") {
        "an aggregate (`count_by_key`, `reduce_by_key`, `fold_by_key`) in place of `group_by_key`, or fewer columns help"
    } else if ["sort", "join", "partition"].iter().any(|all| last.contains(all)) {
        "all rows are shuffled, so fewer columns, a filter before it, or more slots help"
    } else {
        "they are combined there, so more slots, or fewer distinct keys help"
    }
}

/// Free slots at the end of stages.
fn tail(bounds: &Bounds<'_>, stage: u32, most: &str) -> String {
    let times = bounds.stages.get(&stage);
    let longest = times.and_then(|times| Some((times, times.longest?)));
    let skewed = longest.filter(|(times, row)| {
        let others = times.all_ms - took_ms(row, bounds.elapsed_ms);
        let average = others / (times.tasks - 1).max(1);
        times.tasks > 1 && took_ms(row, bounds.elapsed_ms) > SKEWED * average.max(1)
    });
    match (skewed, longest) {
        (Some((times, row)), _) => {
            let took = took_ms(&row, bounds.elapsed_ms);
            let average = (times.all_ms - took) / (times.tasks - 1);
            format!(
                "free slots while the last tasks of a stage ran, {most}: s{stage}/{} took {} where others take {}, so a key or a file that has much of the data, or a slow worker ({}): `explain` tells of it",
                row.partition,
                seconds(took * PER_MS),
                seconds(average * PER_MS),
                row.worker,
            )
        }
        (None, Some((times, _))) if times.tasks < bounds.slots => format!(
            "free slots, since a stage has fewer tasks than there are slots, {most}: smaller files or more partitions help, or fewer slots are enough"
        ),
        _ => format!(
            "free slots while the last tasks of a stage ran, {most}: tasks that are short beside the whole leave less free; a larger input has less of it"
        ),
    }
}
