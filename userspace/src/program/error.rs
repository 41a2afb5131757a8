//! What is wrong with an expression and where: one line why, the source with a caret, one line what to do.
use std::borrow::Cow;
use std::fmt::{self, Write};

/// Bytes `start..end` of a source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn new(start: usize, end: usize) -> Span {
        Span { start, end }
    }

    /// From the start of this span to the end of `other`.
    pub fn to(self, other: Span) -> Span {
        Span::new(self.start, other.end)
    }
}

/// Longest piece of source that [`ProgramError::explain`] shows, in columns.
const SHOWN: usize = 100;

/// A fault in a `--where`, `--by` or `--agg` text. `message` and `hint` are safe to print; `source` is as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramError {
    /// What and why, without the place.
    pub message: String,
    /// In characters from 1.
    pub column: usize,
    pub span: Span,
    pub source: String,
    /// What to do.
    pub hint: Option<String>,
}

impl ProgramError {
    pub fn new(source: &str, span: Span, message: impl AsRef<str>) -> Self {
        let start = source.floor_char_boundary(span.start);
        ProgramError {
            message: printable(message.as_ref()),
            column: source[..start].chars().count() + 1,
            span,
            source: source.to_owned(),
            hint: None,
        }
    }

    pub fn hint(self, hint: impl AsRef<str>) -> Self {
        ProgramError { hint: Some(printable(hint.as_ref())), ..self }
    }

    pub fn maybe_hint(self, hint: Option<String>) -> Self {
        match hint {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// The whole report, for the text that came with `option`. Ends without a line feed.
    ///
    /// ```text
    /// error: --where: unknown field `elapsd` at column 8
    ///   pid && elapsd > 3
    ///          ^^^^^^
    /// try: `elapsed`
    /// ```
    pub fn explain(&self, option: &str) -> String {
        let (line, caret, width) = self.excerpt();
        let mut out = format!("error: {option}: {} at column {}\n", self.message, self.column);
        let _ = writeln!(out, "  {line}");
        let _ = write!(out, "  {}{}", " ".repeat(caret), "^".repeat(width));
        if let Some(hint) = &self.hint {
            let _ = write!(out, "\ntry: {hint}");
        }
        out
    }

    /// The source made printable, cut around the fault where it is long, and the caret's start and width in columns.
    fn excerpt(&self) -> (String, usize, usize) {
        let mut columns: Vec<char> = Vec::new();
        let (mut start, mut end) = (None, None);
        for (at, c) in self.source.char_indices() {
            if at >= self.span.start && start.is_none() {
                start = Some(columns.len());
            }
            if at >= self.span.end && end.is_none() {
                end = Some(columns.len());
            }
            push_printable(&mut columns, c);
        }
        let start = start.unwrap_or(columns.len());
        let end = end.unwrap_or(columns.len()).max(start + 1);
        if columns.len() <= SHOWN {
            return (columns.iter().collect(), start, end - start);
        }
        let from = start.saturating_sub(SHOWN / 2);
        let upto = (from + SHOWN).min(columns.len());
        let before = if from > 0 { "..." } else { "" };
        let after = if upto < columns.len() { "..." } else { "" };
        let line: String = columns[from..upto].iter().collect();
        let width = end.min(upto.max(start + 1)) - start;
        (format!("{before}{line}{after}"), start - from + before.len(), width)
    }
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at column {}", self.message, self.column)?;
        match &self.hint {
            Some(hint) => write!(f, "\ntry: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ProgramError {}

/// `text` with what could steer a terminal or hide in it written as an escape.
pub fn printable(text: &str) -> String {
    printable_cow(text).into_owned()
}

/// For many texts: most are printable as they are.
pub fn printable_cow(text: &str) -> Cow<'_, str> {
    // To look at all bytes, many at once, is faster than to stop at the first other one.
    if text.bytes().fold(true, |all, byte| all & matches!(byte, b' '..=b'~')) {
        return text.into();
    }
    let mut out = Vec::new();
    text.chars().for_each(|c| push_printable(&mut out, c));
    Cow::Owned(out.into_iter().collect())
}

fn push_printable(out: &mut Vec<char>, c: char) {
    // Marks that turn the direction of text or take no room: a terminal would show another order than was typed.
    let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    match c {
        '\n' => out.extend(['\\', 'n']),
        '\t' => out.extend(['\\', 't']),
        '\r' => out.extend(['\\', 'r']),
        c if (c as u32) < 0x100 && c.is_control() => out.extend(format!("\\x{:02x}", c as u32).chars()),
        c if c.is_control() || hidden => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elapsd() -> ProgramError {
        ProgramError::new("pid && elapsd > 3", Span::new(7, 13), "unknown field `elapsd`").hint("`elapsed`")
    }

    #[test]
    fn error_is_one_line_why_and_one_line_what_to_do() {
        assert_eq!(elapsd().to_string(), "unknown field `elapsd` at column 8\ntry: `elapsed`");
    }

    #[test]
    fn explanation_points_at_the_column() {
        let wanted =
            "error: --where: unknown field `elapsd` at column 8\n  pid && elapsd > 3\n         ^^^^^^\ntry: `elapsed`";
        assert_eq!(elapsd().explain("--where"), wanted);
    }

    #[test]
    fn columns_count_characters_and_not_bytes() {
        let error = ProgramError::new("'äö' == x", Span::new(10, 11), "no");
        assert_eq!(error.column, 9);
        assert_eq!(error.explain("--where").lines().nth(2), Some("          ^"));
    }

    #[test]
    fn control_characters_never_reach_the_terminal_raw() {
        let source = "a\x1b[31m\n\u{202e}\u{9b} b";
        let error = ProgramError::new(source, Span::new(source.len() - 1, source.len()), format!("odd `{source}`"));
        let text = error.explain("--where") + &error.to_string();
        assert!(text.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')), "{text:?}");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], r"  a\x1b[31m\n\u{202e}\x9b b");
        assert_eq!(lines[2].find('^'), lines[1].rfind('b'));
    }

    #[test]
    fn fault_at_the_end_points_behind_the_last_character() {
        let error = ProgramError::new("1 +", Span::new(3, 3), "expected more");
        assert_eq!(error.column, 4);
        assert_eq!(error.explain("--where").lines().nth(2), Some("     ^"));
    }

    #[test]
    fn long_source_is_cut_around_the_fault() {
        let source = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let text = ProgramError::new(&source, Span::new(5000, 5001), "no").explain("--where");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].len() < 120 && lines[2].len() < 120);
        assert_eq!(lines[2].find('^'), lines[1].find('X'));
    }
}
