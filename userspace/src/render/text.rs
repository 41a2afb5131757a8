//! Numbers and columns as text, appended to a buffer without an allocation a cell.
use super::{escape, stack};
use crate::merge::value::KeyValue;

/// The row of firings that found the table full.
pub const OTHER: &str = "<other>";

pub fn push_int(out: &mut String, n: i128) {
    if n < 0 {
        out.push('-');
    }
    if (0..10).contains(&n) {
        out.push(char::from(b'0' + n as u8));
        return;
    }
    let mut buffer = [0_u8; 20];
    let mut start = buffer.len();
    let magnitude = n.unsigned_abs();
    let Ok(mut rest) = u64::try_from(magnitude) else {
        out.push_str(&magnitude.to_string());
        return;
    };
    loop {
        start -= 1;
        buffer[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&buffer[start..]).expect("digits are ASCII"));
}

pub fn push_spaces(out: &mut String, mut count: usize) {
    const SPACES: &str = "                                                                ";
    while count > SPACES.len() {
        out.push_str(SPACES);
        count -= SPACES.len();
    }
    out.push_str(&SPACES[..count]);
}

/// As many columns as characters: exact for what a name is likely to hold.
pub fn width(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

/// Appends `text` in at least `columns` columns, to their right.
pub fn push_right(out: &mut String, columns: usize, text: &str) {
    push_spaces(out, columns.saturating_sub(width(text)));
    out.push_str(text);
}

/// Appends `text` in at least `columns` columns, to their left.
pub fn push_left(out: &mut String, columns: usize, text: &str) {
    out.push_str(text);
    push_spaces(out, columns.saturating_sub(width(text)));
}

/// Appends a key on one line, as people read it. A name that pretends to be [`OTHER`] is told apart.
pub fn push_key(out: &mut String, key: &KeyValue) {
    match key {
        KeyValue::Unsigned(n) => push_int(out, i128::from(*n)),
        KeyValue::Signed(n) => push_int(out, i128::from(*n)),
        KeyValue::Text(text) if text == OTHER.as_bytes() => out.push_str("\\x3cother>"),
        KeyValue::Text(text) => escape::push_name(out, text),
        KeyValue::Named { name, .. } => escape::push_name(out, name.as_bytes()),
        KeyValue::Stack(stack) => stack::push_line(out, stack),
    }
}

/// True where the key prints as a number, to the right of its column.
pub fn is_number(key: &KeyValue) -> bool {
    matches!(key, KeyValue::Unsigned(_) | KeyValue::Signed(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_any_size_print_all_their_digits() {
        for n in [0, 7, -1, 10, i128::from(u64::MAX), i128::from(u64::MAX) + 1, i128::MAX, i128::MIN] {
            let mut out = String::new();
            push_int(&mut out, n);
            assert_eq!(out, n.to_string());
        }
    }

    #[test]
    fn a_name_that_pretends_to_be_the_other_row_is_told_apart() {
        let mut out = String::new();
        push_key(&mut out, &KeyValue::Text(OTHER.into()));
        assert_eq!(out, "\\x3cother>");
    }

    #[test]
    fn text_wider_than_its_column_is_not_cut() {
        let mut out = String::new();
        push_left(&mut out, 2, "abc");
        push_right(&mut out, 5, "né");
        push_left(&mut out, 100, "");
        assert_eq!(out, format!("abc   né{:100}", ""));
    }
}
