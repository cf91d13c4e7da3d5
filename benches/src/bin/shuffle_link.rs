//! What a shuffle takes between two processes over loopback, beside a bare TCP stream of the same bytes:
//! `shuffle_link [FOLDER]`. The other process has the blocks, in files below the folder (that of the system for
//! temporary files if not said), which stay in the page cache, and in memory as well: the bare stream is written from
//! there. Its reader forgets what it reads, in a buffer that stays in the cache, or keeps it, in as much memory as a
//! fetch has. The same blocks are fetched over TLS, too. The fetched blocks are checked against their checksums, and are whole in memory when they are counted, some
//! buckets at a time, as tasks have them.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use windrow_datasets::codec::Choice;
use windrow_protocol::executor::BlockWorker;
use windrow_protocol::ids::{
    AttemptId, JobId, Round, ShuffleId, StageId, TaskId, TaskKind, WorkerId,
};
use windrow_protocol::security::{ClusterFolders, Credentials, Gate};
use windrow_worker::blocks::{BlockFileWriter, BlockRoom, Blocks};
use windrow_worker::data_plane::{BlockClient, ClientLimits, DataServer, Fetch, ServerLimits};

type Error = Box<dyn std::error::Error>;

/// How often each is measured.
const ROUNDS: usize = 7;

/// How often all bytes go over the link each time.
const TIMES: usize = 2;

/// The map tasks whose blocks there are.
const ATTEMPTS: u32 = 16;

/// The bytes of all blocks.
const BYTES: usize = 1 << 30;

/// What a bare stream is written and read by.
const PIECE: usize = 256 << 10;

/// The numbers of buckets, and how many of them one task reads: large blocks, middle ones, and small ones.
const CUTS: [(u32, u32); 3] = [(64, 4), (1024, 64), (16_384, 1024)];

const SHUFFLE: ShuffleId = ShuffleId(0);

fn attempt(partition: u32) -> AttemptId {
    let kind = TaskKind::Compute;
    let task = TaskId { job: JobId(1), stage: StageId(0), round: Round(0), kind, partition };
    AttemptId { task, number: 0 }
}

/// What a worker shows, of the cluster with this folder.
fn of_worker(cluster: &Path) -> Result<Credentials, Error> {
    let gate = Gate::open(&ClusterFolders::of(cluster).coordinator)?;
    Ok(gate.as_caller()?.ok_or("there is no authority")?)
}

/// The process that has the blocks: it says where it listens, and ends when its standard input does.
fn serve(folder: &Path, buckets: u32) -> Result<(), Error> {
    let secured = of_worker(&folder.join("cluster"))?;
    let block = BYTES / (ATTEMPTS * buckets) as usize;
    let bytes: Vec<u8> = (0..BYTES as u64 / 8)
        .flat_map(|at| at.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();
    let blocks = Blocks::new([folder.to_path_buf()]);
    let folders = blocks.folders(JobId(1));
    for folder in folders.paths() {
        std::fs::create_dir_all(folder)?;
    }
    let mut rest = bytes.chunks(block);
    for partition in 0..ATTEMPTS {
        let path = folders.file(attempt(partition), SHUFFLE);
        let mut writer = BlockFileWriter::create(&path, buckets)?;
        for bucket in 0..buckets {
            writer.add(bucket, rest.next().unwrap_or_default())?;
        }
        writer.finish()?;
        blocks.add(attempt(partition), SHUFFLE, path);
    }
    let bare = std::net::TcpListener::bind("127.0.0.1:0")?;
    let bare_at = bare.local_addr()?;
    std::thread::spawn(move || {
        for stream in bare.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.set_nodelay(true);
            for _ in 0..TIMES {
                if bytes.chunks(PIECE).try_for_each(|piece| stream.write_all(piece)).is_err() {
                    break;
                }
            }
        }
    });
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let blocks = Arc::new(blocks);
        let start = async |credentials| {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let limits = ServerLimits::default();
            DataServer::start(listener, blocks.clone(), None, "there".into(), limits, credentials)
        };
        let (plain, secured) = (start(Credentials::off()).await?, start(secured).await?);
        println!("{bare_at} {} {}", plain.address(), secured.address());
        // Until the other process is gone.
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        Ok(())
    })
}

/// The process that has the blocks, and where it listens: for bare streams, for requests, and for those over TLS.
fn server(folder: &Path, buckets: u32) -> Result<(Child, [String; 3]), Error> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["serve".as_ref(), folder.as_os_str(), buckets.to_string().as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().ok_or("no standard output")?).read_line(&mut line)?;
    let addresses: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    Ok((child, addresses.try_into().map_err(|_| "the server did not start")?))
}

