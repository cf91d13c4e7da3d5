//! Tests of the data plane: over real sockets, with cut connections, damaged files and strangers.

use super::*;
use crate::blocks::{BlockFileWriter, BlockRoom, Blocks};
use arrow::buffer::Buffer;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use windrow_datasets::codec::Choice;
use windrow_datasets::spill::Spills;
use windrow_protocol::control::CertificateOf;
use windrow_protocol::data::{PREFACE_BYTES, preface};
use windrow_protocol::executor::BlockWorker;
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{
    AttemptId, JobId, Round, ShuffleId, StageId, TaskId, TaskKind, WorkerId,
};
use windrow_protocol::security::{ClusterFolders, Credentials, Gate, Identity, NewKey};

const BUCKETS: u32 = 5;

fn attempt(partition: u32) -> AttemptId {
    let task = TaskId {
        job: JobId(1),
        stage: StageId(0),
        round: Round(0),
        kind: TaskKind::Compute,
        partition,
    };
    AttemptId { task, number: 0 }
}

/// The bytes of a block: some are empty, some are larger than all buffers.
fn block(partition: u32, bucket: u32) -> Vec<u8> {
    let len = [0, 16, 1000, 700_000][((partition + bucket) % 4) as usize];
    (0..len).map(|at: u32| (at * 31 + partition * 7 + bucket) as u8).collect()
}

/// A server with the blocks of some attempts.
struct Served {
    _folder: tempfile::TempDir,
    server: DataServer,
    files: Vec<PathBuf>,
    attempts: Vec<AttemptId>,
}

async fn serve(attempts: u32, host: &str) -> Served {
    serve_secured(attempts, host, Credentials::off()).await
}

async fn serve_secured(attempts: u32, host: &str, credentials: Credentials) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let blocks = Blocks::new([folder.path().to_path_buf()]);
    let folders = blocks.folders(JobId(1));
    std::fs::create_dir(&folders.paths()[0]).unwrap();
    let mut files = Vec::new();
    for partition in 0..attempts {
        let path = folders.file(attempt(partition), ShuffleId(2));
        let mut writer = BlockFileWriter::create(&path, BUCKETS).unwrap();
        for bucket in 0..BUCKETS {
            writer.add(bucket, &block(partition, bucket)).unwrap();
        }
        writer.finish().unwrap();
        blocks.add(attempt(partition), ShuffleId(2), path.clone());
        files.push(path);
    }
    let limits = ServerLimits {
        connections: 16,
        request: Duration::from_millis(200),
        buffer: 40_000,
        ..ServerLimits::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server =
        DataServer::start(listener, Arc::new(blocks), None, host.into(), limits, credentials)
            .unwrap();
    let attempts = (0..attempts).map(attempt).collect();
    Served { _folder: folder, server, files, attempts }
}

/// Room for a few blocks; others go to scratch.
fn room() -> BlockRoom {
    BlockRoom::of(1 << 20, Spills::default())
}

fn client() -> BlockClient {
    secured_client(Credentials::off())
}

fn secured_client(credentials: Credentials) -> BlockClient {
    let limits = ClientLimits {
        connect: Duration::from_millis(500),
        stall: Duration::from_millis(500),
        retries: vec![Duration::from_millis(5); 2],
        ..ClientLimits::default()
    };
    BlockClient::new(limits, Choice::default(), credentials)
}

async fn fetch(
    client: &BlockClient,
    address: String,
    attempts: &[AttemptId],
    host: &str,
) -> Result<Vec<Vec<Buffer>>, Failure> {
    let source = BlockWorker { worker: WorkerId(9), host: "there".into(), address };
    let fetch = Fetch {
        source: &source,
        job: JobId(1),
        shuffle: ShuffleId(2),
        attempts,
        buckets: (1, 4),
        host,
        room: &room(),
    };
    client.fetch(fetch).await
}

fn assert_whole(blocks: &[Vec<Buffer>], attempts: u32) {
    assert_eq!(blocks.len(), 3);
    for (bucket, row) in (1..).zip(blocks) {
        assert_eq!(row.len(), attempts as usize);
        for (partition, bytes) in (0..).zip(row) {
            assert!(bytes.as_slice() == block(partition, bucket), "{partition} {bucket}");
        }
    }
}

