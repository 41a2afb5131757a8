//! Bytes from other programs in, text that a terminal can take out: what a name holds is seen and never acted upon.
use std::fmt::Write;

/// Appends a name: `\n`, `\x1b`, `\u{202e}` for what would act on a terminal or hide in it, `\xff` for bytes that are
/// not UTF-8, and `\\` for a backslash, so that two names never look the same.
pub fn push_name(out: &mut String, name: &[u8]) {
    push(out, name, true);
}

/// Appends a name for programs: UTF-8 as it is and `\xff` for any other byte, with the backslashes before that, or
/// before an `x`, doubled, so that two names never come out the same. Reading `\x` back gives the name's bytes.
///
/// `hazards`: also as bytes what would act on a terminal or hide in it, for formats that have no escapes of their own.
pub fn push_data(out: &mut String, name: &[u8], hazards: bool) {
    // Backslashes that came last: what follows decides about them.
    let mut backslashes = 0;
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            let as_bytes = hazards && is_hazard(c);
            if as_bytes || c == 'x' {
                out.extend(std::iter::repeat_n('\\', backslashes));
            }
            backslashes = if c == '\\' { backslashes + 1 } else { 0 };
            if as_bytes {
                push_bytes(out, c.encode_utf8(&mut [0; 4]).as_bytes());
            } else {
                out.push(c);
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend(std::iter::repeat_n('\\', backslashes));
            backslashes = 0;
            push_bytes(out, chunk.invalid());
        }
    }
}

/// A name as a string of JSON has it.
pub fn data(name: &[u8]) -> String {
    let mut out = String::new();
    push_data(&mut out, name, false);
    out
}

/// Appends a sentence of our own, which may quote a name: as [`push_name`], with backslashes as they are.
pub fn push_sentence(out: &mut String, sentence: &str) {
    push(out, sentence.as_bytes(), false);
}

/// True for control characters, line separators and format characters (bidi, zero width, tags): Unicode 16's
/// categories Cc, Cf, Zl and Zp.
pub fn is_hazard(c: char) -> bool {
    match c {
        ' '..='~' => false,
        '\0'..='\u{9f}' | '\u{ad}' => true,
        '\u{a0}'..'\u{600}' => false,
        _ => FORMAT.iter().any(|(first, last)| (*first..=*last).contains(&c)),
    }
}

/// True for ASCII that prints: what nearly all names are made of.
pub fn is_plain(bytes: &[u8]) -> bool {
    // No early end: the compiler makes vectors of it.
    bytes.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'))
}

const FORMAT: [(char, char); 20] = [
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

fn push(out: &mut String, bytes: &[u8], backslash: bool) {
    let is_plain = is_plain(bytes) && !(backslash && bytes.contains(&b'\\'));
    if let (true, Ok(plain)) = (is_plain, std::str::from_utf8(bytes)) {
        out.push_str(plain);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        chunk.valid().chars().for_each(|c| push_char(out, c, backslash));
        push_bytes(out, chunk.invalid());
    }
}

fn push_bytes(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        push_formatted(out, format_args!("\\x{byte:02x}"));
    }
}

fn push_char(out: &mut String, c: char, backslash: bool) {
    match c {
        '\\' if backslash => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if !is_hazard(c) => out.push(c),
        c if c.is_ascii() => push_formatted(out, format_args!("\\x{:02x}", c as u32)),
        c => push_formatted(out, format_args!("\\u{{{:x}}}", c as u32)),
    }
}

