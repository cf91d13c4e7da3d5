//! Query 6 from an S3 server at the limit of the machine:
//! `limit_s3_scan --input s3://BUCKET/FOLDER [--concurrency 8] [--threads N]`, with `AWS_ENDPOINT` and the like set.

use std::process::ExitCode;
use std::time::Instant;
use windrow_benches::limits::tpch::remote;

const USAGE: &str = "limit_s3_scan --input s3://BUCKET/FOLDER [--concurrency 8] [--threads N]";

fn main() -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    let (mut input, mut concurrency, mut threads) = (None, 8, cores);
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().unwrap_or_default();
        let number = || value.parse().ok().filter(|number| (1..=1024).contains(number));
        match (flag.as_str(), number()) {
            ("--input", _) => input = Some(value),
            ("--concurrency", Some(number)) => concurrency = number,
            ("--threads", Some(number)) => threads = number,
            _ => input = None,
        }
    }
    let Some(input) = input else {
        eprintln!("usage: {USAGE}");
        return ExitCode::from(2);
    };
    let start = Instant::now();
    let scan = remote::s3(&input)
        .and_then(|(store, folder)| remote::run(store, &folder, concurrency, threads));
    match scan {
        Ok(scan) => {
            let remote::Scan { revenue, groups, bytes } = scan;
            let (whole, fraction) = (revenue / 10_000, revenue % 10_000);
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "revenue {whole}.{fraction:04}, {groups} row groups, {bytes} bytes, {seconds:.3} s"
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("limit_s3_scan: {error}");
            ExitCode::FAILURE
        }
    }
}
