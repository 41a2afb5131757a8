//! What one aggregating function came to for one key, merged over all CPUs.
use std::sync::Arc;

use crate::symbolize::frame::Stack;

/// A number that cannot be known prints as unknown (`-` in text, null in JSON), never as 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// count, sum: exact.
    Int(i128),
    /// min, max, percentiles: nothing where no firing came.
    Maybe(Option<i128>),
    /// Integer average as dtrace's: truncated sum / count; 0 where no firing came.
    Avg {
        sum: i128,
        count: u64,
    },
    Stddev {
        sum: i128,
        squares: u128,
        count: u64,
    },
    /// No number but a name, such as of the function that took most; nothing where it is not known.
    Name(Option<String>),
    /// 127 buckets, index 63 holds value 0 (dtrace's quantize).
    Quantize(Vec<u64>),
    /// Buckets: under `lower`, then one a step, then `lower + levels * step` and above.
    Lquantize {
        lower: i32,
        step: u16,
        buckets: Vec<u64>,
    },
    /// Buckets as `program::buckets` numbers them.
    Llquantize {
        factor: u16,
        lmag: u16,
        hmag: u16,
        steps: u16,
        signed: bool,
        buckets: Vec<u64>,
    },
}

/// A value of one key column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyValue {
    Unsigned(u64),
    Signed(i64),
    /// Text as other programs gave it: may hold anything; escaped when it is rendered.
    Text(Vec<u8>),
    /// A number that has a name (a system call, an errno); the number keeps the order.
    Named {
        value: u64,
        name: String,
    },
    /// Shared: rows of several threads hold the same one.
    Stack(Arc<Stack>),
}

/// Rows of one moment: keys with their values, in no order yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Aggregation {
    pub rows: Vec<Row>,
    /// Firings that found the table full: their values, under `<other>`. None where there were none.
    pub other: Option<Vec<Value>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub keys: Vec<KeyValue>,
    /// One a column, in the clause's order.
    pub values: Vec<Value>,
}
