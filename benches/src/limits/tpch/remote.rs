//! Query 6 from an object store at the limit of the machine, by the `object_store` and `parquet` crates alone.
//!
//! So many fetches at a time bring the chunks of row groups; threads decode them as they come.

use super::chunks::{Chunks, Footer};
use super::q6;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use tokio::sync::mpsc;

/// The bytes at the end of a file that are asked for first.
const FOOTER_BYTES: u64 = 64 << 10;

/// What a scan gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The answer, in ten thousandths.
    pub revenue: i128,
    /// Row groups that were read.
    pub groups: usize,
    /// Bytes of column chunks that were fetched.
    pub bytes: u64,
}

/// A row group that was fetched.
struct Fetched {
    footer: Arc<Footer>,
    group: usize,
    chunks: Chunks,
}

/// The store of `s3://bucket/folder`, by the environment's `AWS_...`, and the folder in it.
///
/// # Errors
/// What is wrong with them.
pub fn s3(location: &str) -> io::Result<(Arc<dyn ObjectStore>, Path)> {
    let folder = location.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
    let (bucket, folder) =
        folder.ok_or_else(|| io::Error::other(format!("{location} is not s3://bucket/folder")))?;
    // Only fails if one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build();
    let folder = Path::parse(folder.trim_end_matches('/')).map_err(io::Error::other)?;
    Ok((Arc::new(store.map_err(io::Error::other)?), folder))
}

/// Does query 6 on the Parquet files of `lineitem` in a folder of a store: so many fetches at a time, so many threads
/// that decode.
///
/// # Errors
/// What the store says, and files that are no `lineitem`.
pub fn run(
    store: Arc<dyn ObjectStore>,
    folder: &Path,
    concurrency: usize,
    threads: usize,
) -> io::Result<Scan> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let (send, receive) = mpsc::channel::<Fetched>(2 * threads);
    let receive = Mutex::new(receive);
    let decode = || -> io::Result<i128> {
        let mut revenue = 0;
        loop {
            let next = receive.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
            let Some(Fetched { footer, group, chunks }) = next else { return Ok(revenue) };
            for batch in footer.decode(group, chunks).map_err(io::Error::other)? {
                q6::add(&mut revenue, &batch.map_err(io::Error::other)?);
            }
        }
    };
    thread::scope(|scope| {
        let decoders: Vec<_> = (0..threads).map(|_| scope.spawn(decode)).collect();
        let (groups, bytes) = runtime.block_on(fetch(store, folder, concurrency, send))?;
        let mut revenue = 0;
        for decoder in decoders {
            revenue += decoder.join().expect("a thread that does not panic")?;
        }
        Ok(Scan { revenue, groups, bytes })
    })
}

/// Fetches all row groups, in any order; gives their number and bytes.
async fn fetch(
    store: Arc<dyn ObjectStore>,
    folder: &Path,
    concurrency: usize,
    send: mpsc::Sender<Fetched>,
) -> io::Result<(usize, u64)> {
    let objects: Vec<ObjectMeta> = store
        .list(Some(folder))
        .try_filter(|object| {
            let wanted = object.location.as_ref().ends_with(".parquet");
            async move { wanted }
        })
        .try_collect()
        .await
        .map_err(io::Error::other)?;
    let store = &store;
    let groups = futures::stream::iter(objects)
        .map(|object| async move {
            let footer = Arc::new(footer(&**store, &object).await?);
            let of_file = (0..footer.groups())
                .map(move |group| (object.location.clone(), footer.clone(), group));
            io::Result::Ok(futures::stream::iter(of_file.map(io::Result::Ok)))
        })
        .buffered(concurrency)
        .try_flatten();
    let mut fetched = groups
        .map_ok(|(path, footer, group)| async move {
            let ranges = footer.ranges(group);
            let bytes = store.get_ranges(&path, &ranges).await.map_err(io::Error::other)?;
            let size: usize = bytes.iter().map(Bytes::len).sum();
            io::Result::Ok((size, Fetched { footer, group, chunks: Chunks::new(&ranges, bytes) }))
        })
        .try_buffer_unordered(concurrency);
    let (mut groups, mut bytes) = (0, 0);
    while let Some((size, fetched)) = fetched.try_next().await? {
        groups += 1;
        bytes += size as u64;
        // Decoders only end early when they failed, which they tell themselves.
        if send.send(fetched).await.is_err() {
            break;
        }
    }
    Ok((groups, bytes))
}

async fn footer(store: &dyn ObjectStore, object: &ObjectMeta) -> io::Result<Footer> {
    let size = object.size;
    let mut wanted = FOOTER_BYTES.min(size);
    loop {
        let tail = store.get_range(&object.location, size - wanted..size).await;
        let tail = tail.map_err(io::Error::other)?;
        let mut reader = ParquetMetaDataReader::new();
        match reader.try_parse_sized(&tail, size) {
            Ok(()) => {
                let metadata = reader.finish().map_err(io::Error::other)?;
                return Footer::new(metadata, q6::COLUMNS).map_err(io::Error::other);
            }
            Err(ParquetError::NeedMoreData(more))
                if (more as u64) > wanted && more as u64 <= size =>
            {
                wanted = more as u64;
            }
            Err(error) => return Err(io::Error::other(format!("{}: {error}", object.location))),
        }
    }
}
