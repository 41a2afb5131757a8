//! The receive buffer of a socket that the kernel did not name with what it lost: before 6.11 it names none, and later
//! none for what was lost at the reader. How full it was then nobody knows any more.
use std::collections::HashMap;

use crate::merge::value::Value;
use crate::program::tree::{Column, Expr, Function, Node};

/// Columns of a report that tell of it.
pub struct Buffers {
    rcvbuf: Vec<usize>,
    fill: Vec<usize>,
    /// As the sockets of a row say now, by the row's number.
    now: HashMap<u64, u32>,
}

impl Buffers {
    pub fn new(columns: &[Column]) -> Buffers {
        let of = |name: &str| {
            let at = columns.iter().enumerate().filter(|(_, column)| field(&column.function) == Some(name));
            at.map(|(at, _)| at).collect()
        };
        Buffers { rcvbuf: of("rcvbuf"), fill: of("fill"), now: HashMap::new() }
    }

    pub fn are_shown(&self) -> bool {
        !self.rcvbuf.is_empty() || !self.fill.is_empty()
    }

    /// Sockets of a row have these buffers.
    pub fn note(&mut self, row: u64, buffers: impl Iterator<Item = u32>) {
        if let Some(largest) = buffers.max() {
            let now = self.now.entry(row).or_default();
            *now = largest.max(*now);
        }
    }

    /// In place of a 0 that stands for a socket that was not named. None: a row without sockets.
    pub fn complete(&self, row: Option<u64>, values: &mut [Value]) {
        // No buffer of a socket has 0 bytes, but it may be empty.
        let untold = |values: &[Value], columns: &[usize]| columns.iter().all(|at| is_0(&values[*at]));
        let told = if self.rcvbuf.is_empty() { &self.fill } else { &self.rcvbuf };
        if untold(values, told) {
            self.fill.iter().for_each(|at| values[*at] = Value::Maybe(None));
        }
        let now = row.and_then(|row| self.now.get(&row)).map(|bytes| i128::from(*bytes));
        for at in &self.rcvbuf {
            if is_0(&values[*at]) {
                values[*at] = Value::Maybe(now);
            }
        }
    }
}

/// What is one of the values that it is made of: a sum is none.
fn field(function: &Function) -> Option<&'static str> {
    match function {
        Function::Max(arg) | Function::Min(arg) | Function::Avg(arg) | Function::Percentile { arg, .. } => match arg {
            Expr { node: Node::Field(field), .. } => Some(field.name),
            _ => None,
        },
        _ => None,
    }
}

fn is_0(value: &Value) -> bool {
    matches!(value, Value::Maybe(Some(0)) | Value::Avg { sum: 0, .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::field::{Field, Kind, Source, Unit};
    use crate::program::tree::Type;

    const fn bytes(name: &'static str) -> Field {
        let source = Source::Firing { offset: 0, size: 4 };
        let kind = Kind::Number(Type::Unsigned);
        Field { name, kind, unit: Unit::Bytes, source, domain: 0, facts: 0, doc: "" }
    }

    static RCVBUF: Field = bytes("rcvbuf");
    static FILL: Field = bytes("fill");

    fn columns(of: &[fn(Expr) -> Function], fields: &[&'static Field]) -> Vec<Column> {
        let column = |(function, field): (&fn(Expr) -> Function, &&'static Field)| Column {
            name: String::new(),
            unit: Unit::Bytes,
            function: function(Expr { node: Node::Field(field), ty: Type::Unsigned }),
        };
        of.iter().zip(fields).map(column).collect()
    }

    fn completed(buffers: &Buffers, row: Option<u64>, values: &[Value]) -> Vec<Value> {
        let mut values = values.to_vec();
        buffers.complete(row, &mut values);
        values
    }

    const fn some(number: i128) -> Value {
        Value::Maybe(Some(number))
    }

    #[test]
    fn a_socket_that_was_not_named_has_the_buffer_of_the_one_that_is_there() {
        let mut buffers = Buffers::new(&columns(&[Function::Max, Function::Max], &[&RCVBUF, &FILL]));
        buffers.note(7, [4608, 8192].into_iter());
        buffers.note(7, [2304].into_iter());
        buffers.note(8, [].into_iter());
        let untold = [some(0), some(0)];
        assert_eq!(completed(&buffers, Some(7), &untold), [some(8192), Value::Maybe(None)]);
        for nobodys in [Some(8), Some(9), None] {
            assert_eq!(completed(&buffers, nobodys, &untold), [Value::Maybe(None), Value::Maybe(None)]);
        }
    }

    #[test]
    fn what_the_kernel_told_stays() {
        let mut buffers = Buffers::new(&columns(&[Function::Max, Function::Min], &[&RCVBUF, &FILL]));
        buffers.note(7, [8192].into_iter());
        for told in [[some(4608), some(0)], [some(4608), some(4000)]] {
            assert_eq!(completed(&buffers, Some(7), &told), told);
        }
    }

    #[test]
    fn columns_of_other_things_are_left_alone() {
        let buffers = Buffers::new(&columns(&[Function::Sum, Function::Quantize], &[&RCVBUF, &FILL]));
        assert!(!buffers.are_shown());
        assert_eq!(completed(&buffers, Some(7), &[Value::Int(0), some(0)]), [Value::Int(0), some(0)]);
        let fill = Buffers::new(&columns(&[Function::Avg], &[&FILL]));
        assert_eq!(completed(&fill, Some(7), &[Value::Avg { sum: 0, count: 3 }]), [Value::Maybe(None)]);
    }
}