/// Stands between a client and a server; counts connections and lets `cut` bytes of each answer through.
async fn proxy(to: std::net::SocketAddr, cut: u64) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let far = TcpStream::connect(to).await.unwrap();
                let (mut far_in, mut far_out) = far.into_split();
                let (mut near_in, mut near_out) = near.into_split();
                let up = tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut near_in, &mut far_out).await;
                });
                let _ = tokio::io::copy(&mut (&mut far_in).take(cut), &mut near_out).await;
                up.abort();
            });
        }
    });
    (address, count)
}

#[tokio::test]
async fn blocks_are_streamed_and_connections_used_again() {
    let served = serve(7, "there").await;
    let (address, connections) = proxy(served.server.address(), u64::MAX).await;
    let client = client();
    for _ in 0..3 {
        let blocks = fetch(&client, address.clone(), &served.attempts, "here").await.unwrap();
        assert_whole(&blocks, 7);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

/// A cluster that is secured: what a worker of it shows, and what an executor does.
fn secured(job: JobId) -> (Credentials, Credentials) {
    let folder = tempfile::tempdir().unwrap();
    let folders = ClusterFolders::make(&folder.path().join("cluster")).unwrap();
    let gate = Gate::open(&folders.coordinator).unwrap();
    let worker = gate.as_caller().unwrap().unwrap();
    let (key, who) = (NewKey::draw().unwrap(), Identity::Worker { token: None });
    let issued = gate.certify(&who, key.public(), CertificateOf::Executor(job)).unwrap();
    let certificate = key.certified(issued.chain, Duration::from_secs(60));
    let executor = Credentials::given(worker.give(Some(certificate)).unwrap()).unwrap();
    (worker, executor)
}

#[tokio::test]
async fn blocks_are_streamed_over_tls_to_who_may_read_them() {
    let (worker, executor) = secured(JobId(1));
    let served = serve_secured(7, "there", worker.clone()).await;
    // Far less than the largest block.
    let (address, _) = proxy(served.server.address(), 300_000).await;
    for reader in [worker, executor] {
        let client = secured_client(reader);
        let blocks = fetch(&client, address.clone(), &served.attempts, "here").await.unwrap();
        assert_whole(&blocks, 7);
    }
}

#[tokio::test]
async fn blocks_are_for_executors_of_their_job_and_for_nobody_without_certificate() {
    let (worker, executor) = secured(JobId(2));
    let served = serve_secured(1, "there", worker).await;
    let address = served.server.address().to_string();
    for (reader, says) in [
        (executor, "an executor of job j2 may not read blocks of job j1"),
        (Credentials::off(), "cannot be had"),
        (secured(JobId(1)).1, "invalid peer certificate"),
    ] {
        let client = secured_client(reader);
        let failure = fetch(&client, address.clone(), &served.attempts, "here").await.unwrap_err();
        assert_eq!(failure.class, FailureClass::LostBlock);
        assert!(failure.message.contains(says), "{failure}");
    }
    // Nor does a reader that has a certificate read from who has none.
    let plain = serve(1, "there").await;
    let client = secured_client(secured(JobId(1)).1);
    let address = plain.server.address().to_string();
    fetch(&client, address, &plain.attempts, "here").await.unwrap_err();
}

#[tokio::test]
async fn a_cut_stream_goes_on_at_the_byte_reached() {
    let served = serve(7, "there").await;
    // Far less than the largest block: without going on inside of a block this would never end.
    let (address, connections) = proxy(served.server.address(), 300_000).await;
    let blocks = fetch(&client(), address, &served.attempts, "here").await.unwrap();
    assert_whole(&blocks, 7);
    let sum: usize = blocks.iter().flatten().map(Buffer::len).sum();
    let connections = connections.load(Ordering::SeqCst);
    assert!(connections > 3 && connections <= sum / 250_000 + 2, "{connections} for {sum}");
}

#[tokio::test]
async fn a_reader_on_the_same_host_reads_the_file() {
    let served = serve(3, "here").await;
    // So few bytes are let through that only names of files can be among them.
    let (address, connections) = proxy(served.server.address(), 2_000).await;
    let blocks = fetch(&client(), address, &served.attempts, "here").await.unwrap();
    assert_whole(&blocks, 3);
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn files_that_cannot_be_opened_are_streamed() {
    let served = serve(3, "here").await;
    let client = client();
    let address = served.server.address().to_string();
    // The server has them open, the reader has not.
    let blocks = fetch(&client, address.clone(), &served.attempts, "there").await.unwrap();
    assert_whole(&blocks, 3);
    for file in &served.files {
        std::fs::remove_file(file).unwrap();
    }
    assert_whole(&fetch(&client, address, &served.attempts, "here").await.unwrap(), 3);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn blocks_that_are_not_in_the_page_cache_are_read() {
    let served = serve(3, "there").await;
    for path in &served.files {
        let file = std::fs::File::open(path).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    }
    let address = served.server.address().to_string();
    assert_whole(&fetch(&client(), address, &served.attempts, "here").await.unwrap(), 3);
}

#[tokio::test]
async fn a_damaged_block_is_lost_and_named() {
    let served = serve(4, "here").await;
    let mut bytes = std::fs::read(&served.files[2]).unwrap();
    // Into the block of bucket 1, the largest.
    let at = block(2, 0).len() + 12_345;
    bytes[at] ^= 1;
    std::fs::write(&served.files[2], bytes).unwrap();
    for host in ["here", "elsewhere"] {
        let address = served.server.address().to_string();
        let failure = fetch(&client(), address, &served.attempts, host).await.unwrap_err();
        assert_eq!(failure.class, FailureClass::LostBlock);
        assert_eq!(failure.lost, [(attempt(2), WorkerId(9))], "{failure}");
    }
}

#[tokio::test]
async fn blocks_that_a_worker_has_not_are_lost_and_named() {
    let served = serve(2, "there").await;
    let address = served.server.address().to_string();
    let wanted: Vec<AttemptId> = (0..4).map(attempt).collect();
    let failure = fetch(&client(), address, &wanted, "here").await.unwrap_err();
    assert_eq!(failure.class, FailureClass::LostBlock);
    assert_eq!(failure.lost, [(attempt(2), WorkerId(9)), (attempt(3), WorkerId(9))]);
}

#[tokio::test]
async fn a_worker_that_cannot_be_reached_has_lost_all() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for address in [gone, silent.local_addr().unwrap()] {
        let begun = Instant::now();
        let wanted = [attempt(0), attempt(1)];
        let failure = fetch(&client(), address.to_string(), &wanted, "here").await.unwrap_err();
        assert_eq!(failure.class, FailureClass::LostBlock);
        assert_eq!(failure.lost.len(), 2);
        assert!(failure.message.contains(&address.to_string()), "{failure}");
        assert!(begun.elapsed() < Duration::from_secs(3));
    }
}

#[tokio::test]
async fn strangers_are_dropped_and_the_server_lives_on() {
    let served = serve(3, "there").await;
    let mut giant = preface().to_vec();
    giant.extend_from_slice(&u32::MAX.to_le_bytes());
    let mut half = preface().to_vec();
    half.extend_from_slice(&[100, 0, 0, 0, 1, 2, 3]);
    let mut nonsense = preface().to_vec();
    nonsense.extend_from_slice(&[5, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let strangers =
        [b"GET / HTTP/1.1\r\n\r\n".to_vec(), b"x".to_vec(), vec![], giant, half, nonsense];
    for words in strangers {
        let mut stream = TcpStream::connect(served.server.address()).await.unwrap();
        stream.write_all(&words).await.unwrap();
        let mut answer = Vec::new();
        let begun = Instant::now();
        // Whether it is closed or reset makes no difference.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(begun.elapsed() < Duration::from_secs(2), "{words:?}");
        assert!(answer.len() <= PREFACE_BYTES, "{words:?}");
    }
    let address = served.server.address().to_string();
    assert_whole(&fetch(&client(), address, &served.attempts, "here").await.unwrap(), 3);
}

#[tokio::test]
async fn connections_have_a_limit_and_become_free_again() {
    let served = serve(1, "there").await;
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(TcpStream::connect(served.server.address()).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut more = TcpStream::connect(served.server.address()).await.unwrap();
    let begun = Instant::now();
    let _ = more.read_to_end(&mut Vec::new()).await;
    assert!(begun.elapsed() < Duration::from_millis(100), "one too many is closed at once");
    tokio::time::sleep(Duration::from_millis(250)).await;
    let address = served.server.address().to_string();
    assert_whole(&fetch(&client(), address, &served.attempts, "here").await.unwrap(), 1);
}
