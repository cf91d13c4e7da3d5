//! The side of the data plane that needs blocks.

use super::dial::dial;
use super::link::{Answer, Link};
use super::receive::Connection;
use super::wire::{receive, send, within};
use crate::blocks::{BlockBytes, BlockError, BlockList, BlockRoom, OpenFiles};
use arrow::buffer::Buffer;
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use windrow_datasets::codec::Choice;
use windrow_datasets::spill::SpillError;
use windrow_protocol::data::{
    ANSWER_BYTES_MAX, BlockAnswer, BlockHead, BlockRequest, DataRequest, REQUEST_ATTEMPTS_MAX,
    REQUEST_BYTES_MAX,
};
use windrow_protocol::executor::BlockWorker;
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{AttemptId, JobId, ShuffleId};
use windrow_protocol::security::Credentials;

/// The most attempts that one failure names: more are found out by the next reader.
const LOST_MAX: usize = 1000;

/// Memory for a block is taken for so many bytes at first, and for twice as many whenever that have come.
const BLOCK_STEP: u64 = 64 << 20;

/// How long a client waits, and how often it tries.
#[derive(Clone, Debug)]
pub struct ClientLimits {
    /// For a connection, and the preface on it.
    pub connect: Duration,
    /// For the next bytes of an answer.
    pub stall: Duration,
    /// The waits before each further try; a try that brought something begins them anew.
    pub retries: Vec<Duration>,
    /// A connection that was not used for so long is not used again.
    pub idle: Duration,
    /// The most idle connections that are kept, for each worker.
    pub kept: usize,
}

impl Default for ClientLimits {
    fn default() -> ClientLimits {
        ClientLimits {
            connect: Duration::from_secs(3),
            stall: Duration::from_secs(15),
            retries: [50, 200, 800, 2000].map(Duration::from_millis).to_vec(),
            idle: Duration::from_secs(30),
            kept: 4,
        }
    }
}

/// Blocks that are wanted from one worker.
#[derive(Clone, Copy)]
pub struct Fetch<'a> {
    /// The worker.
    pub source: &'a BlockWorker,
    /// The job.
    pub job: JobId,
    /// The shuffle.
    pub shuffle: ShuffleId,
    /// The attempts that made them.
    pub attempts: &'a [AttemptId],
    /// The first and one past the last bucket.
    pub buckets: (u32, u32),
    /// The reader's host.
    pub host: &'a str,
    /// Where they go.
    pub room: &'a BlockRoom,
}

impl Fetch<'_> {
    fn buckets(&self) -> Range<u32> {
        self.buckets.0..self.buckets.1
    }

    fn failure(&self, attempts: &[AttemptId], cause: impl std::fmt::Display) -> Failure {
        let BlockWorker { worker, host, address } = self.source;
        let first = attempts.first().map(AttemptId::to_string).unwrap_or_default();
        let text = format!(
            "blocks of {} map attempts ({first} first) cannot be had from worker {worker} at {address} on {host}: {cause}",
            attempts.len()
        );
        let mut failure = Failure::new(FailureClass::LostBlock, text);
        failure.lost = attempts.iter().take(LOST_MAX).map(|&attempt| (attempt, *worker)).collect();
        failure
    }
}

/// Blocks fit neither memory nor scratch.
pub(crate) fn no_room(shuffle: ShuffleId, error: &SpillError) -> Failure {
    let text =
        format!("blocks of shuffle {} have no room in memory, nor in scratch: {error}", shuffle.0);
    Failure::new(FailureClass::Memory, text)
}

/// Fetches blocks; keeps connections to use them again. Shared by all attempts of an executor.
pub struct BlockClient {
    limits: ClientLimits,
    credentials: Credentials,
    idle: Mutex<HashMap<String, Vec<(Connection, Instant)>>>,
    files: Arc<OpenFiles>,
    link: Link,
}

/// Why one try did not bring all.
enum Stopped {
    /// Another try may.
    Try(io::Error),
    /// No other try can.
    Lost(Failure),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Stopped {
        Stopped::Try(error)
    }
}

enum Answered {
    Blocks,
    Files(Vec<PathBuf>),
}

impl BlockClient {
    /// A client without connections. It tells `choice` how long bytes take.
    pub fn new(limits: ClientLimits, choice: Choice, credentials: Credentials) -> BlockClient {
        let files = Arc::new(OpenFiles::new(128));
        BlockClient { limits, credentials, idle: Mutex::default(), files, link: Link::new(choice) }
    }

