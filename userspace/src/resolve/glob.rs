//! The pattern of a function's name in, whether a name matches out. As long as mangled names get, which
//! [`crate::program::glob::Glob`], made for the kernel, cannot be; the same signs mean the same.
use crate::program::glob::{ByteSet, GlobError, contains, take_set};

/// Longer is no name.
pub const LONGEST: usize = 4096;
/// A word shorter than this is found almost everywhere.
const SHORTEST_WORD: usize = 3;

/// Two texts of one pattern are not equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameGlob {
    text: String,
    items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    Byte(u8),
    Set(ByteSet),
    Any,
    Star,
}

impl Item {
    fn accepts(&self, byte: u8) -> bool {
        match self {
            Item::Byte(own) => *own == byte,
            Item::Set(set) => contains(set, byte),
            Item::Any | Item::Star => true,
        }
    }
}

impl NameGlob {
    /// Errors: a malformed set or range, more than [`LONGEST`] bytes.
    pub fn parse(text: &str) -> Result<NameGlob, GlobError> {
        let mut items = Vec::new();
        let mut rest = text.as_bytes();
        if rest.len() > LONGEST {
            return Err(GlobError::TooLong);
        }
        while let Some((&c, tail)) = rest.split_first() {
            let before = &text.as_bytes()[..text.len() - rest.len()];
            rest = tail;
            items.push(match c {
                0 => return Err(GlobError::Nul),
                b'*' if items.last() == Some(&Item::Star) => continue,
                b'*' => Item::Star,
                b'?' => Item::Any,
                // C++: no set is empty.
                b'[' if before.ends_with(b"operator") && rest.starts_with(b"]") => Item::Byte(c),
                b'[' => Item::Set(take_set(&mut rest)?),
                b'\\' => {
                    let (&c, tail) = rest.split_first().ok_or(GlobError::TrailingBackslash)?;
                    rest = tail;
                    Item::Byte(c)
                }
                c => Item::Byte(c),
            });
        }
        Ok(NameGlob { text: text.to_owned(), items })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a name can only match by being spelled out.
    pub fn is_literal(&self) -> bool {
        self.items.iter().all(|item| matches!(item, Item::Byte(_)))
    }

    /// Also a name that is the text itself: `<[u8] as Trait>::f`, as it was printed.
    pub fn matches(&self, name: &[u8]) -> bool {
        // Where the last star was, and the byte that is next if it takes one more.
        let mut star: Option<(usize, usize)> = None;
        let (mut item, mut at) = (0, 0);
        let matched = loop {
            match self.items.get(item) {
                Some(Item::Star) => {
                    star = Some((item, at));
                    item += 1;
                    continue;
                }
                Some(expected) if name.get(at).is_some_and(|byte| expected.accepts(*byte)) => {
                    item += 1;
                    at += 1;
                    continue;
                }
                None if at == name.len() => break true,
                _ => {}
            }
            match &mut star {
                Some((after, next)) if *next < name.len() => {
                    *next += 1;
                    (item, at) = (*after + 1, *next);
                }
                _ => break false,
            }
        };
        matched || name == self.text.as_bytes()
    }

    /// Parts of identifiers that each name which matches has in it.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![String::new()];
        for item in &self.items {
            match item {
                Item::Byte(c) if c.is_ascii_alphanumeric() || *c == b'_' => {
                    words.last_mut().expect("one at least").push(char::from(*c));
                }
                _ => words.push(String::new()),
            }
        }
        words.retain(|word| word.len() >= SHORTEST_WORD && !word.as_bytes()[0].is_ascii_digit());
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::glob::Glob;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        NameGlob::parse(pattern).unwrap().matches(name.as_bytes())
    }

    #[test]
    fn names_and_patterns_may_be_as_long_as_mangled_ones() {
        let long = "n".repeat(LONGEST);
        assert!(matches(&long, &long));
        assert!(matches("n*n", &long));
        assert!(!matches(&long[1..], &long));
        assert_eq!(NameGlob::parse(&(long + "n")), Err(GlobError::TooLong));
    }

    #[test]
    fn a_name_as_it_was_printed_matches_itself() {
        assert!(matches("<[u8] as Trait>::f", "<[u8] as Trait>::f"));
        assert!(matches("<[u8] as Trait>::f", "<u as Trait>::f"));
        assert!(matches("ns::operator[](int)", "ns::operator[](int)"));
        assert!(matches("ns::operator[]*", "ns::operator[](long)"));
        assert_eq!(NameGlob::parse("ns::[]"), Err(GlobError::UnclosedBracket));
    }

    #[test]
    fn words_are_what_a_name_must_have() {
        let words = |pattern| NameGlob::parse(pattern).unwrap().words();
        assert_eq!(words("store::pu*[abc]key_1?(3000u)"), ["store", "key_1"]);
        assert_eq!(words("*"), Vec::<String>::new());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn short_patterns_mean_what_they_mean_in_the_kernel(pattern in r"([ab*?]|\\[*?a]|\[!?[ab]\]|\[a-c\]){0,8}", name in "[abc*?]{0,10}") {
            let short = Glob::parse(pattern.as_bytes()).unwrap();
            let long = NameGlob::parse(&pattern).unwrap();
            prop_assert_eq!(long.matches(name.as_bytes()), short.matches(name.as_bytes()) || name == pattern);
        }
    }
}