/// Reads a bare stream by turns into so many bytes.
fn bare_stream(address: &str, memory: usize) -> Result<Duration, Error> {
    let mut stream = std::net::TcpStream::connect(address)?;
    let (mut memory, mut came) = (vec![1u8; memory], 0);
    let started = Instant::now();
    loop {
        let at = came % memory.len();
        let to = memory.len().min(at + PIECE);
        match stream.read(&mut memory[at..to])? {
            0 => break,
            read => came += read,
        }
    }
    assert_eq!(came, TIMES * BYTES, "bytes of a bare stream");
    Ok(started.elapsed())
}

/// Runs on a thread of the runtime, as fetches of executors do.
async fn fetched(
    address: String,
    credentials: Credentials,
    (buckets, at_once): (u32, u32),
) -> Result<Duration, String> {
    let client = BlockClient::new(ClientLimits::default(), Choice::default(), credentials);
    let room = BlockRoom::unlimited();
    let source = BlockWorker { worker: WorkerId(1), host: "there".into(), address };
    let attempts: Vec<AttemptId> = (0..ATTEMPTS).map(attempt).collect();
    let (mut came, started) = (0, Instant::now());
    for _ in 0..TIMES {
        for from in (0..buckets).step_by(at_once as usize) {
            let fetch = Fetch {
                source: &source,
                job: JobId(1),
                shuffle: SHUFFLE,
                attempts: &attempts,
                buckets: (from, from + at_once),
                host: "here",
                room: &room,
            };
            let blocks = client.fetch(fetch).await.map_err(|failure| failure.message)?;
            came += blocks.iter().flatten().map(|block| block.len()).sum::<usize>();
        }
    }
    assert_eq!(came, TIMES * BYTES, "bytes of blocks");
    Ok(started.elapsed())
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn measure(folder: &Path) -> Result<(), Error> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    println!("rates in GB/s, medians of {ROUNDS}; shares are medians of the rounds' shares");
    println!(
        "  block  a fetch   forgotten  kept  shuffle  over TLS   of forgotten  of kept  TLS of plain"
    );
    for cut @ (buckets, at_once) in CUTS {
        let block = BYTES / (ATTEMPTS * buckets) as usize;
        let fetch = block * (ATTEMPTS * at_once) as usize;
        let folder = tempfile::tempdir_in(folder)?;
        let cluster = folder.path().join("cluster");
        ClusterFolders::make(&cluster)?;
        let secured = of_worker(&cluster)?;
        let (mut child, [bare_at, blocks_at, secured_at]) = server(folder.path(), buckets)?;
        let fetched = |at: &String, credentials| -> Result<Duration, Error> {
            Ok(runtime.block_on(runtime.spawn(fetched(at.clone(), credentials, cut)))??)
        };
        let mut rates: [Vec<f64>; 4] = Default::default();
        let mut shares: [Vec<f64>; 3] = Default::default();
        for _ in 0..ROUNDS {
            let forgotten = bare_stream(&bare_at, PIECE)?;
            let kept = bare_stream(&bare_at, fetch)?;
            let shuffle = fetched(&blocks_at, Credentials::off())?;
            let over_tls = fetched(&secured_at, secured.clone())?;
            for (rates, took) in rates.iter_mut().zip([forgotten, kept, shuffle, over_tls]) {
                rates.push((TIMES * BYTES) as f64 / 1e9 / took.as_secs_f64());
            }
            let of = |part: Duration, all: Duration| 100.0 * part.as_secs_f64() / all.as_secs_f64();
            let of_all = [of(forgotten, shuffle), of(kept, shuffle), of(shuffle, over_tls)];
            for (shares, share) in shares.iter_mut().zip(of_all) {
                shares.push(share);
            }
        }
        drop(child.stdin.take());
        child.wait()?;
        let [forgotten, kept, shuffle, over_tls] = rates.map(median);
        let [of_forgotten, of_kept, of_plain] = shares.map(median);
        println!(
            "{:>4} kB {:>5} MB {forgotten:>11.2} {kept:>5.2} {shuffle:>8.2} {over_tls:>9.2} {of_forgotten:>13.0}% {of_kept:>7.0}% {of_plain:>12.0}%",
            block / 1000,
            fetch / 1_000_000,
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match &words[..] {
        [serve_word, folder, buckets] if serve_word == "serve" => match buckets.parse() {
            Ok(buckets) => serve(Path::new(folder), buckets),
            Err(_) => Err(format!("{buckets} is no number of buckets").into()),
        },
        [] => measure(&std::env::temp_dir()),
        [folder] => measure(&PathBuf::from(folder)),
        _ => {
            eprintln!("usage: shuffle_link [FOLDER]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
