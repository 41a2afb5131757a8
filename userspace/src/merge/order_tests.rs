use proptest::prelude::*;

use super::*;
use crate::symbolize::frame::{Place, Unknown};

fn ascending(by: SortBy) -> Order {
    Order { by, direction: Direction::Asc, top: None }
}

fn descending(by: SortBy, top: Option<usize>) -> Order {
    Order { by, direction: Direction::Desc, top }
}

fn text(text: &str) -> KeyValue {
    KeyValue::Text(text.into())
}

fn table<const N: usize>(rows: [(KeyValue, Vec<Value>); N]) -> Aggregation {
    Aggregation { rows: rows.into_iter().map(|(key, values)| Row { keys: vec![key], values }).collect(), other: None }
}

fn keys(aggregation: &Aggregation) -> Vec<String> {
    let name = |key: &KeyValue| match key {
        KeyValue::Unsigned(n) => n.to_string(),
        KeyValue::Signed(n) => n.to_string(),
        KeyValue::Text(text) => String::from_utf8_lossy(text).into_owned(),
        KeyValue::Named { name, .. } => name.clone(),
        KeyValue::Stack(stack) => format!("{stack:?}"),
    };
    aggregation.rows.iter().map(|row| row.keys.iter().map(name).collect::<Vec<_>>().join(",")).collect()
}

fn quantized(values: &[(usize, u64)]) -> Value {
    let mut buckets = vec![0; 127];
    values.iter().for_each(|(index, count)| buckets[*index] = *count);
    Value::Quantize(buckets)
}

#[test]
fn smaller_values_come_first_and_ties_go_by_key() {
    let mut rows = table([
        (text("zeta"), vec![Value::Int(1)]),
        (text("beta"), vec![Value::Int(2)]),
        (text("alpha"), vec![Value::Int(1)]),
    ]);
    arrange(&mut rows, ascending(SortBy::Value));
    assert_eq!(keys(&rows), ["alpha", "zeta", "beta"]);
    arrange(&mut rows, descending(SortBy::Value, None));
    assert_eq!(keys(&rows), ["beta", "alpha", "zeta"]);
}

#[test]
fn numbers_that_fit_64_bits_and_those_that_do_not_come_in_one_order() {
    let number = |n: i128| (text(&n.to_string()), vec![Value::Int(n)]);
    let smallest = i128::from(i64::MIN);
    let unknown = (text("unknown"), vec![Value::Maybe(None)]);
    let mut rows = table([number(5), number(smallest + 1), number(-5), unknown.clone()]);
    arrange(&mut rows, ascending(SortBy::Value));
    assert_eq!(keys(&rows), ["unknown", "-9223372036854775807", "-5", "5"]);
    let mut rows = table([number(5), number(smallest), number(1 << 100), unknown]);
    arrange(&mut rows, ascending(SortBy::Value));
    assert_eq!(keys(&rows), ["unknown", "-9223372036854775808", "5", "1267650600228229401496703205376"]);
}

#[test]
fn the_second_column_decides_where_the_first_is_equal() {
    let mut rows = table([
        (text("a"), vec![Value::Int(1), Value::Maybe(Some(9))]),
        (text("b"), vec![Value::Int(1), Value::Maybe(None)]),
        (text("c"), vec![Value::Int(1), Value::Maybe(Some(-3))]),
    ]);
    arrange(&mut rows, ascending(SortBy::Value));
    assert_eq!(keys(&rows), ["b", "c", "a"]);
}

// Not dtrace's order, which compares the bits: -2 and -1 after 2 (golden tst.signedkeys.r).
#[test]
fn signed_keys_are_in_numerical_order() {
    let one = || vec![Value::Int(1)];
    let mut rows = table([
        (KeyValue::Signed(1), one()),
        (KeyValue::Signed(-2), one()),
        (KeyValue::Signed(i64::MIN), one()),
        (KeyValue::Signed(0), one()),
    ]);
    arrange(&mut rows, ascending(SortBy::Value));
    assert_eq!(keys(&rows), ["-9223372036854775808", "-2", "0", "1"]);
}

