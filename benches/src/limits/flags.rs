//! The flags that all limit programs have.

use std::{path::PathBuf, process, thread};

/// What a limit program is asked to do.
#[derive(Clone, Debug)]
pub struct Flags {
    /// A file, or a folder of files.
    pub input: PathBuf,
    /// A folder that does not exist yet.
    pub output: PathBuf,
    /// How many threads work: as many as the machine has cores if not said.
    pub threads: usize,
    /// The memory for all threads together, in bytes, for programs that can do with little.
    pub memory: Option<u64>,
    /// A folder for what does not fit; that of the system for temporary files if not said.
    pub scratch: PathBuf,
}

impl Flags {
    /// The flags of this process. Ends it, with how it is to be used, if they are wrong.
    pub fn parse(usage: &str) -> Self {
        Self::parse_behind(0, usage)
    }

    /// As [`Flags::parse`], behind so many other words.
    pub fn parse_behind(words: usize, usage: &str) -> Self {
        Self::from_words(std::env::args().skip(1 + words)).unwrap_or_else(|error| {
            eprintln!("{error}\nusage: {usage}");
            process::exit(2);
        })
    }

    fn from_words(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut input, mut output) = (None, None);
        let mut threads = thread::available_parallelism().map_or(1, Into::into);
        let (mut memory, mut scratch) = (None, std::env::temp_dir());
        while let Some(flag) = words.next() {
            let value = words.next().ok_or_else(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--input" => input = Some(value.into()),
                "--output" => output = Some(value.into()),
                "--threads" => {
                    let number = value.parse().ok().filter(|number| (1..=1024).contains(number));
                    threads = number.ok_or_else(|| {
                        format!("--threads {value} is not a number from 1 to 1024")
                    })?;
                }
                "--memory" => {
                    let number = value.parse().ok().filter(|bytes| *bytes >= 1 << 20);
                    let wrong =
                        || format!("--memory {value} is not a number of bytes from 1 MiB on");
                    memory = Some(number.ok_or_else(wrong)?);
                }
                "--scratch" => scratch = value.into(),
                _ => return Err(format!("unknown flag {flag}")),
            }
        }
        let (input, output) =
            (input.ok_or("--input is missing")?, output.ok_or("--output is missing")?);
        Ok(Self { input, output, threads, memory, scratch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags() {
        let parse = |words: &str| Flags::from_words(words.split(' ').map(String::from));
        let flags = parse("--input a --output b --threads 3").unwrap();
        assert_eq!((flags.input, flags.output, flags.threads), ("a".into(), "b".into(), 3));
        let flags = parse("--input a --output b --memory 1048576 --scratch c").unwrap();
        assert_eq!((flags.memory, flags.scratch), (Some(1 << 20), "c".into()));
        assert!(parse("--input a --output b --memory 1GiB").is_err());
        assert!(parse("--input a").is_err());
        assert!(parse("--input a --output b --threads 0").is_err());
        assert!(parse("--input a --output b --no c").is_err());
        assert!(parse("--input").is_err());
    }
}
