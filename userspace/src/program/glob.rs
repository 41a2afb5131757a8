//! Shell patterns over short strings: `*`, `?`, `[abc]`, `[a-z]`, `[!x]`, and `\` before a literal.
//! A pattern in, the tables of a bit-parallel automaton out; one step a byte, in the kernel as here.
use std::fmt;

/// Most single-byte items of a pattern: one state bit for each and one for the start, in 64 bits.
pub const MAX_ITEMS: usize = 63;

/// Bytes that `\` makes literal; everywhere else they may mean something.
const SPECIAL: &[u8] = br"*?[]\-!^";

/// A compiled pattern. Two texts of the same pattern (`a**`, `a*`) are equal. `?` and sets match one byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Glob {
    /// The bytes that each item accepts, a bit set.
    items: Vec<ByteSet>,
    /// Bit i: a `*` stands before item i (after the last one for i = number of items).
    star: u64,
}

pub(crate) type ByteSet = [u64; 4];

const ANY: ByteSet = [u64::MAX; 4];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GlobError {
    UnclosedBracket,
    ReversedRange(u8, u8),
    /// Sets hold bytes: a character of several bytes cannot be one.
    NotAscii,
    TrailingBackslash,
    Nul,
    TooLong,
}

impl fmt::Display for GlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GlobError::UnclosedBracket => write!(f, "pattern: `[` without `]`"),
            GlobError::ReversedRange(low, high) => {
                write!(f, "pattern: range `{}-{}` is empty", low.escape_ascii(), high.escape_ascii())
            }
            GlobError::NotAscii => write!(f, "pattern: only ASCII characters can stand in `[...]`"),
            GlobError::TrailingBackslash => write!(f, "pattern: `\\` at the end"),
            GlobError::Nul => write!(f, "pattern: no name holds a NUL byte"),
            GlobError::TooLong => write!(f, "pattern: longer than {MAX_ITEMS} characters"),
        }
    }
}

impl std::error::Error for GlobError {}

impl Glob {
    /// Errors: a malformed set or range, more than [`MAX_ITEMS`] single-byte items.
    pub fn parse(pattern: &[u8]) -> Result<Glob, GlobError> {
        let mut glob = Glob { items: Vec::new(), star: 0 };
        let mut rest = pattern;
        while let Some((&c, tail)) = rest.split_first() {
            rest = tail;
            match c {
                b'*' => glob.star |= 1 << glob.items.len(),
                b'?' => glob.push(ANY)?,
                b'[' => glob.push(take_set(&mut rest)?)?,
                b'\\' => glob.push(single(take_escaped(&mut rest)?)?)?,
                c => glob.push(single(c)?)?,
            }
        }
        Ok(glob)
    }

    /// The pattern that only `text` matches.
    pub fn literal(text: &[u8]) -> Result<Glob, GlobError> {
        Glob::parse(&escape(text))
    }

    fn push(&mut self, set: ByteSet) -> Result<(), GlobError> {
        if self.items.len() == MAX_ITEMS {
            return Err(GlobError::TooLong);
        }
        self.items.push(set);
        Ok(())
    }

    /// For each byte, the items that accept it: bit i is item i.
    pub fn class_table(&self) -> [u64; 256] {
        std::array::from_fn(|c| {
            let accepts = |set: &ByteSet| contains(set, c as u8);
            self.items.iter().enumerate().fold(0, |mask, (i, set)| mask | u64::from(accepts(set)) << i)
        })
    }

    /// States that stay when a byte comes: a `*` stands there.
    pub fn star_mask(&self) -> u64 {
        self.star
    }

    /// The state bit that is set at the end of a text that matches.
    pub fn accept_bit(&self) -> u32 {
        self.items.len() as u32
    }

    /// Length in bytes of the shortest text that matches.
    pub fn min_len(&self) -> usize {
        self.items.len()
    }

    /// State bit i says: items `0..i` have matched what was read. It starts as 1.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.matcher()(text)
    }

    /// For many texts: the tables are made once.
    pub fn matcher(&self) -> impl Fn(&[u8]) -> bool + use<> {
        let (class, star, accept) = (self.class_table(), self.star, self.accept_bit());
        move |text| {
            let end = text.iter().fold(1, |s, &c| ((s & class[usize::from(c)]) << 1) | (s & star));
            end >> accept & 1 == 1
        }
    }

    /// The only text that matches, where there is only one.
    pub fn is_literal(&self) -> Option<Vec<u8>> {
        if self.star != 0 {
            return None;
        }
        self.items.iter().map(only_byte).collect()
    }

    /// What all texts that match begin with, where that is all there is to it; None where they begin with nothing.
    pub fn is_prefix(&self) -> Option<Vec<u8>> {
        if self.items.is_empty() || self.star != 1 << self.items.len() {
            return None;
        }
        self.items.iter().map(only_byte).collect()
    }

    /// A text of the pattern: parses to an equal one.
    pub fn pattern(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (i, set) in self.items.iter().enumerate() {
            self.push_star(i, &mut out);
            push_item(set, &mut out);
        }
        self.push_star(self.items.len(), &mut out);
        out
    }

    fn push_star(&self, position: usize, out: &mut Vec<u8>) {
        if self.star >> position & 1 == 1 {
            out.push(b'*');
        }
    }
}