#[test]
fn names_sort_as_names_and_numbers_as_numbers() {
    let named = |value, name: &str| KeyValue::Named { value, name: name.into() };
    let mut rows = table([(named(0, "read"), vec![]), (named(1, "write"), vec![]), (named(257, "openat"), vec![])]);
    arrange(&mut rows, ascending(SortBy::Key));
    assert_eq!(keys(&rows), ["openat", "read", "write"]);
    let mut rows = table([10, 9, u64::MAX].map(|n| (KeyValue::Unsigned(n), vec![])));
    arrange(&mut rows, descending(SortBy::Key, None));
    assert_eq!(keys(&rows), ["18446744073709551615", "10", "9"]);
}

// -4 + 7 = 3 as the weight of {-4, 7 times 1}; equal sums are decided by the count at zero.
#[test]
fn quantize_compares_weighted_sums_and_then_the_zero_bucket() {
    let mut rows = table([
        (text("third"), vec![quantized(&[(64, 7)])]),
        (text("zero"), vec![quantized(&[(63, 100)])]),
        (text("second"), vec![quantized(&[(60, 1), (64, 7), (63, 1)])]),
        (text("first"), vec![quantized(&[(60, 1), (64, 7)])]),
    ]);
    arrange(&mut rows, ascending(SortBy::Value));
    assert_eq!(keys(&rows), ["zero", "first", "second", "third"]);
}

#[test]
fn lquantize_weighs_the_end_buckets_one_beyond_the_limits() {
    let value = |buckets: [u64; 5]| vec![Value::Lquantize { lower: 10, step: 10, buckets: buckets.into() }];
    assert_eq!(value([1, 0, 0, 0, 0])[0].weight(), (9, 0));
    assert_eq!(value([0, 1, 0, 0, 0])[0].weight(), (10, 0));
    assert_eq!(value([0, 0, 0, 0, 1])[0].weight(), (41, 0));
}

#[test]
fn top_keeps_the_largest_in_both_directions_and_counts_the_rest() {
    let rows = || table([3, 1, 5, 4, 2].map(|n| (KeyValue::Unsigned(n), vec![Value::Int(i128::from(n))])));
    for (by, direction, expected) in [
        (SortBy::Value, Direction::Asc, ["4", "5"]),
        (SortBy::Value, Direction::Desc, ["5", "4"]),
        (SortBy::Key, Direction::Asc, ["4", "5"]),
    ] {
        let mut rows = rows();
        let arranged = arrange(&mut rows, Order { by, direction, top: Some(2) });
        assert_eq!(keys(&rows), expected);
        assert_eq!(arranged.left_out, 3);
        assert_eq!(arranged.totals, [Some(Value::Int(15))]);
    }
    assert_eq!(arrange(&mut rows(), descending(SortBy::Value, Some(0))).left_out, 0);
    assert_eq!(arrange(&mut rows(), descending(SortBy::Value, Some(5))).left_out, 0);
}

#[test]
fn totals_include_other_and_leave_out_what_does_not_add_up() {
    let values = |n| vec![Value::Int(n), Value::Maybe(Some(n)), Value::Avg { sum: n, count: 2 }];
    let mut rows = table([(text("a"), values(1)), (text("b"), values(2))]);
    rows.other = Some(values(10));
    let totals = arrange(&mut rows, ascending(SortBy::Value)).totals;
    assert_eq!(totals, [Some(Value::Int(13)), None, Some(Value::Avg { sum: 13, count: 6 })]);
}

// Addresses change from run to run; the order of a report does not.
#[test]
fn stacks_go_by_the_names_from_the_root_and_then_by_address() {
    let frame = |name: &str, address| Frame {
        address,
        place: Place::Symbol { module: "app".into(), name: name.into(), offset: 0 },
        source: None,
        inlined: Vec::new(),
    };
    let stack = |user: &[(&str, u64)]| {
        let user = user.iter().map(|(name, address)| frame(name, *address)).collect();
        KeyValue::Stack(Arc::new(Stack { user, ..Stack::default() }))
    };
    // Leaf first, as stacks are.
    let ordered = [
        stack(&[]),
        stack(&[("main", 5)]),
        stack(&[("z", 1), ("alpha", 9), ("main", 5)]),
        stack(&[("a", 1), ("beta", 1), ("main", 5)]),
        stack(&[("a", 1), ("beta", 2), ("main", 5)]),
    ];
    for (index, key) in ordered.iter().enumerate() {
        for (other_index, other) in ordered.iter().enumerate() {
            let found = compare_keys(std::slice::from_ref(key), std::slice::from_ref(other));
            assert_eq!(found, index.cmp(&other_index), "{index} {other_index}");
        }
    }
}

