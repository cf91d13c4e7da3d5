//! A fast S3 server over a folder, to read from, on one thread: `s3_server --root FOLDER [--listen 127.0.0.1:9200]`.
//!
//! A bucket is a folder in it. `http://ADDRESS/_counts` says what was asked for; so does the program when it is ended
//! by Ctrl-C or SIGTERM. Files must not change while it runs.

use std::io;
use std::net::TcpListener;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use windrow_benches::s3_server::Server;

const USAGE: &str = "s3_server --root FOLDER [--listen 127.0.0.1:9200]";

fn main() -> ExitCode {
    let (mut root, mut address) = (None, "127.0.0.1:9200".to_string());
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        match (flag.as_str(), words.next()) {
            ("--root", Some(value)) => root = Some(value),
            ("--listen", Some(value)) => address = value,
            _ => root = None,
        }
    }
    let Some(root) = root else {
        eprintln!("usage: {USAGE}");
        return ExitCode::from(2);
    };
    match run(&root, &address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("s3_server: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(root: &str, address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("http://{}", listener.local_addr()?);
    let server = Server::new(root);
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
