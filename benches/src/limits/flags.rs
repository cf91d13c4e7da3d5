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
                _ => return Err(format!("unknown flag {flag}")),
            }
        }
        let (input, output) =
            (input.ok_or("--input is missing")?, output.ok_or("--output is missing")?);
        Ok(Self { input, output, threads })
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
        assert!(parse("--input a").is_err());
        assert!(parse("--input a --output b --threads 0").is_err());
        assert!(parse("--input a --output b --no c").is_err());
        assert!(parse("--input").is_err());
    }
}
