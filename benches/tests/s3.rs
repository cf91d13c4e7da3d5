//! The S3 server, asked by a client that knows nothing of it, and the scan from it.

use arrow::array::RecordBatch;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::runtime::Runtime;
use windrow_benches::limits::tpch::{Work, remote, run};
use windrow_benches::s3_server::Server;
use windrow_datasets::generate::tpch::{LineItem, TpchTable};

/// A server over a folder, and a client of its bucket `b`.
fn serve(root: &std::path::Path) -> (Runtime, Arc<Server>, AmazonS3) {
    let runtime = Runtime::new().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(root, []);
    runtime.spawn(server.clone().serve(listener));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = AmazonS3Builder::new()
        .with_bucket_name("b")
        .with_endpoint(format!("http://{address}"))
        .with_allow_http(true)
        .with_access_key_id("any")
        .with_secret_access_key("any")
        .build()
        .unwrap();
    (runtime, server, client)
}

#[test]
fn objects_and_lists() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("b/year=2024");
    fs::create_dir_all(&folder).unwrap();
    for number in 0..2_500 {
        fs::write(folder.join(format!("a & b {number:04}")), number.to_string()).unwrap();
    }
    fs::write(root.path().join("b/data"), (0..=255).collect::<Vec<u8>>()).unwrap();
    fs::write(root.path().join("b/zero"), "").unwrap();
    let (runtime, server, client) = serve(root.path());
    runtime.block_on(async {
        let all: Vec<_> = client.list(None).try_collect().await.unwrap();
        assert_eq!(all.len(), 2_502);
        assert_eq!(server.counts.list.load(Ordering::Relaxed), 3);
        let prefix = Path::from("year=2024");
        let some: Vec<_> = client.list(Some(&prefix)).try_collect().await.unwrap();
        assert_eq!(some.len(), 2_500);
        assert!(some.windows(2).all(|two| two[0].location < two[1].location));
        let top = client.list_with_delimiter(None).await.unwrap();
        assert_eq!((top.objects.len(), top.common_prefixes), (2, vec![prefix]));

        let found = client.get(&some[77].location).await.unwrap();
        assert_eq!(found.meta.e_tag, some[77].e_tag);
        assert_eq!(found.bytes().await.unwrap(), "77");
        let data = Path::from("data");
        assert_eq!(client.head(&data).await.unwrap().size, 256);
        let ranges = client.get_ranges(&data, &[3..5, 250..256]).await.unwrap();
        assert_eq!(
            (&ranges[0][..], &ranges[1][..]),
            (&[3, 4][..], &[250, 251, 252, 253, 254, 255][..])
        );
        let suffix = GetOptions { range: Some(GetRange::Suffix(2)), ..GetOptions::default() };
        assert_eq!(
            client.get_opts(&data, suffix).await.unwrap().bytes().await.unwrap()[..],
            [254, 255]
        );
        assert!(client.get(&Path::from("zero")).await.unwrap().bytes().await.unwrap().is_empty());
        let other = GetOptions { if_match: Some("\"other\"".into()), ..GetOptions::default() };
        assert!(matches!(client.get_opts(&data, other).await, Err(Error::Precondition { .. })));
        assert!(matches!(client.head(&Path::from("none")).await, Err(Error::NotFound { .. })));
    });
    assert!(server.counts.json().contains(r#""head":2,"#), "{}", server.counts.json());
}

#[test]
fn the_scan_gives_what_local_files_give() {
    let root = tempfile::tempdir().unwrap();
    let table = root.path().join("b/lineitem");
    fs::create_dir_all(&table).unwrap();
    let mut groups = 0;
    for part in 1..=3 {
        let rows: Vec<RecordBatch> =
            LineItem::rows(0.003, part, 3, 2000).collect::<Result<_, _>>().unwrap();
        let file = fs::File::create(table.join(format!("part-{part}.parquet"))).unwrap();
        let mut writer = ArrowWriter::try_new(file, rows[0].schema(), None).unwrap();
        groups += rows.len();
        for rows in rows {
            writer.write(&rows).unwrap();
            writer.flush().unwrap();
        }
        writer.close().unwrap();
    }
    fs::write(table.join("_SUCCESS"), "{}").unwrap();
    let (_runtime, server, client) = serve(root.path());
    let scan = remote::run(Arc::new(client), &Path::from("lineitem"), 3, 2).unwrap();
    assert_eq!(scan.groups, groups);
    assert!(server.counts.bytes.load(Ordering::Relaxed) >= scan.bytes);
    let output = root.path().join("out");
    run(Work::Q6, &root.path().join("b"), &output, 2).unwrap();
    let file = fs::File::open(output.join("part-00000.parquet")).unwrap();
    let answer = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().next();
    let text = arrow::util::display::array_value_to_string(answer.unwrap().unwrap().column(0), 0);
    assert_eq!(text.unwrap(), format!("{}.{:04}", scan.revenue / 10_000, scan.revenue % 10_000));
}