fn any_key() -> impl Strategy<Value = KeyValue> {
    prop_oneof![
        (0..4_u64).prop_map(KeyValue::Unsigned),
        (-2..3_i64).prop_map(KeyValue::Signed),
        "[ab]{0,2}".prop_map(|s| KeyValue::Text(s.into())),
        (0..2_u64, "[ab]").prop_map(|(value, name)| KeyValue::Named { value, name }),
        any_stack().prop_map(|stack| KeyValue::Stack(Arc::new(stack))),
    ]
}

fn any_stack() -> impl Strategy<Value = Stack> {
    let symbol = "[ab]".prop_map(|name| Place::Symbol { module: "app".into(), name, offset: 0 });
    let place = prop_oneof![symbol, Just(Place::Address { why: Unknown::NoMapping })];
    let frame =
        (place, 0..2_u64).prop_map(|(place, address)| Frame { address, place, source: None, inlined: Vec::new() });
    let half = || proptest::collection::vec(frame.clone(), 0..2);
    (half(), half(), any::<[bool; 5]>()).prop_map(|(kernel, user, marks)| Stack {
        kernel,
        user,
        kernel_cut: marks[0],
        user_cut: marks[1],
        user_broken: marks[2],
        kernel_lost: marks[3],
        user_lost: marks[4],
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-2..3_i128).prop_map(Value::Int),
        proptest::option::of(-2..3_i128).prop_map(Value::Maybe),
        (-5..5_i128, 0..3_u64).prop_map(|(sum, count)| Value::Avg { sum, count }),
        proptest::collection::vec(0..2_u64, 127).prop_map(Value::Quantize),
    ]
}

fn any_rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (proptest::collection::vec(any_key(), 2), proptest::collection::vec(any_value(), 0..3))
        .prop_map(|(keys, values)| Row { keys, values });
    proptest::collection::vec(row, 0..24).prop_map(|mut rows| {
        // An aggregation has no key twice.
        rows.sort_by(|a, b| compare_keys(&a.keys, &b.keys));
        rows.dedup_by(|a, b| a.keys == b.keys);
        rows
    })
}

fn any_order() -> impl Strategy<Value = Order> {
    let by = prop_oneof![Just(SortBy::Value), Just(SortBy::Key)];
    let direction = prop_oneof![Just(Direction::Asc), Just(Direction::Desc)];
    (by, direction, proptest::option::of(0..30_usize)).prop_map(|(by, direction, top)| Order { by, direction, top })
}

proptest! {
    #[test]
    fn any_permutation_of_the_rows_is_printed_in_the_same_order(
        (rows, shuffled) in any_rows().prop_flat_map(|rows| (Just(rows.clone()), Just(rows).prop_shuffle())),
        order in any_order(),
    ) {
        let mut one = Aggregation { rows, other: None };
        let mut two = Aggregation { rows: shuffled, other: None };
        let first = arrange(&mut one, order);
        let second = arrange(&mut two, order);
        prop_assert_eq!(one, two);
        prop_assert_eq!(first.left_out, second.left_out);
    }

    #[test]
    fn the_order_of_keys_is_total(a in any_key(), b in any_key(), c in any_key()) {
        prop_assert_eq!(compare_key(&a, &b), compare_key(&b, &a).reverse());
        prop_assert_eq!(compare_key(&a, &b).is_eq(), a == b);
        if compare_key(&a, &b).is_le() && compare_key(&b, &c).is_le() {
            prop_assert!(compare_key(&a, &c).is_le());
        }
    }

    #[test]
    fn top_leaves_out_only_what_is_not_larger(rows in any_rows(), top in 1..10_usize) {
        let mut all = Aggregation { rows, other: None };
        let mut some = all.clone();
        arrange(&mut all, descending(SortBy::Value, None));
        let left_out = arrange(&mut some, descending(SortBy::Value, Some(top))).left_out;
        prop_assert_eq!(&all.rows[..some.rows.len()], &some.rows[..]);
        prop_assert_eq!(left_out as usize, all.rows.len() - some.rows.len());
    }
}
