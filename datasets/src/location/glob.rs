//! Patterns: `*`, `?`, `**` and `{a,b}` in locations.
//!
//! `*` is any run of bytes within a component of a path, `?` is one character; a component `**` is any number of
//! components, also none, but for the last of a pattern, which names what is below; `{a,b}` is either alternative, and may hold slashes, patterns and braces. All else is
//! literal. As in a shell, a component that begins with `*`, `?` or `**` does not match names that begin with `.`
//! or `_` (hidden files, and what engines put beside their data), but for Hive partitions as `_key=value`.

/// The patterns without braces that `pattern` stands for. A brace that is never closed is literal.
pub fn expand_braces(pattern: &[u8]) -> Vec<Vec<u8>> {
    let Some((open, close, commas)) = first_braces(pattern) else {
        return vec![pattern.to_vec()];
    };
    let mut all = Vec::new();
    let mut from = open + 1;
    for to in commas.into_iter().chain([close]) {
        let mut one = pattern[..open].to_vec();
        one.extend_from_slice(&pattern[from..to]);
        one.extend_from_slice(&pattern[close + 1..]);
        all.extend(expand_braces(&one));
        from = to + 1;
    }
    all
}

/// The first pair of braces that has its end: where it opens, where it closes, and its own commas.
fn first_braces(pattern: &[u8]) -> Option<(usize, usize, Vec<usize>)> {
    for open in memchr::memchr_iter(b'{', pattern) {
        let mut depth = 0usize;
        let mut commas = Vec::new();
        for (at, byte) in pattern.iter().enumerate().skip(open) {
            match byte {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                b',' if depth == 1 => commas.push(at),
                _ => {}
            }
            if depth == 0 {
                return Some((open, at, commas));
            }
        }
    }
    None
}

/// Whether a component of a pattern has something to match, rather than a name.
pub fn is_wild(component: &[u8]) -> bool {
    component.iter().any(|b| matches!(b, b'*' | b'?'))
}

/// Whether a name is skipped where nobody asked for it by its beginning. `_key=value` is not, as in Spark: it is a Hive
/// partition by a field whose name begins so.
pub fn is_hidden(name: &[u8]) -> bool {
    match name.first() {
        Some(b'.') => true,
        Some(b'_') => !name.contains(&b'='),
        _ => false,
    }
}

/// Whether `name`, one component of a path, matches a component of a pattern (other than `**`).
pub fn matches_component(pattern: &[u8], name: &[u8]) -> bool {
    if is_hidden(name) && matches!(pattern.first(), Some(b'*' | b'?')) {
        return false;
    }
    // The classic way with one point to go back to: the last `*`, and how much it has eaten.
    let (mut p, mut n) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => {
                p += 1;
                n += char_len(&name[n..]);
                continue;
            }
            Some(&byte) if byte == name[n] => {
                p += 1;
                n += 1;
                continue;
            }
            _ => {}
        }
        let Some((star, eaten)) = back else { return false };
        p = star + 1;
        n = eaten + 1;
        back = Some((star, eaten + 1));
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// The bytes of the character at the beginning of `bytes`; 1 where it is no UTF-8.
fn char_len(bytes: &[u8]) -> usize {
    let len = match bytes[0] {
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf7 => 4,
        _ => 1,
    };
    match bytes.get(..len) {
        Some(char) if std::str::from_utf8(char).is_ok() => len,
        _ => 1,
    }
}

/// Whether the components of a path match those of a pattern without braces. A path that goes on below what the
/// pattern names matches too: the pattern then named a folder. Hidden components below it do not match.
pub fn matches_path(pattern: &[&[u8]], path: &[&[u8]]) -> bool {
    match (pattern.first(), path.first()) {
        (None, _) => path.iter().all(|name| !is_hidden(name)),
        (Some(_), None) => false,
        (Some(&b"**"), Some(name)) => {
            matches_path(&pattern[1..], path)
                || (!is_hidden(name) && matches_path(pattern, &path[1..]))
        }
        (Some(component), Some(name)) => {
            matches_component(component, name) && matches_path(&pattern[1..], &path[1..])
        }
    }
}

/// The components of a path; empty ones left out.
pub fn components(path: &[u8]) -> Vec<&[u8]> {
    path.split(|&b| b == b'/').filter(|c| !c.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn expanded(pattern: &str) -> Vec<String> {
        expand_braces(pattern.as_bytes())
            .into_iter()
            .map(|p| String::from_utf8(p).unwrap())
            .collect()
    }

    #[test]
    fn braces() {
        assert_eq!(expanded("a{b,c/d}e"), ["abe", "ac/de"]);
        assert_eq!(expanded("{a,b{1,2}}-{x,}"), ["a-x", "a-", "b1-x", "b1-", "b2-x", "b2-"]);
        assert_eq!(expanded("a{b"), ["a{b"]);
        assert_eq!(expanded("}{a}"), ["}a"]);
        assert_eq!(expanded("{{a,b}"), ["{a", "{b"]);
    }

    fn path_matches(pattern: &str, path: &str) -> bool {
        matches_path(&components(pattern.as_bytes()), &components(path.as_bytes()))
    }

    #[test]
    fn paths() {
        assert!(path_matches("a/*.txt", "a/b.txt"));
        assert!(!path_matches("a/*.txt", "a/b/c.txt"));
        assert!(path_matches("a/**/c.txt", "a/c.txt"));
        assert!(path_matches("a/**/c.txt", "a/b/x/c.txt"));
        assert!(path_matches("a/**", "a/b/c"));
        assert!(path_matches("a/**/**", "a/b"));
        assert!(!path_matches("a/**", "a"), "below it");
        assert!(path_matches("a/b", "a/b/c/d"), "a folder");
        assert!(!path_matches("a/b", "a/b/_tmp/d"));
        assert!(!path_matches("a/*", "a/_SUCCESS"));
        assert!(!path_matches("a/**/x", "a/.git/x"));
        assert!(path_matches("a/.g*/x", "a/.git/x"));
        assert!(path_matches("a", "a/_1=x/f"), "a Hive partition");
        assert!(!path_matches("a", "a/.k=x/f"));
        assert!(path_matches("a/?", "a/ä"));
        assert!(path_matches("**/*.rs", "x/y.rs"));
    }

    /// The textbook definition.
    fn slow(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.first(), name.first()) {
            (None, None) => true,
            (Some(b'*'), _) => {
                slow(&pattern[1..], name) || (!name.is_empty() && slow(pattern, &name[1..]))
            }
            (Some(b'?'), Some(_)) => slow(&pattern[1..], &name[1..]),
            (Some(a), Some(b)) if a == b => slow(&pattern[1..], &name[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn components_match_as_the_textbook_says(pattern in "[ab*?]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(
                matches_component(pattern.as_bytes(), name.as_bytes()),
                slow(pattern.as_bytes(), name.as_bytes())
            );
        }
    }
}
