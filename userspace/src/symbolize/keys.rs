//! Words of a key into what people read: numbers, strings, names of system calls and errnos.
use std::net::{IpAddr, Ipv6Addr};

use crate::merge::value::KeyValue;
use crate::program::field::{Field, Kind, TEXT_WORDS};
use crate::program::tree::{Key, Type};

/// How to read each part of a key.
pub struct KeyReader<'a> {
    parts: Vec<(&'a Key, Option<&'static Field>)>,
}

impl<'a> KeyReader<'a> {
    /// `field`: the field of a name, if it has one. A key that is a bare field, also a computed one, has the field's names.
    pub fn new(keys: &'a [Key], field: impl Fn(&str) -> Option<&'static Field>) -> KeyReader<'a> {
        KeyReader { parts: keys.iter().map(|key| (key, field(key.name()))).collect() }
    }

    pub fn read(&self, mut words: &[u64]) -> Vec<KeyValue> {
        let mut values = Vec::with_capacity(self.parts.len());
        for (key, field) in &self.parts {
            let (part, rest) = words.split_at(key.words());
            words = rest;
            values.push(value(key, *field, part));
        }
        values
    }
}

fn value(key: &Key, field: Option<&Field>, words: &[u64]) -> KeyValue {
    match key {
        // An id, until the texts are read.
        Key::Text { field } if field.is_copied() => KeyValue::Unsigned(words[0]),
        Key::Text { field } if matches!(field.kind, Kind::Address) => {
            KeyValue::Text(internet_address(words).to_string().into_bytes())
        }
        Key::Text { .. } => {
            let mut bytes: Vec<u8> = words[..TEXT_WORDS].iter().flat_map(|word| word.to_ne_bytes()).collect();
            if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                bytes.truncate(end);
            }
            KeyValue::Text(bytes)
        }
        Key::Number { expr, .. } => match (field.map(|field| field.kind), expr.ty) {
            (Some(Kind::Enumeration(names)), _) => {
                KeyValue::Named { value: words[0], name: names.name(words[0]).into_owned() }
            }
            (_, Type::Signed) => KeyValue::Signed(words[0] as i64),
            (_, Type::Unsigned) => KeyValue::Unsigned(words[0]),
        },
    }
}
/// One of IPv4 as such.
pub fn internet_address(words: &[u64]) -> IpAddr {
    let mut bytes = [0; 16];
    for (part, word) in bytes.chunks_exact_mut(8).zip(words) {
        part.copy_from_slice(&word.to_ne_bytes());
    }
    Ipv6Addr::from(bytes).to_canonical()
}
