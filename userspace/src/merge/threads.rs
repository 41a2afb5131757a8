//! One line a thread, of what three providers tell of it: where its time went, where it was sampled, how often it called.
use std::collections::HashMap;

use super::value::{KeyValue, Row, Value};

/// Process and thread.
pub type Id = (u64, u64);

/// Where a thread's time went, under one of its names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Times {
    pub comm: Vec<u8>,
    pub oncpu_ns: i128,
    pub runnable_ns: i128,
    pub blocked_ns: i128,
    pub voluntary: i128,
    pub involuntary: i128,
}

/// Samples of a thread in one function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    pub in_kernel: bool,
    pub function: String,
    pub count: u64,
}

/// A line for each thread that has times. The columns are those of the command `threads`, in its order.
///
/// Only samples tell time in the kernel from time in the process: where there are none, both are unknown.
pub fn lines(
    times: impl IntoIterator<Item = (Id, Times)>,
    samples: &HashMap<Id, Vec<Samples>>,
    calls: &HashMap<Id, u64>,
) -> Vec<Row> {
    // A thread that changed its name has times under both: it is one thread, and has the name that it had longest.
    let mut threads: HashMap<Id, (Times, i128)> = HashMap::new();
    for (id, part) in times {
        let all = part.oncpu_ns + part.runnable_ns + part.blocked_ns;
        let (sum, longest) = threads.entry(id).or_insert_with(|| (Times::default(), -1));
        sum.oncpu_ns += part.oncpu_ns;
        sum.runnable_ns += part.runnable_ns;
        sum.blocked_ns += part.blocked_ns;
        sum.voluntary += part.voluntary;
        sum.involuntary += part.involuntary;
        if all > *longest {
            (sum.comm, *longest) = (part.comm, all);
        }
    }
    let line = |(id, (times, _)): (Id, (Times, i128))| {
        let of_thread = samples.get(&id).map(Vec::as_slice).unwrap_or_default();
        Row {
            keys: vec![KeyValue::Unsigned(id.0), KeyValue::Unsigned(id.1), KeyValue::Text(times.comm.clone())],
            values: values(&times, of_thread, Some(calls.get(&id).copied().unwrap_or(0))),
        }
    };
    threads.into_iter().map(line).collect()
}

/// The columns of one line.
pub fn values(times: &Times, samples: &[Samples], calls: Option<u64>) -> Vec<Value> {
    let all: u64 = samples.iter().map(|sampled| sampled.count).sum();
    let in_kernel: u64 = samples.iter().filter(|sampled| sampled.in_kernel).map(|sampled| sampled.count).sum();
    let kernel_ns = (all > 0).then(|| times.oncpu_ns * i128::from(in_kernel) / i128::from(all.max(1)));
    // The first of the largest, by name: the same one in the next run.
    let hottest = samples.iter().max_by(|a, b| a.count.cmp(&b.count).then_with(|| b.function.cmp(&a.function)));
    vec![
        Value::Int(times.oncpu_ns),
        Value::Maybe(kernel_ns.map(|kernel_ns| times.oncpu_ns - kernel_ns)),
        Value::Maybe(kernel_ns),
        Value::Int(times.runnable_ns),
        Value::Int(times.blocked_ns),
        Value::Int(times.voluntary),
        Value::Int(times.involuntary),
        calls.map_or(Value::Maybe(None), |calls| Value::Int(calls.into())),
        Value::Name(hottest.map(|sampled| sampled.function.clone())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(comm: &str, oncpu_ns: i128, blocked_ns: i128) -> Times {
        Times { comm: comm.into(), oncpu_ns, blocked_ns, ..Times::default() }
    }

    fn samples(in_kernel: bool, function: &str, count: u64) -> Samples {
        Samples { in_kernel, function: function.to_owned(), count }
    }

    #[test]
    fn time_on_the_cpu_is_divided_as_the_samples_are() {
        let samples = [samples(false, "app`work", 3), samples(true, "vmlinux`copy", 1), samples(false, "app`idle", 0)];
        let values = values(&times("app", 1_001, 7), &samples, Some(5));
        assert_eq!(values[..3], [Value::Int(1_001), Value::Maybe(Some(751)), Value::Maybe(Some(250))]);
        assert_eq!(values[7..], [Value::Int(5), Value::Name(Some("app`work".to_owned()))]);
    }

    #[test]
    fn without_a_sample_only_the_sum_is_known() {
        let values = values(&times("app", 1_000, 0), &[], Some(0));
        assert_eq!(values[..3], [Value::Int(1_000), Value::Maybe(None), Value::Maybe(None)]);
        assert_eq!(values[8], Value::Name(None));
    }

    #[test]
    fn thread_that_changed_its_name_is_one_line() {
        let id = (7, 8);
        let parts = [(id, times("before", 10, 0)), (id, times("after", 30, 5)), (id, times("short", 1, 0))];
        let lines = lines(parts, &HashMap::new(), &HashMap::from([(id, 3)]));
        assert_eq!(lines.len(), 1);
        let name = KeyValue::Text("after".into());
        assert_eq!(lines[0].keys, [KeyValue::Unsigned(7), KeyValue::Unsigned(8), name]);
        assert_eq!((&lines[0].values[0], &lines[0].values[4]), (&Value::Int(41), &Value::Int(5)));
    }

    #[test]
    fn of_functions_with_as_many_samples_the_first_by_name_is_the_hottest() {
        let samples = [samples(false, "b", 2), samples(false, "a", 2)];
        assert_eq!(values(&Times::default(), &samples, None)[8], Value::Name(Some("a".to_owned())));
    }
}
