//! A report as one line of JSON: raw integers, names as they are ([`escape::push_data`]), null for what is unknown.
use std::io::{self, Write};

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde_json::ser::Formatter;

use super::accounts;
use super::escape;
use super::json_stack::StackObject;
use super::page::PAGE_BYTES;
use super::report::{Loss, Report};
use crate::merge::bounds::{Bounds, each_bucket};
use crate::merge::value::{KeyValue, Row, Value};

/// Writes the report and a newline.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(PAGE_BYTES, out);
    Document(report).serialize(&mut serde_json::Serializer::with_formatter(&mut out, Plain))?;
    out.write_all(b"\n")?;
    out.into_inner().map(drop).map_err(|e| e.into_error())
}

/// Writes what would act on a terminal, or hide in it, as `\u....`: the same string to every reader of JSON.
struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if escape::is_plain(fragment.as_bytes()) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| escape::is_hazard(*c)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

struct Document<'a>(&'a Report);

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let report = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("spoor", &1)?;
        map.serialize_entry("command", &report.command)?;
        map.serialize_entry("target", &report.target)?;
        map.serialize_entry("started_unix_ns", &report.started_unix_ns)?;
        map.serialize_entry("elapsed_ns", &report.elapsed_ns)?;
        match report.events {
            Some(events) => map.serialize_entry("events", &events)?,
            None => map.serialize_entry("rows", &Rows(report))?,
        }
        if let Some(values) = &report.aggregation.other {
            map.serialize_entry("other", &Other(report, values))?;
        }
        if report.rows_left_out > 0 {
            map.serialize_entry("rows_left_out", &report.rows_left_out)?;
        }
        accounts::serialize_entries(&report.accounts, &mut map)?;
        if let Some(stopped) = &report.stopped {
            map.serialize_entry("stopped", stopped)?;
        }
        map.serialize_entry("loss", &LossObject(&report.loss))?;
        // Not under `loss`: its kinds add up to its total.
        if report.loss.kinds.iter().any(|line| !line.lost) {
            map.serialize_entry("info", &Kinds(&report.loss, false))?;
        }
        if !report.notes.is_empty() {
            map.serialize_entry("notes", &report.notes)?;
        }
        map.end()
    }
}

struct Rows<'a>(&'a Report);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.aggregation.rows.iter().map(|row| RowObject(self.0, row)))
    }
}

struct RowObject<'a>(&'a Report, &'a Row);

impl Serialize for RowObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("keys", &Keys(self.0, &self.1.keys))?;
        map.serialize_entry("values", &Values(self.0, &self.1.values))?;
        map.end()
    }
}

struct Other<'a>(&'a Report, &'a [Value]);

impl Serialize for Other<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("values", &Values(self.0, self.1))?;
        map.end()
    }
}

struct Keys<'a>(&'a Report, &'a [KeyValue]);

impl Serialize for Keys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.keys.iter().zip(self.1).map(|(column, key)| (&column.name, Key(key))))
    }
}

struct Key<'a>(&'a KeyValue);

impl Serialize for Key<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            KeyValue::Unsigned(n) => serializer.serialize_u64(*n),
            KeyValue::Signed(n) => serializer.serialize_i64(*n),
            KeyValue::Named { name, .. } => serializer.serialize_str(name),
            KeyValue::Stack(stack) => StackObject(stack).serialize(serializer),
            KeyValue::Text(text) => serializer.serialize_str(&escape::data(text)),
        }
    }
}

struct Values<'a>(&'a Report, &'a [Value]);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.values.iter().zip(self.1).map(|(column, value)| (&column.name, Datum(value))))
    }
}

struct Datum<'a>(&'a Value);

impl Serialize for Datum<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Quantize(_) | Value::Lquantize { .. } | Value::Llquantize { .. } => {
                let mut buckets = serializer.serialize_seq(None)?;
                let mut result = Ok(());
                each_bucket(self.0, |bounds, count| {
                    if result.is_ok() {
                        result = buckets.serialize_element(&Bucket(bounds, count));
                    }
                });
                result?;
                buckets.end()
            }
            Value::Name(name) => name.as_ref().map(|name| escape::data(name.as_bytes())).serialize(serializer),
            number => number.known().map(Integer).serialize(serializer),
        }
    }
}

/// `min` or `max` is left out where the bucket has no such end: null would say that it is unknown.
struct Bucket(Bounds, u64);

impl Serialize for Bucket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(min) = self.0.min {
            map.serialize_entry("min", &min)?;
        }
        if let Some(max) = self.0.max {
            map.serialize_entry("max", &max)?;
        }
        map.serialize_entry("count", &self.1)?;
        map.end()
    }
}

/// A number where it fits 64 bits, signed or not; else its digits as a string.
struct Integer(i128);

impl Serialize for Integer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (i64::try_from(self.0), u64::try_from(self.0)) {
            (Ok(n), _) => serializer.serialize_i64(n),
            (_, Ok(n)) => serializer.serialize_u64(n),
            _ => serializer.collect_str(&self.0),
        }
    }
}

struct LossObject<'a>(&'a Loss);

impl Serialize for LossObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("total", &self.0.total())?;
        map.serialize_entry("kinds", &Kinds(self.0, true))?;
        map.end()
    }
}

/// Every kind, also those that counted nothing; null where the kernel cannot tell.
struct Kinds<'a>(&'a Loss, bool);

impl Serialize for Kinds<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer
            .collect_map(self.0.kinds.iter().filter(|line| line.lost == self.1).map(|line| (line.name, line.count)))
    }
}