fn push_formatted(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes any text");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(bytes: impl AsRef<[u8]>) -> String {
        let mut out = String::new();
        push_name(&mut out, bytes.as_ref());
        out
    }

    #[test]
    fn escape_sequences_are_shown_and_not_sent() {
        assert_eq!(name("\x1b]0;owned\x07"), "\\x1b]0;owned\\x07");
        assert_eq!(name("a\nb\r\tc\x7f"), "a\\nb\\r\\tc\\x7f");
        assert_eq!(name("\u{9b}31m"), "\\u{9b}31m");
    }

    #[test]
    fn text_that_turns_or_hides_is_shown_as_numbers() {
        assert_eq!(name("exe\u{202e}txt"), "exe\\u{202e}txt");
        assert_eq!(name("ro\u{200b}ot\u{feff}"), "ro\\u{200b}ot\\u{feff}");
        assert_eq!(name("a\u{2028}b\u{e0041}"), "a\\u{2028}b\\u{e0041}");
    }

    #[test]
    fn bytes_that_are_not_utf8_are_shown_as_bytes() {
        assert_eq!(name(b"caf\xe9"), "caf\\xe9");
        assert_eq!(name(b"\xc3\x28\xff"), "\\xc3(\\xff");
    }

    #[test]
    fn a_backslash_is_doubled_so_that_no_two_names_look_the_same() {
        assert_eq!(name("a\\n"), "a\\\\n");
        assert_ne!(name("a\\n"), name("a\n"));
    }

    #[test]
    fn names_of_other_languages_stay_readable() {
        assert_eq!(name("żółw-größe-日本"), "żółw-größe-日本");
    }

    fn data(bytes: impl AsRef<[u8]>, hazards: bool) -> String {
        let mut out = String::new();
        push_data(&mut out, bytes.as_ref(), hazards);
        out
    }

    #[test]
    fn names_for_programs_are_as_they_are_but_for_what_is_no_utf8() {
        assert_eq!(data("a\\b\n\u{1b}ż", false), "a\\b\n\u{1b}ż");
        assert_eq!(data("a\\b\n\u{9b}ż", true), "a\\b\\x0a\\xc2\\x9bż");
        assert_eq!(data(b"caf\xe9", false), r"caf\xe9");
        assert_eq!(data(r"caf\xe9", false), r"caf\\xe9");
        assert_eq!(data(b"\\\xe9", false), r"\\\xe9");
        assert_eq!(data(r"\\x", false), r"\\\\x");
    }

    #[test]
    fn sentences_keep_their_backslashes() {
        let mut out = String::new();
        push_sentence(&mut out, "`a\\nb` is one line\n");
        assert_eq!(out, "`a\\nb` is one line\\n");
    }

    /// What [`push_data`] promises to be possible.
    fn unescaped(mut text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some(c) = text.chars().next() {
            let backslashes = text.bytes().take_while(|byte| *byte == b'\\').count();
            let rest = &text[backslashes..];
            if backslashes == 0 {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                text = &text[c.len_utf8()..];
            } else if !rest.starts_with('x') {
                bytes.extend(vec![b'\\'; backslashes]);
                text = rest;
            } else {
                bytes.extend(vec![b'\\'; backslashes / 2]);
                text = rest;
                if backslashes % 2 == 1 {
                    bytes.push(u8::from_str_radix(&rest[1..3], 16).unwrap());
                    text = &rest[3..];
                }
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn no_bytes_reach_the_terminal_as_control_characters(bytes: Vec<u8>) {
            prop_assert!(!name(&bytes).chars().any(|c| c.is_control() || is_hazard(c)));
        }

        #[test]
        fn different_names_for_programs_are_different(
            a in "(\\\\|x|f|\n|é|\u{202e}){0,6}", b in "(\\\\|x|f|\n|é|\u{202e}){0,6}",
            at in 0..7usize, insert: Vec<u8>, hazards: bool,
        ) {
            let (a, mut with) = (a.into_bytes(), b.into_bytes());
            prop_assert_eq!(a == with, data(&a, hazards) == data(&with, hazards));
            let at = at.min(with.len());
            with.splice(at..at, insert);
            prop_assert_eq!(a == with, data(&a, hazards) == data(&with, hazards));
            prop_assert_eq!(unescaped(&data(&with, hazards)), with);
        }

        #[test]
        fn different_names_look_different(a: Vec<u8>, b: Vec<u8>) {
            prop_assert_eq!(a == b, name(&a) == name(&b));
        }
    }
}
