//! Source text in, tokens with their places out. Knows no precedence and no names.
use super::error::{ProgramError, Span};
use super::glob;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    Number(u64),
    /// A number with a fraction, as typed: only percentiles take one.
    Decimal(String),
    /// A string as a pattern: what an escape made is literal, so `\x2a` is a star and no wildcard.
    Text(Vec<u8>),
    Name(String),
    /// An operator, a parenthesis or a comma.
    Op(&'static str),
    End,
}

impl Token {
    pub fn as_name(&self) -> Option<&str> {
        match self {
            Token::Name(name) => Some(name),
            _ => None,
        }
    }
}

/// Longest first: `<=` is not `<` and `=`.
const OPS: [&str; 23] = [
    "||", "&&", "==", "!=", "<=", ">=", "<<", ">>", "|", "^", "&", "<", ">", "+", "-", "*", "/", "%", "!", "~", "(",
    ")", ",",
];

/// Factors of a number's suffix: durations are in ns, sizes are powers of 1024.
const SUFFIXES: [(&str, u64); 8] = [
    ("", 1),
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
];

/// The tokens of `source`; the last one is [`Token::End`].
pub fn lex(source: &str) -> Result<Vec<(Token, Span)>, ProgramError> {
    let mut lexer = Lexer { source, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks();
        let start = lexer.at;
        let token = lexer.token()?;
        let end = token == Token::End;
        tokens.push((token, Span::new(start, lexer.at)));
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'s> {
    source: &'s str,
    at: usize,
}

impl<'s> Lexer<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    fn skip_blanks(&mut self) {
        self.at = self.source.len() - self.rest().trim_start().len();
    }

    fn error(&self, start: usize, message: impl AsRef<str>) -> ProgramError {
        ProgramError::new(self.source, Span::new(start, self.at), message)
    }

    fn token(&mut self) -> Result<Token, ProgramError> {
        let Some(c) = self.rest().chars().next() else { return Ok(Token::End) };
        match c {
            '0'..='9' => self.number(),
            'a'..='z' | 'A'..='Z' | '_' => Ok(Token::Name(self.word().to_owned())),
            '"' | '\'' => self.text(c),
            _ => self.operator(c),
        }
    }

    fn word(&mut self) -> &'s str {
        let rest = self.rest();
        // A dot with a letter behind it is part of a name: `args.count`.
        let goes_on = |at: usize, c: char| match c {
            '.' => rest[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'),
            _ => c.is_ascii_alphanumeric() || c == '_',
        };
        let end = rest.char_indices().find(|(at, c)| !goes_on(*at, *c)).map_or(rest.len(), |(at, _)| at);
        self.at += end;
        &rest[..end]
    }

    fn operator(&mut self, c: char) -> Result<Token, ProgramError> {
        let start = self.at;
        if let Some(op) = OPS.into_iter().find(|op| self.rest().starts_with(op)) {
            self.at += op.len();
            return Ok(Token::Op(op));
        }
        self.at += c.len_utf8();
        let error = self.error(start, format!("unexpected `{c}`"));
        Err(match c {
            '=' => error.hint("`==`"),
            '?' | ':' => error.hint("`&&` and `||`: there is no conditional operator"),
            _ => error,
        })
    }

    fn number(&mut self) -> Result<Token, ProgramError> {
        let start = self.at;
        let mut text = self.word();
        if self.rest().starts_with('.') {
            self.at += 1;
            self.word();
            text = &self.source[start..self.at];
        }
        let radix = match text.as_bytes() {
            [b'0', b'x' | b'X', ..] => 16,
            [b'0', b'o' | b'O', ..] => 8,
            [b'0', b'b' | b'B', ..] => 2,
            _ => return self.decimal(start, text),
        };
        let digits = text[2..].replace('_', "");
        match u64::from_str_radix(&digits, radix) {
            Ok(value) => Ok(Token::Number(value)),
            Err(_) if !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)) => {
                Err(self.too_large(start, text))
            }
            Err(_) => Err(self.error(start, format!("`{text}` is not a number"))),
        }
    }

    fn too_large(&self, start: usize, text: &str) -> ProgramError {
        self.error(start, format!("`{text}` does not fit in 64 bits"))
    }

    fn decimal(&self, start: usize, text: &str) -> Result<Token, ProgramError> {
        let end = text.find(|c: char| !matches!(c, '0'..='9' | '_' | '.')).unwrap_or(text.len());
        let (digits, suffix) = text.split_at(end);
        let digits = digits.replace('_', "");
        let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
        if digits.ends_with('.') {
            return Err(self.error(start, format!("`{text}` is not a number")));
        }
        if whole.len() > 1 && whole.starts_with('0') {
            let octal = whole.trim_start_matches('0');
            return Err(self
                .error(start, format!("`{text}` begins with 0"))
                .hint(format!("`{octal}`, or `0o{octal}` if it is octal")));
        }
        let Some(factor) = SUFFIXES.iter().find(|(name, _)| *name == suffix).map(|(_, factor)| *factor) else {
            let error = self.error(start, format!("`{text}` is not a number: no suffix `{suffix}`"));
            return Err(error.hint("ns, us, ms, s for durations; K, M, G for powers of 1024"));
        };
        if suffix.is_empty() && !fraction.is_empty() {
            return Ok(Token::Decimal(digits));
        }
        let value = scale(whole, fraction, factor).ok_or_else(|| self.too_large(start, text))?;
        let value = value.ok_or_else(|| self.error(start, format!("`{text}` is not a whole number of ns or bytes")))?;
        Ok(Token::Number(value))
    }

    fn text(&mut self, quote: char) -> Result<Token, ProgramError> {
        let start = self.at;
        self.at += 1;
        let mut pattern = Vec::new();
        while let Some(c) = self.rest().chars().next() {
            self.at += c.len_utf8();
            match c {
                c if c == quote => return Ok(Token::Text(pattern)),
                '\\' => self.escape(&mut pattern)?,
                c => pattern.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        let start_only = Span::new(start, start + 1);
        Err(ProgramError::new(self.source, start_only, format!("no {quote} ends this text")))
    }

    /// What stands behind a `\` that was read.
    fn escape(&mut self, pattern: &mut Vec<u8>) -> Result<(), ProgramError> {
        let start = self.at - 1;
        let Some(c) = self.rest().chars().next() else { return Ok(()) };
        self.at += c.len_utf8();
        let byte = match c {
            'n' => b'\n',
            't' => b'\t',
            'r' => b'\r',
            '"' | '\'' => c as u8,
            'x' => self.hex_byte(start)?,
            c if c.is_ascii() && glob::is_special(c as u8) => c as u8,
            c => return Err(self.error(start, format!("unknown escape `\\{c}`")).hint(r"`\\` for a backslash")),
        };
        pattern.extend(glob::escape(&[byte]));
        Ok(())
    }

    fn hex_byte(&mut self, start: usize) -> Result<u8, ProgramError> {
        let digits = self.rest().get(..2).filter(|digits| digits.bytes().all(|c| c.is_ascii_hexdigit()));
        let Some(digits) = digits else {
            return Err(self.error(start, r"`\x` takes two hexadecimal digits"));
        };
        self.at += 2;
        Ok(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"))
    }
}

/// `whole.fraction * factor`: `None` where it does not fit, `Some(None)` where it is not whole.
fn scale(whole: &str, fraction: &str, factor: u64) -> Option<Option<u64>> {
    let fits = |value: u128| u64::try_from(value).ok();
    let whole = fits(u128::from(whole.parse::<u64>().ok()?) * u128::from(factor))?;
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        return Some(Some(whole));
    }
    if fraction.len() > 18 {
        return Some(None);
    }
    let unit = 10u128.pow(fraction.len() as u32);
    let part = fraction.parse::<u128>().ok()? * u128::from(factor);
    if !part.is_multiple_of(unit) {
        return Some(None);
    }
    fits(u128::from(whole) + part / unit).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(source: &str) -> Token {
        let tokens = lex(source).unwrap();
        assert_eq!(tokens.len(), 2, "{tokens:?}");
        tokens[0].0.clone()
    }

    fn error(source: &str) -> String {
        lex(source).unwrap_err().to_string()
    }

    #[test]
    fn numbers_have_bases_separators_and_suffixes() {
        let cases = [
            ("0", 0),
            ("1_000", 1000),
            ("0xff", 255),
            ("0XFF_FF", 65535),
            ("0o17", 15),
            ("0b101", 5),
            ("5ms", 5_000_000),
            ("1.5ms", 1_500_000),
            ("2s", 2_000_000_000),
            ("7ns", 7),
            ("3us", 3000),
            ("4K", 4096),
            ("1M", 1 << 20),
            ("2G", 2 << 30),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, value) in cases {
            assert_eq!(one(text), Token::Number(value), "{text}");
        }
        assert_eq!(one("99.9"), Token::Decimal("99.9".to_owned()));
    }

    #[test]
    fn what_is_no_number_says_why() {
        assert_eq!(error("18446744073709551616"), "`18446744073709551616` does not fit in 64 bits at column 1");
        assert_eq!(error("99999999999s"), "`99999999999s` does not fit in 64 bits at column 1");
        assert_eq!(error("0x1_0000_0000_0000_0000"), "`0x1_0000_0000_0000_0000` does not fit in 64 bits at column 1");
        assert_eq!(error("0x"), "`0x` is not a number at column 1");
        assert_eq!(error("0b12"), "`0b12` is not a number at column 1");
        assert_eq!(
            error("1 + 5m"),
            "`5m` is not a number: no suffix `m` at column 5\ntry: ns, us, ms, s for durations; K, M, G for powers of 1024"
        );
        assert_eq!(error("017"), "`017` begins with 0 at column 1\ntry: `17`, or `0o17` if it is octal");
        assert_eq!(error("0.5ns"), "`0.5ns` is not a whole number of ns or bytes at column 1");
        assert_eq!(error("5."), "`5.` is not a number at column 1");
    }

    #[test]
    fn escapes_in_text_are_literal() {
        assert_eq!(one(r#""a*\x2a\n\"""#), Token::Text(b"a*\\*\n\"".to_vec()));
        assert_eq!(one(r"'it\'s\\'"), Token::Text(br"it's\\".to_vec()));
        assert_eq!(error(r"'\q'"), "unknown escape `\\q` at column 2\ntry: `\\\\` for a backslash");
        assert_eq!(error(r"'\x4'"), "`\\x` takes two hexadecimal digits at column 2");
        assert_eq!(error(r"'\x€"), "`\\x` takes two hexadecimal digits at column 2");
        assert_eq!(error("a == 'b"), "no ' ends this text at column 6");
        assert_eq!(error(r"'a\"), "no ' ends this text at column 1");
    }

    #[test]
    fn operators_take_the_longest_reading() {
        let ops: Vec<_> = lex("a<<b!=c<=!d")
            .unwrap()
            .into_iter()
            .filter_map(|(token, _)| match token {
                Token::Op(op) => Some(op),
                _ => None,
            })
            .collect();
        assert_eq!(ops, ["<<", "!=", "<=", "!"]);
    }

    #[test]
    fn single_equals_sign_suggests_two() {
        assert_eq!(error("pid = 3"), "unexpected `=` at column 5\ntry: `==`");
    }

    proptest! {
        /// Any text: an answer or an error with a place in it, and no panic.
        #[test]
        fn lexer_survives_any_text(source in any::<String>()) {
            if let Err(error) = lex(&source) {
                error.explain("--where");
            }
        }
    }
}
