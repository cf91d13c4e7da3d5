//! A fast S3 server over a folder, to read from, on one thread:
//! `s3_server --root FOLDER [--listen 127.0.0.1:9200] [--made BUCKET=OBJECTS]`.
//!
//! A bucket is a folder in it, or is made of so many small objects. `http://ADDRESS/_counts` says what was asked for; so does the program when it is ended
//! by Ctrl-C or SIGTERM. Files must not change while it runs.

use std::io;
use std::net::TcpListener;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use windrow_benches::s3_server::Server;

const USAGE: &str = "s3_server --root FOLDER [--listen 127.0.0.1:9200] [--made BUCKET=OBJECTS]";

fn main() -> ExitCode {
    let (mut root, mut address) = (None, "127.0.0.1:9200".to_string());
    let mut made = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        match (flag.as_str(), words.next()) {
            ("--root", Some(value)) => root = Some(value),
            ("--listen", Some(value)) => address = value,
            ("--made", Some(value)) => match bucket(&value) {
                Some(bucket) => made.push(bucket),
                None => root = None,
            },
            _ => root = None,
        }
    }
    let Some(root) = root else {
        eprintln!("usage: {USAGE}");
        return ExitCode::from(2);
    };
    match run(&root, made, &address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("s3_server: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `BUCKET=OBJECTS`.
fn bucket(text: &str) -> Option<(String, u64)> {
    let (bucket, objects) = text.split_once('=')?;
    Some((bucket.to_string(), objects.parse().ok()?))
}

fn run(root: &str, made: Vec<(String, u64)>, address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("http://{}", listener.local_addr()?);
    let server = Server::new(root, made);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            served = server.clone().serve(listener) => served?,
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
        println!("{}", server.counts.json());
        Ok(())
    })
}
