//! The ready binary, with the library of jobs.

fn main() -> std::process::ExitCode {
    windrow::main(windrow::library())
}
