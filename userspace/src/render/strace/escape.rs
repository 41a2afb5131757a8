//! Bytes of other programs in, printable ASCII out: nothing that a terminal or a JSON reader could take for a command.
use super::write::hex_byte;
use crate::render::escape::push_data;

/// `"..."` as strace quotes: C escapes, octal for the rest, all of ASCII as it is.
pub fn quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for (index, &byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            _ => escaped(out, byte, bytes.get(index + 1)),
        }
    }
    out.push(b'"');
}

/// The same without quotes, for a comm: `"` stays as it is.
pub fn bare(out: &mut Vec<u8>, bytes: &[u8]) {
    for (index, &byte) in bytes.iter().enumerate() {
        escaped(out, byte, bytes.get(index + 1));
    }
}

/// `"\x01\xff"`, as strace prints random bytes.
pub fn quoted_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for &byte in bytes {
        out.extend_from_slice(b"\\x");
        hex_byte(out, byte);
    }
    out.push(b'"');
}

/// A name as a JSON string, in ASCII only, written as in the keys of a table.
pub fn json_name(out: &mut Vec<u8>, name: &[u8]) {
    let mut text = String::new();
    push_data(&mut text, name, false);
    json(out, text.as_bytes());
}

/// A JSON string, in ASCII only; bytes that are no UTF-8 become U+FFFD.
pub fn json(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            json_character(out, character);
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

/// Turns what was written since `start`, printable ASCII, into a JSON string.
pub fn json_tail(out: &mut Vec<u8>, start: usize) {
    let specials = out[start..].iter().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    let mut read = out.len();
    out.resize(read + specials + 2, b'"');
    let mut write = out.len() - 1;
    while read > start {
        read -= 1;
        write -= 1;
        let byte = out[read];
        out[write] = byte;
        if matches!(byte, b'"' | b'\\') {
            write -= 1;
            out[write] = b'\\';
        }
    }
    out[start] = b'"';
}

fn escaped(out: &mut Vec<u8>, byte: u8, next: Option<&u8>) {
    let letter = match byte {
        b'\\' => b'\\',
        b'\t' => b't',
        b'\n' => b'n',
        0x0b => b'v',
        0x0c => b'f',
        b'\r' => b'r',
        b' '..=b'~' => return out.push(byte),
        _ => return octal(out, byte, next.is_some_and(|next| (b'0'..=b'7').contains(next))),
    };
    out.extend_from_slice(&[b'\\', letter]);
}

/// As short as it can be, but three digits where another octal digit follows.
fn octal(out: &mut Vec<u8>, byte: u8, all_digits: bool) {
    out.push(b'\\');
    if byte > 0o77 || all_digits {
        out.push(b'0' + (byte >> 6));
    }
    if byte > 0o7 || all_digits {
        out.push(b'0' + (byte >> 3 & 7));
    }
    out.push(b'0' + (byte & 7));
}

fn json_character(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\t' => out.extend_from_slice(b"\\t"),
        ' '..='~' => out.push(character as u8),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(b"\\u");
                hex_byte(out, (*unit >> 8) as u8);
                hex_byte(out, *unit as u8);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Expected strings are from strace 6.1.
    #[test]
    fn quoting_is_that_of_strace() {
        let cases: [(&[u8], &str); 5] = [
            (b"\x7fELF\x02\x01\x01\0", r#""\177ELF\2\1\1\0""#),
            // Three digits only where an octal digit follows: 8 is none.
            (b"\x001\x008\0a", r#""\0001\08\0a""#),
            (b"a\tb\nc\r\x0b\x0c", r#""a\tb\nc\r\v\f""#),
            (b"say \"hi\\\"", r#""say \"hi\\\"""#),
            ("\u{e9}\u{9b}".as_bytes(), r#""\303\251\302\233""#),
        ];
        for (bytes, expected) in cases {
            assert_eq!(text(|out| quoted(out, bytes)), expected);
        }
    }

    #[test]
    fn json_strings_come_back_as_they_were() {
        for original in ["", "plain", "q\"b\\n\n\t\u{1b}[31m\u{7f}\u{9b}", "é日🦀\u{202e}"] {
            let json = text(|out| json(out, original.as_bytes()));
            assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), original);
        }
        assert_eq!(text(|out| json(out, b"a\xffb")), r#""a\ufffdb""#);
    }

    #[test]
    fn written_text_becomes_a_json_string_in_place() {
        for original in ["", "x", r#""/etc""#, r#"{a="\\", b=1}"#] {
            let json = text(|out| {
                out.extend_from_slice(b"before");
                let start = out.len();
                out.extend_from_slice(original.as_bytes());
                json_tail(out, start);
            });
            assert_eq!(serde_json::from_str::<String>(&json["before".len()..]).unwrap(), original);
        }
    }
}
