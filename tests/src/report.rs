//! spoor's JSON, as the issue gives it.
use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};

pub struct Report(pub Value);

pub struct Row {
    pub keys: Map<String, Value>,
    pub values: Map<String, Value>,
}

impl Row {
    /// A key as text: names as they are, numbers in decimal.
    pub fn key(&self, name: &str) -> Result<String> {
        let key = self.keys.get(name).with_context(|| format!("no key `{name}` in {:?}", self.keys))?;
        Ok(key.as_str().map_or_else(|| key.to_string(), str::to_owned))
    }

    pub fn is(&self, keys: &[(&str, &str)]) -> Result<bool> {
        for (name, wanted) in keys {
            if self.key(name)? != *wanted {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub fn value(&self, name: &str) -> Result<i64> {
        let value = self.values.get(name).with_context(|| format!("no value `{name}` in {:?}", self.values))?;
        value.as_i64().with_context(|| format!("`{name}` is no integer: {value}"))
    }

    pub fn count(&self) -> Result<u64> {
        Ok(self.value("count")? as u64)
    }
}

impl Report {
    pub fn parse(text: &str) -> Result<Report> {
        let json: Value = serde_json::from_str(text).with_context(|| format!("JSON: {text}"))?;
        ensure!(json["spoor"] == 1, "not a report of format 1: {text}");
        const COMMANDS: [&str; 6] = ["syscalls", "profile", "offcpu", "threads", "func", "udp"];
        ensure!(COMMANDS.iter().any(|command| json["command"] == *command), "a report of no command: {text}");
        ensure!(json["target"].is_object(), "no target: {text}");
        ensure!(json["started_unix_ns"].is_u64() && json["elapsed_ns"].is_u64(), "no times: {text}");
        Ok(Report(json))
    }

    /// The last line that is one: before it may stand what a traced command printed, or events.
    pub fn last_of(text: &str) -> Result<Report> {
        match text.lines().rfind(|line| line.starts_with('{') && line.contains("\"spoor\"")) {
            Some(line) => Report::parse(line),
            // Not one line: the whole output is one object, or nothing is.
            None => Report::parse(text),
        }
    }

    pub fn rows(&self) -> Result<Vec<Row>> {
        let rows = self.0["rows"].as_array().context("no rows")?;
        let row = |row: &Value| {
            let part = |name: &str| row[name].as_object().cloned().with_context(|| format!("no {name} in {row}"));
            Ok(Row { keys: part("keys")?, values: part("values")? })
        };
        rows.iter().map(row).collect()
    }

    /// What stands for all keys that had no room, `<other>` in text: an object beside the rows, without keys.
    pub fn other(&self) -> Result<Option<Row>> {
        match self.0.get("other") {
            None => Ok(None),
            Some(other) => {
                let values = other["values"].as_object().cloned().with_context(|| format!("no values in {other}"))?;
                Ok(Some(Row { keys: Map::new(), values }))
            }
        }
    }

    /// The only row with these keys, if there is one.
    pub fn find(&self, keys: &[(&str, &str)]) -> Result<Option<Row>> {
        let mut found = None;
        for row in self.rows()? {
            if row.is(keys)? && found.replace(row).is_some() {
                bail!("two rows with {keys:?}: {self}");
            }
        }
        Ok(found)
    }

    pub fn row(&self, keys: &[(&str, &str)]) -> Result<Row> {
        self.find(keys)?.with_context(|| format!("no row with {keys:?}: {self}"))
    }

    /// Calls by the value of one key, whatever the other keys are.
    pub fn counts_by(&self, key: &str) -> Result<BTreeMap<String, u64>> {
        let mut counts = BTreeMap::new();
        for row in self.rows()? {
            *counts.entry(row.key(key)?).or_default() += row.count()?;
        }
        Ok(counts)
    }

    /// Calls of one system call; 0 where it has no row.
    pub fn calls(&self, syscall: &str) -> Result<u64> {
        Ok(self.counts_by("syscall")?.get(syscall).copied().unwrap_or(0))
    }

    /// One column's sum over everything, `<other>` included.
    pub fn sum(&self, value: &str) -> Result<i64> {
        self.rows()?.iter().chain(&self.other()?).map(|row| row.value(value)).sum()
    }

    /// All calls that are in the report.
    pub fn kept(&self) -> Result<u64> {
        Ok(self.sum("count")? as u64)
    }

    pub fn lost(&self) -> Result<u64> {
        self.0["loss"]["total"].as_u64().with_context(|| format!("no loss.total: {self}"))
    }

    /// A kind of the ledger, by a part of its name; 0 where it is not mentioned.
    pub fn lost_of_kind(&self, part: &str) -> Result<u64> {
        let kinds = self.0["loss"]["kinds"].as_object().with_context(|| format!("no loss.kinds: {self}"))?;
        let of_kind = kinds.iter().filter(|(name, _)| name.contains(part));
        Ok(of_kind.filter_map(|(_, kind)| kind.as_u64().or_else(|| kind["count"].as_u64())).sum())
    }

    /// What is worth knowing and no loss, by its name; 0 where it is not mentioned.
    pub fn told(&self, kind: &str) -> u64 {
        self.0["info"][kind].as_u64().unwrap_or(0)
    }

    /// Choices and refusals that the report tells of.
    pub fn notes(&self) -> Vec<&str> {
        self.0["notes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    pub fn nothing_lost(&self) -> Result<()> {
        ensure!(self.lost()? == 0, "lost something: {self}");
        Ok(())
    }

    /// A number under a name that contains `part`, wherever it stands; for facts whose place is not laid down.
    pub fn anywhere(&self, part: &str) -> Option<u64> {
        find(&self.0, part)
    }
}

/// What a histogram holds, all buckets together.
pub fn counts_in(json: &Value) -> u64 {
    match json {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| if name == "count" { value.as_u64().unwrap_or(0) } else { counts_in(value) })
            .sum(),
        Value::Array(items) => items.iter().map(counts_in).sum(),
        _ => 0,
    }
}

fn find(json: &Value, part: &str) -> Option<u64> {
    match json {
        Value::Object(fields) => fields.iter().find_map(|(name, value)| match value.as_u64() {
            Some(number) if name.contains(part) => Some(number),
            _ if name.contains(part) && value["count"].is_u64() => value["count"].as_u64(),
            _ => find(value, part),
        }),
        Value::Array(items) => items.iter().find_map(|item| find(item, part)),
        _ => None,
    }
}

impl fmt::Display for Report {
    /// Short enough for a failure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        let cut = text.char_indices().nth(3000).map_or(text.len(), |(at, _)| at);
        f.write_str(&text[..cut])
    }
}
