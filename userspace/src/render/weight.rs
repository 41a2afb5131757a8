//! The columns that stacks can be drawn by: those that add up when stacks come together.
use std::io;

use super::report::Report;
use crate::merge::value::Value;
use crate::program::field::Unit;

pub struct Weight {
    pub column: usize,
    pub title: String,
    pub unit: Unit,
}

/// All columns that add up, in their order.
///
/// Errors: there are rows, and nothing in them adds up. The command line refuses that before anything is traced.
pub fn weights(report: &Report) -> io::Result<Vec<Weight>> {
    let rows = report.aggregation.rows.first().map(|row| &row.values);
    let Some(sample) = rows.or(report.aggregation.other.as_ref()) else { return Ok(Vec::new()) };
    let weights: Vec<Weight> = report
        .values
        .iter()
        .zip(sample)
        .enumerate()
        .filter(|(_, (_, value))| addend(value).is_some())
        .map(|(column, (description, value))| match value {
            Value::Int(_) => Weight { column, title: description.title.clone(), unit: description.unit },
            _ => Weight { column, title: format!("count of {}", description.title), unit: Unit::None },
        })
        .collect();
    if weights.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no column adds up over stacks: count() and sum() do"));
    }
    Ok(weights)
}

/// What the value adds: a count or a sum itself; of an average or a histogram, whose number would say nothing of two
/// stacks together, the firings behind it.
pub fn addend(value: &Value) -> Option<i128> {
    match value {
        Value::Int(n) => Some(*n),
        Value::Maybe(_) | Value::Name(_) => None,
        Value::Avg { count, .. } | Value::Stddev { count, .. } => Some((*count).into()),
        Value::Quantize(buckets) | Value::Lquantize { buckets, .. } | Value::Llquantize { buckets, .. } => {
            Some(buckets.iter().map(|count| i128::from(*count)).sum())
        }
    }
}