    /// A client without connections, for one that compresses nothing.
    pub fn untold(limits: ClientLimits, credentials: Credentials) -> BlockClient {
        BlockClient::new(limits, Choice::default(), credentials)
    }

    /// The blocks of some buckets, by bucket, in the order of the attempts; their checksums are verified.
    ///
    /// Cancel safe: nothing of a fetch that was dropped is used later.
    ///
    /// # Errors
    /// [`FailureClass::LostBlock`], if the worker cannot be reached, does not have the blocks, or they are damaged.
    pub async fn fetch(&self, fetch: Fetch<'_>) -> Result<Vec<Vec<Buffer>>, Failure> {
        let mut blocks: Vec<Vec<Buffer>> = fetch.buckets().map(|_| Vec::new()).collect();
        for attempts in fetch.attempts.chunks(REQUEST_ATTEMPTS_MAX) {
            let part = self.fetch_some(Fetch { attempts, ..fetch }).await?;
            let mut part = part.into_iter();
            for bucket in &mut blocks {
                bucket.extend(part.by_ref().take(attempts.len()));
            }
        }
        Ok(blocks)
    }

    /// The blocks of one request, in its order.
    async fn fetch_some(&self, fetch: Fetch<'_>) -> Result<Vec<Buffer>, Failure> {
        if fetch.buckets().is_empty() {
            return Ok(Vec::new());
        }
        let mut coming = Coming::new(&fetch);
        let mut host = fetch.host;
        let mut tries = 0;
        loop {
            let before = coming.position();
            match self.attempt(&fetch, host, &mut coming).await {
                Ok(Answered::Blocks) => {
                    let finished = coming.on_blocks(0, BlockList::finish).await?;
                    return finished.map_err(|error| no_room(fetch.shuffle, &error));
                }
                Ok(Answered::Files(files)) => match self.read_files(&fetch, files).await {
                    Ok(blocks) => return Ok(blocks),
                    Err(ReadError::Scratch(error)) => return Err(no_room(fetch.shuffle, &error)),
                    Err(ReadError::File(_, error)) => {
                        tracing::debug!(%error, "blocks on this host are streamed");
                        host = "";
                    }
                },
                Err(Stopped::Lost(failure)) => return Err(failure),
                Err(Stopped::Try(error)) => {
                    if coming.position() != before {
                        tries = 0;
                    }
                    let Some(&wait) = self.limits.retries.get(tries) else {
                        return Err(fetch.failure(fetch.attempts, error));
                    };
                    tries += 1;
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Reads the blocks out of files of this host.
    async fn read_files(
        &self,
        fetch: &Fetch<'_>,
        paths: Vec<PathBuf>,
    ) -> Result<Vec<Buffer>, ReadError> {
        let failed = |why: String| ReadError::File(0, why);
        if paths.len() != fetch.attempts.len() {
            let (files, attempts) = (paths.len(), fetch.attempts.len());
            return Err(failed(format!("{files} files for {attempts} attempts")));
        }
        let (files, buckets, room) = (self.files.clone(), fetch.buckets(), fetch.room.clone());
        let read =
            tokio::task::spawn_blocking(move || read_in_place(&files, &paths, buckets, room));
        read.await.map_err(|error| failed(error.to_string()))?
    }

    /// One try, over a kept connection or a new one.
    async fn attempt(
        &self,
        fetch: &Fetch<'_>,
        host: &str,
        coming: &mut Coming,
    ) -> Result<Answered, Stopped> {
        let address = &fetch.source.address;
        // A kept connection may have been closed by the other side: that is no try of its own.
        let kept = self.take(address);
        if let Some(mut connection) = kept {
            match self.ask(&mut connection, fetch, host, coming).await {
                Ok(answer) => return self.answered(connection, fetch, coming, answer).await,
                Err(error) => tracing::debug!(%error, address, "a kept connection was closed"),
            }
        }
        let mut connection = self.connect(address).await?;
        let answer = self.ask(&mut connection, fetch, host, coming).await?;
        self.answered(connection, fetch, coming, answer).await
    }

    fn take(&self, address: &str) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.get_mut(address)?;
        kept.retain(|(_, since)| since.elapsed() < self.limits.idle);
        kept.pop().map(|(connection, _)| connection)
    }

    fn keep(&self, address: &str, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.entry(address.to_string()).or_default();
        if kept.len() < self.limits.kept {
            kept.push((connection, Instant::now()));
        }
    }

    async fn connect(&self, address: &str) -> io::Result<Connection> {
        let stream = dial(address, &self.credentials, self.limits.connect).await?;
        Ok(Connection::new(stream))
    }

    async fn ask(
        &self,
        connection: &mut Connection,
        fetch: &Fetch<'_>,
        host: &str,
        coming: &Coming,
    ) -> io::Result<BlockAnswer> {
        let (blocks_seen, bytes_seen) = coming.position();
        let request = DataRequest::Blocks(BlockRequest {
            job: fetch.job,
            shuffle: fetch.shuffle,
            attempts: fetch.attempts.to_vec(),
            first_bucket: fetch.buckets.0,
            end_bucket: fetch.buckets.1,
            blocks_seen,
            bytes_seen,
            host: host.to_string(),
        });
        within(self.limits.stall, "an answer", async {
            send(connection, &request, REQUEST_BYTES_MAX).await?;
            receive(connection, ANSWER_BYTES_MAX).await
        })
        .await
    }

    async fn answered(
        &self,
        mut connection: Connection,
        fetch: &Fetch<'_>,
        coming: &mut Coming,
        answer: BlockAnswer,
    ) -> Result<Answered, Stopped> {
        let answered = match answer {
            BlockAnswer::Stream => {
                let mut answer = self.link.answer();
                while !coming.complete() {
                    self.receive_block(&mut connection, fetch, coming, &mut answer).await?;
                }
                Answered::Blocks
            }
            BlockAnswer::Files(files) => {
                Answered::Files(files.into_iter().map(PathBuf::from).collect())
            }
            BlockAnswer::Missing(attempts) => {
                let failure = fetch.failure(&attempts, "the worker does not have them");
                return Err(Stopped::Lost(failure));
            }
            BlockAnswer::Refused(reason) => {
                return Err(Stopped::Lost(fetch.failure(fetch.attempts, reason)));
            }
        };
        self.keep(&fetch.source.address, connection);
        Ok(answered)
    }

    /// Receives the next block, or the rest of it.
    async fn receive_block(
        &self,
        connection: &mut Connection,
        fetch: &Fetch<'_>,
        coming: &mut Coming,
        answer: &mut Answer<'_>,
    ) -> Result<(), Stopped> {
        let attempt = coming.attempt(fetch);
        let lost = |cause: &str| Stopped::Lost(fetch.failure(&[attempt], cause));
        let mut head = [0; BlockHead::BYTES];
        within(self.limits.stall, "a block", connection.read_exact(&mut head)).await?;
        let head = BlockHead::decode(head);
        if head == BlockHead::UNREADABLE {
            return Err(lost("the worker cannot read it"));
        }
        if coming.block.as_ref().is_some_and(|block| block.head != head) {
            return Err(lost("it has become another block"));
        }
        let block = coming.block.get_or_insert_with(|| Block::new(head));
        while block.len < head.len {
            let space = block.space();
            let read = within(self.limits.stall, "a block", connection.read(space)).await?;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            block.came(read);
            answer.came(read as u64);
        }
        let Some(block) = coming.block.take() else { return Ok(()) };
        if block.crc.finalize() == head.crc {
            let (bytes, len) = (block.bytes, head.len as usize);
            let pushed = coming.on_blocks(len, move |blocks| blocks.push(bytes, len)).await;
            let pushed = pushed.map_err(Stopped::Lost)?;
            return pushed.map_err(|error| Stopped::Lost(no_room(fetch.shuffle, &error)));
        }
        // Once more, in case it was the network.
        if coming.damaged.replace(coming.blocks.len()) == Some(coming.blocks.len()) {
            return Err(lost("its checksum is wrong"));
        }
        Err(Stopped::Try(io::Error::new(io::ErrorKind::InvalidData, "a block is damaged")))
    }
}

/// Why blocks cannot be read out of files.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The file of that number is at fault.
    File(usize, String),
    /// There is no room for what was read.
    Scratch(SpillError),
}

/// Reads blocks out of files, in the order of a request; blocks on the disk.
pub(crate) fn read_in_place(
    files: &OpenFiles,
    paths: &[PathBuf],
    buckets: Range<u32>,
    room: BlockRoom,
) -> Result<Vec<Buffer>, ReadError> {
    let mut list = BlockList::new(room);
    for (at, path) in paths.iter().enumerate() {
        add_blocks(&mut list, files, (at, path), buckets.clone())?;
    }
    let by_file = list.finish().map_err(ReadError::Scratch)?;
    let (files, buckets) = (paths.len(), buckets.len());
    let of_bucket = |bucket| (0..files).map(move |file| file * buckets + bucket);
    Ok((0..buckets).flat_map(of_bucket).map(|at| by_file[at].clone()).collect())
}

/// Reads blocks of one file, by their numbers; blocks on the disk.
pub(crate) fn read_blocks(
    files: &OpenFiles,
    path: &Path,
    numbers: impl Iterator<Item = u32>,
    room: BlockRoom,
) -> Result<Vec<Buffer>, ReadError> {
    let mut list = BlockList::new(room);
    add_blocks(&mut list, files, (0, path), numbers)?;
    list.finish().map_err(ReadError::Scratch)
}

/// Adds blocks of a file, by their numbers. The file has a number of its own, for errors.
fn add_blocks(
    list: &mut BlockList,
    files: &OpenFiles,
    (at, path): (usize, &Path),
    numbers: impl Iterator<Item = u32>,
) -> Result<(), ReadError> {
    let failed = |error: BlockError| ReadError::File(at, error.to_string());
    let file = files.open(path).map_err(failed)?;
    for number in numbers {
        let (bytes, len) = file.read(number).map_err(failed)?;
        list.push(bytes, len).map_err(ReadError::Scratch)?;
    }
    Ok(())
}

/// What has come of a request.
struct Coming {
    blocks: BlockList,
    wanted: usize,
    /// The block that has come in part.
    block: Option<Block>,
    /// The last block that had a wrong checksum.
    damaged: Option<usize>,
}

struct Block {
    head: BlockHead,
    /// Bytes that have come.
    len: u64,
    /// Memory for all of them, or for as many as are to be believed.
    bytes: BlockBytes,
    crc: crc32fast::Hasher,
}

impl Block {
    fn new(head: BlockHead) -> Block {
        let bytes = BlockBytes::new(head.len.min(BLOCK_STEP) as usize);
        Block { head, len: 0, bytes, crc: crc32fast::Hasher::new() }
    }

    /// Where the next bytes go; not empty unless all have come.
    fn space(&mut self) -> &mut [u8] {
        let len = self.len as usize;
        let room = self.bytes.as_mut().len();
        if len == room && self.len < self.head.len {
            let mut more = BlockBytes::new(self.head.len.min(2 * room as u64) as usize);
            more.as_mut()[..len].copy_from_slice(self.bytes.as_mut());
            self.bytes = more;
        }
        &mut self.bytes.as_mut()[len..]
    }

    fn came(&mut self, bytes: usize) {
        let from = self.len as usize;
        self.crc.update(&self.bytes.as_mut()[from..from + bytes]);
        self.len += bytes as u64;
    }
}

impl Coming {
    fn new(fetch: &Fetch<'_>) -> Coming {
        let wanted = fetch.attempts.len() * fetch.buckets().len();
        let blocks = BlockList::new(fetch.room.clone());
        Coming { blocks, wanted, block: None, damaged: None }
    }

    /// Does something with the blocks for the sake of so many bytes; not on this thread, if it may wait for the disk.
    ///
    /// Not cancel safe: the blocks are gone then.
    async fn on_blocks<T: Send + 'static>(
        &mut self,
        len: usize,
        change: impl FnOnce(&mut BlockList) -> T + Send + 'static,
    ) -> Result<T, Failure> {
        if !self.blocks.may_wait(len) {
            return Ok(change(&mut self.blocks));
        }
        let none = BlockList::new(BlockRoom::unlimited());
        let mut blocks = std::mem::replace(&mut self.blocks, none);
        let changed = tokio::task::spawn_blocking(move || (change(&mut blocks), blocks)).await;
        let (changed, blocks) =
            changed.map_err(|error| Failure::new(FailureClass::Internal, error.to_string()))?;
        self.blocks = blocks;
        Ok(changed)
    }

    fn complete(&self) -> bool {
        self.blocks.len() == self.wanted
    }

    /// Blocks that have come, and bytes of the one after them.
    fn position(&self) -> (u64, u64) {
        (self.blocks.len() as u64, self.block.as_ref().map_or(0, |block| block.len))
    }

    fn attempt(&self, fetch: &Fetch<'_>) -> AttemptId {
        fetch.attempts[self.blocks.len() % fetch.attempts.len()]
    }
}
