//! A report's stacks as a gzipped pprof profile, which `go tool pprof`, speedscope, Perfetto and the like read.
//!
//! Every name is escaped, as in text: `pprof -top` prints them to a terminal.
mod builder;
mod proto;

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;

use self::builder::Builder;
use self::proto::{Profile, Sample, ValueType};
use super::report::Report;
use super::steps::{self, Step};
use super::text::OTHER;
use super::weight::{Weight, addend, weights};
use super::{footer, stack};
use crate::merge::value::{KeyValue, Value};
use crate::program::field::Unit;
use crate::symbolize::frame::{Frame, Place, Unknown};

pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut gzip = GzEncoder::new(out, Compression::default());
    gzip.write_all(&profile(report)?.encode_to_vec())?;
    gzip.finish().map(drop)
}

fn profile(report: &Report) -> io::Result<Profile> {
    let weights = weights(report)?;
    let mut builder = Builder::new();
    let mut sample_type: Vec<ValueType> = weights.iter().map(|weight| value_type(&mut builder, weight)).collect();
    if sample_type.is_empty() {
        // No rows, and readers want one all the same.
        sample_type.push(ValueType { r#type: builder.string("samples"), unit: builder.string("count") });
    }
    if let Some(module) = main_module(report) {
        builder.mapping(module);
    }
    let mut sample: Vec<Sample> =
        report.aggregation.rows.iter().map(|row| row_sample(&mut builder, report, &weights, row)).collect();
    if let Some(values) = &report.aggregation.other {
        let location_id = vec![builder.mark(OTHER)];
        sample.push(Sample { location_id, value: numbers(&weights, values), label: Vec::new() });
    }
    let (period_type, period) = match report.sample_period_ns {
        Some(ns) => {
            (ValueType { r#type: builder.string("cpu"), unit: builder.string("nanoseconds") }, clamp(ns.into()))
        }
        // Every event is in it.
        None => (sample_type[0], 1),
    };
    let comment = comments(report).iter().map(|line| builder.string(line)).collect();
    Ok(Profile {
        default_sample_type: sample_type[0].r#type,
        sample_type,
        sample,
        time_nanos: clamp(report.started_unix_ns.into()),
        duration_nanos: clamp(report.elapsed_ns.into()),
        period_type: Some(period_type),
        period,
        comment,
        mapping: builder.mappings,
        location: builder.locations,
        function: builder.functions,
        string_table: builder.strings,
    })
}

fn value_type(builder: &mut Builder, weight: &Weight) -> ValueType {
    let unit = match weight.unit {
        Unit::None => "count",
        Unit::Ns => "nanoseconds",
        Unit::Bytes => "bytes",
    };
    ValueType { r#type: builder.string(&weight.title), unit: builder.string(unit) }
}

fn row_sample<'a>(
    builder: &mut Builder<'a>,
    report: &'a Report,
    weights: &[Weight],
    row: &'a crate::merge::value::Row,
) -> Sample {
    let mut location_id: Vec<u64> = steps::of_row(&row.keys)
        .into_iter()
        .rev()
        .filter_map(|step| match step {
            Step::Mark(mark) => Some(builder.mark(mark)),
            Step::Frame(frame, _) => Some(builder.frame(frame)),
            // Lines of their frame's location.
            Step::Inlined(..) => None,
        })
        .collect();
    if location_id.is_empty() {
        location_id.push(builder.mark("[all]"));
    }
    let keys = report.keys.iter().zip(&row.keys);
    let label = keys.filter_map(|(column, key)| builder.label(&column.name, column.unit, key)).collect();
    Sample { location_id, value: numbers(weights, &row.values), label }
}

/// Readers take the first module for the program: the outermost one of the first user stack that is no library.
fn main_module(report: &Report) -> Option<&str> {
    let stacks = report.aggregation.rows.iter().flat_map(|row| &row.keys).filter_map(|key| match key {
        KeyValue::Stack(stack) => Some(stack),
        _ => None,
    });
    let modules = stacks.flat_map(|stack| stack.user.iter().rev()).filter_map(|frame| match &frame.place {
        Place::Symbol { module, .. } | Place::Offset { module, .. } => Some(module.as_str()),
        Place::Address { .. } => None,
    });
    let is_program = |module: &&str| !["lib", "ld-", "ld.", "["].iter().any(|prefix| module.starts_with(prefix));
    modules.into_iter().find(is_program)
}

/// One a sample type.
fn numbers(weights: &[Weight], values: &[Value]) -> Vec<i64> {
    weights.iter().map(|weight| clamp(values.get(weight.column).and_then(addend).unwrap_or(0))).collect()
}

fn clamp(n: i128) -> i64 {
    n.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// What text has under the table: rows left out, losses, notes; and why places have no names.
fn comments(report: &Report) -> Vec<String> {
    let mut text = String::new();
    footer::push(&mut text, report);
    let mut comments: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut unnamed: Vec<(Option<&str>, Unknown)> =
        report.aggregation.rows.iter().flat_map(|row| &row.keys).flat_map(frames).filter_map(unnamed).collect();
    unnamed.sort_unstable();
    unnamed.dedup();
    comments.extend(unnamed.into_iter().map(|(module, why)| {
        let mut comment = String::from("note: ");
        if let Some(module) = module {
            super::escape::push_name(&mut comment, module.as_bytes());
            comment.push_str(": ");
        }
        comment.push_str(stack::reason(why));
        comment
    }));
    comments
}

fn frames(key: &KeyValue) -> impl Iterator<Item = &Frame> {
    let stack = match key {
        KeyValue::Stack(stack) => Some(stack),
        _ => None,
    };
    stack.into_iter().flat_map(|stack| stack.kernel.iter().chain(&stack.user))
}

fn unnamed(frame: &Frame) -> Option<(Option<&str>, Unknown)> {
    match &frame.place {
        Place::Symbol { .. } => None,
        Place::Offset { module, why, .. } => Some((Some(module), *why)),
        Place::Address { why } => Some((None, *why)),
    }
}

#[cfg(test)]
mod tests;
