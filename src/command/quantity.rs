//! Sizes and counts, as people write and read them.

/// A size for people.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KB", "MB", "GB", "TB", "PB"];
    let mut size = bytes as f64;
    let mut unit = "bytes";
    for next in UNITS {
        if size < 1000.0 {
            break;
        }
        (size, unit) = (size / 1000.0, next);
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{size:.1} {unit}") }
}

/// A number of bytes with or without a unit.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    times(text, &UNITS)
        .ok_or_else(|| format!("`{text}` is no size; write it as in 4GiB, 500MB or 1000"))
}

/// A number of records or tasks, in thousands, millions or billions if it says so.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 3] = [("K", 1_000), ("M", 1_000_000), ("G", 1_000_000_000)];
    times(text, &UNITS)
        .ok_or_else(|| format!("`{text}` is no number; write it as in 20M, 500K or 1000"))
}

fn times(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, times) = units
        .iter()
        .find_map(|(unit, times)| Some((text.strip_suffix(unit)?, *times)))
        .unwrap_or((text, 1));
    digits.trim().parse::<u64>().ok()?.checked_mul(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_counts_are_read() {
        assert_eq!(bytes("4GiB"), Ok(4 << 30));
        assert_eq!(bytes("12 KB"), Ok(12_000));
        assert_eq!(bytes("7B"), Ok(7));
        assert_eq!(bytes("7"), Ok(7));
        assert_eq!(count("20M"), Ok(20_000_000));
        assert_eq!(count("3"), Ok(3));
        for wrong in ["", "M", "-1", "1.5M", "1MB", "99999999999999999999", "99999999999G"] {
            assert!(count(wrong).unwrap_err().contains("20M"), "{wrong}");
        }
        for wrong in ["", "GB", "-1", "1.5GB", "1G", "99999999999TB"] {
            assert!(bytes(wrong).unwrap_err().contains("4GiB"), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_told() {
        assert_eq!(human(999), "999 bytes");
        assert_eq!(human(1_550_000), "1.6 MB");
        assert_eq!(human(2_000_000_000), "2.0 GB");
    }
}
