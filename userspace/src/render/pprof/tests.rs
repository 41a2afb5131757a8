use std::io::Read;

use flate2::read::GzDecoder;

use super::*;
use crate::render::sample;

/// Renders, unpacks and decodes.
fn decode(report: &Report) -> Profile {
    let mut out = Vec::new();
    write(report, &mut out).expect("a vector takes all bytes");
    let mut bytes = Vec::new();
    GzDecoder::new(out.as_slice()).read_to_end(&mut bytes).expect("gzip");
    Profile::decode(bytes.as_slice()).expect("a profile")
}

impl Profile {
    fn text(&self, index: i64) -> &str {
        &self.string_table[usize::try_from(index).expect("an index")]
    }

    fn types(&self) -> Vec<(&str, &str)> {
        self.sample_type.iter().map(|ty| (self.text(ty.r#type), self.text(ty.unit))).collect()
    }

    /// Function names with their lines, leaf first.
    fn stack(&self, sample: &Sample) -> Vec<(&str, i64)> {
        let location = |id: &u64| self.location.iter().find(|location| location.id == *id).expect("a known place");
        let name = |line: &proto::Line| {
            let function = self.function.iter().find(|function| function.id == line.function_id);
            (self.text(function.expect("a known function").name), line.line)
        };
        sample.location_id.iter().flat_map(|id| &location(id).line).map(name).collect()
    }
}

#[test]
fn a_profile_has_a_sample_type_for_each_column_that_adds_up() {
    let profile = decode(&sample::report());
    assert_eq!(profile.types(), [("samples", "count"), ("cpu", "nanoseconds")]);
    let sum = |index: usize| profile.sample.iter().map(|sample| sample.value[index]).sum::<i64>();
    assert_eq!((sum(0), sum(1)), (427, 4_270_000_000));
    assert_eq!(profile.text(profile.default_sample_type), "samples");
}

#[test]
fn stacks_are_leaf_first_with_inlined_functions_and_marks() {
    let profile = decode(&sample::report());
    let stacks: Vec<_> = profile.sample.iter().map(|sample| profile.stack(sample)).collect();
    assert_eq!(stacks[0], [("tcp_sendmsg", 0), ("main", 0)]);
    assert_eq!(stacks[1], [("digit", 3), ("parse", 12), ("main", 0)]);
    assert_eq!(stacks[2][0].0, "<script>alert(\"&\")</script>\\x1b[31m\u{ffff} 42");
    assert_eq!(stacks[3], [("[libx.so+0x1234]", 0), ("[broken]", 0)]);
    assert_eq!(stacks[4], [("<other>", 0)]);
}

#[test]
fn places_functions_and_modules_are_there_once() {
    let profile = decode(&sample::report());
    let modules: Vec<_> = profile.mapping.iter().map(|mapping| profile.text(mapping.filename)).collect();
    assert_eq!(modules, ["app", "vmlinux", "libx.so"]);
    let mut names: Vec<_> = profile.function.iter().map(|function| profile.text(function.name)).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    let mut strings = profile.string_table.clone();
    strings.sort_unstable();
    strings.dedup();
    assert_eq!(strings.len(), profile.string_table.len());
    assert_eq!(profile.string_table[0], "");
}

// CPU 0 too: readers drop a label that is all zero.
#[test]
fn other_keys_are_labels() {
    let profile = decode(&sample::report());
    let labels = |index: usize| {
        let label = |label: &proto::Label| (profile.text(label.key), profile.text(label.str), label.num);
        profile.sample[index].label.iter().map(label).collect::<Vec<_>>()
    };
    assert_eq!(labels(0), [("comm", "nginx", 0), ("cpu", "", 0)]);
    assert_eq!(labels(2), [("comm", "nginx", 0), ("cpu", "", 1)]);
    assert_eq!(profile.text(profile.sample[0].label[1].num_unit), "cpu");
}

#[test]
fn comments_say_what_was_lost_and_what_has_no_name() {
    let profile = decode(&sample::report());
    let comments: Vec<_> = profile.comment.iter().map(|comment| profile.text(*comment)).collect();
    assert_eq!(
        comments,
        [
            "lost: 3 samples counted under `<other>`: the table is full at 4 keys",
            "try:  --max-keys 40k",
            "note: libx.so: no symbols for these places (stripped)",
        ]
    );
}

#[test]
fn the_period_is_that_of_the_samples_where_there_is_one() {
    let mut report = sample::report();
    let period = |profile: &Profile| {
        let ty = profile.period_type.unwrap();
        (profile.text(ty.r#type).to_owned(), profile.text(ty.unit).to_owned(), profile.period)
    };
    assert_eq!(period(&decode(&report)), ("samples".into(), "count".into(), 1));
    report.sample_period_ns = Some(10_101_010);
    let profile = decode(&report);
    assert_eq!(period(&profile), ("cpu".into(), "nanoseconds".into(), 10_101_010));
    assert_eq!((profile.time_nanos, profile.duration_nanos), (1_700_000_000_000_000_000, 5_000_000_000));
}

#[test]
fn numbers_beyond_64_bits_stay_at_the_limit() {
    let mut report = sample::report();
    report.aggregation.rows[0].values[0] = Value::Int(1 << 70);
    assert_eq!(decode(&report).sample[0].value[0], i64::MAX);
}

#[test]
fn a_report_without_rows_is_a_profile_without_samples() {
    let mut report = sample::report();
    report.aggregation = crate::merge::value::Aggregation::default();
    let profile = decode(&report);
    assert_eq!((profile.sample.len(), profile.types()), (0, vec![("samples", "count")]));
}

#[test]
fn columns_of_which_none_adds_up_are_refused() {
    let mut report = sample::report();
    report.values.drain(..2);
    report.aggregation.rows.iter_mut().for_each(|row| drop(row.values.drain(..2)));
    assert_eq!(profile(&report).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}