/// The pattern text that stands for `text` itself.
pub fn escape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &c in text {
        push_escaped(c, &mut out);
    }
    out
}

/// Whether `\` before this byte makes it literal.
pub fn is_special(c: u8) -> bool {
    SPECIAL.contains(&c)
}

/// Splits at each `separator` that is neither escaped nor in a set.
pub fn split(pattern: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut parts, mut start, mut at, mut in_set) = (Vec::new(), 0, 0, false);
    while at < pattern.len() {
        match pattern[at] {
            b'\\' => at += 1,
            b'[' => in_set = true,
            b']' => in_set = false,
            c if c == separator && !in_set => {
                parts.push(&pattern[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(&pattern[start..]);
    parts
}

pub(crate) fn contains(set: &ByteSet, c: u8) -> bool {
    set[usize::from(c >> 6)] >> (c & 63) & 1 == 1
}

fn insert(set: &mut ByteSet, c: u8) {
    set[usize::from(c >> 6)] |= 1 << (c & 63);
}

fn single(c: u8) -> Result<ByteSet, GlobError> {
    if c == 0 {
        return Err(GlobError::Nul);
    }
    let mut set = ByteSet::default();
    insert(&mut set, c);
    Ok(set)
}

fn only_byte(set: &ByteSet) -> Option<u8> {
    let mut bytes = (0..=255).filter(|&c| contains(set, c));
    bytes.next().filter(|_| bytes.next().is_none())
}

fn take_escaped(rest: &mut &[u8]) -> Result<u8, GlobError> {
    let (&c, tail) = rest.split_first().ok_or(GlobError::TrailingBackslash)?;
    *rest = tail;
    Ok(c)
}

/// One byte of a set, behind `[`; `None` at the `]`.
fn take_member(rest: &mut &[u8], first: bool) -> Result<Option<u8>, GlobError> {
    let (&c, tail) = rest.split_first().ok_or(GlobError::UnclosedBracket)?;
    *rest = tail;
    let c = match c {
        b']' if !first => return Ok(None),
        b'\\' => take_escaped(rest).map_err(|_| GlobError::UnclosedBracket)?,
        c => c,
    };
    match c {
        0 => Err(GlobError::Nul),
        0x80.. => Err(GlobError::NotAscii),
        c => Ok(Some(c)),
    }
}

/// The set whose `[` was read. As in the shell, a `]` that comes first is a member.
pub(crate) fn take_set(rest: &mut &[u8]) -> Result<ByteSet, GlobError> {
    let negated = matches!(rest.first(), Some(b'!' | b'^'));
    if negated {
        *rest = &rest[1..];
    }
    let (mut set, mut first) = (ByteSet::default(), true);
    while let Some(low) = take_member(rest, first)? {
        first = false;
        let mut high = low;
        if rest.first() == Some(&b'-') && rest.get(1).is_some_and(|&c| c != b']') {
            *rest = &rest[1..];
            high = take_member(rest, false)?.ok_or(GlobError::UnclosedBracket)?;
        }
        if high < low {
            return Err(GlobError::ReversedRange(low, high));
        }
        (low..=high).for_each(|c| insert(&mut set, c));
    }
    Ok(if negated { set.map(|word| !word) } else { set })
}

fn push_escaped(c: u8, out: &mut Vec<u8>) {
    if is_special(c) {
        out.push(b'\\');
    }
    out.push(c);
}

fn push_item(set: &ByteSet, out: &mut Vec<u8>) {
    if *set == ANY {
        return out.push(b'?');
    }
    if let Some(c) = only_byte(set) {
        return push_escaped(c, out);
    }
    // No text can put NUL in a set, so a set that holds it was negated.
    let negated = contains(set, 0);
    out.extend_from_slice(if negated { b"[!" } else { b"[" });
    let listed: Vec<u8> = (0..=255).filter(|&c| contains(set, c) != negated).collect();
    for run in listed.chunk_by(|a, b| b - a == 1) {
        push_escaped(run[0], out);
        if run.len() > 2 {
            out.push(b'-');
        }
        if run.len() > 1 {
            push_escaped(run[run.len() - 1], out);
        }
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Glob::parse(pattern.as_bytes()).unwrap().matches(text.as_bytes())
    }

    #[test]
    fn patterns_mean_what_they_mean_in_the_shell() {
        let yes = [
            ("*", ""),
            ("", ""),
            ("a*", "a"),
            ("*at*", "openat2"),
            ("?", "x"),
            ("[a-c]x", "bx"),
            ("[!a]", "b"),
            ("[^a]", "b"),
            (r"\*", "*"),
            ("[]a]", "]"),
            ("[!]a]", "b"),
            ("[a-]", "-"),
            (r"[\]]", "]"),
            ("a**b", "ab"),
            ("*a*b", "xaxb"),
            ("[*]", "*"),
        ];
        for (pattern, text) in yes {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        let no = [
            ("", "a"),
            ("a", ""),
            ("a*", "ba"),
            ("?", ""),
            ("?", "xy"),
            ("[a-c]", "d"),
            ("[!a]", "a"),
            (r"\*", "a"),
            ("*b", "ba"),
            ("[!]a]", "]"),
        ];
        for (pattern, text) in no {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn malformed_patterns_are_errors() {
        let error = |pattern: &[u8]| Glob::parse(pattern).unwrap_err();
        for unclosed in [&b"["[..], b"[]", b"[!]", b"a[bc", b"[a-", b"[\\"] {
            assert_eq!(error(unclosed), GlobError::UnclosedBracket, "{}", unclosed.escape_ascii());
        }
        assert_eq!(error(b"[z-a]"), GlobError::ReversedRange(b'z', b'a'));
        assert_eq!(error("[ä]".as_bytes()), GlobError::NotAscii);
        assert_eq!(error(b"a\\"), GlobError::TrailingBackslash);
        assert_eq!(error(b"a\0"), GlobError::Nul);
        assert_eq!(error(&[b'a'; 64]), GlobError::TooLong);
    }

    #[test]
    fn longest_pattern_uses_every_state_bit() {
        let text = [b'a'; MAX_ITEMS];
        let glob = Glob::parse(&[&text[..], b"*"].concat()).unwrap();
        assert_eq!((glob.accept_bit(), glob.star_mask()), (63, 1 << 63));
        assert!(glob.matches(&text) && glob.matches(&[b'a'; 200]) && !glob.matches(&text[1..]));
    }

    #[test]
    fn only_a_pattern_of_single_bytes_is_literal() {
        let literal = |pattern: &[u8]| Glob::parse(pattern).unwrap().is_literal();
        assert_eq!(literal(br"a\*[b]"), Some(b"a*b".to_vec()));
        assert_eq!(literal(b""), Some(Vec::new()));
        assert_eq!(literal(b"a*"), None);
        assert_eq!(literal(b"a?"), None);
    }

    /// Reads the pattern's text anew at every step and tries every length for `*`.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.first(), text.first()) {
            (None, _) => text.is_empty(),
            (Some(b'*'), _) => (0..=text.len()).any(|n| naive(&pattern[1..], &text[n..])),
            (_, None) => false,
            (Some(b'?'), _) => naive(&pattern[1..], &text[1..]),
            (Some(b'\\'), Some(c)) => pattern[1] == *c && naive(&pattern[2..], &text[1..]),
            (Some(b'['), Some(c)) => {
                let end = 2 + pattern[2..].iter().position(|&c| c == b']').unwrap();
                let (negated, body) = match pattern[1] {
                    b'!' => (true, &pattern[2..end]),
                    _ => (false, &pattern[1..end]),
                };
                let inside = match body {
                    [low, b'-', high] => (low..=high).contains(&c),
                    _ => body.contains(c),
                };
                inside != negated && naive(&pattern[end + 1..], &text[1..])
            }
            (Some(p), Some(c)) => p == c && naive(&pattern[1..], &text[1..]),
        }
    }

    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[abc]", 3 => Just("*".to_owned()), 2 => Just("?".to_owned()), 1 => r"\\[*?a]", 1 => r"\[!?[abc]{1,2}\]", 1 => r"\[!?a-[abc]\]",
        ];
        prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn automaton_agrees_with_a_naive_matcher(pattern in pieces(), text in "[abc*?]{0,12}") {
            prop_assert_eq!(matches(&pattern, &text), naive(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn pattern_text_parses_to_an_equal_pattern(pattern in prop::collection::vec(any::<u8>(), 0..20)) {
            if let Ok(glob) = Glob::parse(&pattern) {
                prop_assert_eq!(Glob::parse(&glob.pattern()), Ok(glob));
            }
        }

        #[test]
        fn escaped_text_matches_only_itself(text in prop::collection::vec(1u8.., 0..20), other in prop::collection::vec(any::<u8>(), 0..3)) {
            let glob = Glob::literal(&text).unwrap();
            prop_assert!(glob.matches(&text));
            prop_assert_eq!(glob.matches(&other), text == other);
            prop_assert_eq!(glob.is_literal(), Some(text));
        }
    }
}
