//! Aggregating functions on values that are known: arg0 of getppid, results of lseek.
use spoor_tests::{Context, Result, counts_in, ensure_eq, spoor, syscalls};

crate::tests![
    count_sum_avg_min_max_and_stddev,
    min_and_max_of_negative_results,
    percentiles_of_negative_results,
    sum_of_more_than_64_bits_is_exact,
    unsigned_extremes,
    quantize_puts_each_value_in_its_bucket,
    quantize_of_results_has_negative_buckets,
    quantize_of_a_cast_has_the_casts_buckets,
    lquantize_has_ends,
    llquantize_by_magnitude,
    every_value_is_in_a_bucket,
    json_buckets_hold_every_value,
    keys_of_an_aggregation_are_sorted_as_dtrace_does,
    top_keeps_the_largest,
    sort_orders,
    rows_too_wide_for_a_cpu_of_their_own_are_counted_exactly,
];

const GETPPID: &str = "syscall == \"getppid\"";
const LSEEK: &str = "syscall == \"lseek\"";

fn one(function: &str, condition: &str, work: &[&str]) -> Result<i64> {
    let run = syscalls(&["--by", "syscall", "--agg", function, "--where", condition]).attached_to(work)?;
    let rows = run.report()?.rows()?;
    ensure_eq!(rows.len(), 1, "rows of {run}");
    rows[0].value(function).with_context(|| run.to_string())
}

/// 2 4 4 4 5 5 7 9: the sum is 40, the mean 5, the deviation 2.
fn count_sum_avg_min_max_and_stddev() -> Result<()> {
    let work = ["values", "2", "4", "4", "4", "5", "5", "7", "9"];
    for (function, value) in
        [("count()", 8), ("sum(arg0)", 40), ("avg(arg0)", 5), ("min(arg0)", 2), ("max(arg0)", 9), ("stddev(arg0)", 2)]
    {
        // `count()` is the plain column.
        let name = if function == "count()" { "count" } else { function };
        let run = syscalls(&["--by", "syscall", "--agg", function, "--where", GETPPID]).attached_to(&work)?;
        let row = run.report()?.row(&[("syscall", "getppid")])?;
        let found = row.value(name).or_else(|_| row.value(function)).with_context(|| run.to_string())?;
        ensure_eq!(found, value, "{function} in {run}");
    }
    Ok(())
}

fn min_and_max_of_negative_results() -> Result<()> {
    let work = ["returns", "100", "-9", "3", "-29", "-22"];
    ensure_eq!(one("min(ret)", LSEEK, &work)?, -29, "min(ret)");
    ensure_eq!(one("max(ret)", LSEEK, &work)?, 100, "max(ret)");
    ensure_eq!(one("sum(ret)", LSEEK, &work)?, 43, "sum(ret)");
    // Truncated towards zero, as dtrace's integer division is.
    ensure_eq!(one("avg(ret)", LSEEK, &["returns", "-9", "-22", "-22"])?, -17, "avg(ret)");
    Ok(())
}

/// Exact up to 15 on both sides of zero; -29 is in the bucket of -29 and -28, -22 in that of -23 and -22.
fn percentiles_of_negative_results() -> Result<()> {
    let work = ["returns", "-29", "-22", "-9", "-9", "-9", "0", "3", "7", "11", "13"];
    for (function, value) in
        [("p10(ret)", -28), ("p20(ret)", -22), ("p50(ret)", -9), ("p90(ret)", 11), ("p99(ret)", 13)]
    {
        ensure_eq!(one(function, LSEEK, &work)?, value, "{function}");
    }
    Ok(())
}

/// i64::MAX twice, and 3: 2^64 + 1, which JSON readers would round, hence a string.
fn sum_of_more_than_64_bits_is_exact() -> Result<()> {
    let max = i64::MAX.to_string();
    let function = ["--by", "syscall", "--agg", "sum(ret)", "--where", LSEEK];
    let run = syscalls(&function).attached_to(&["returns", &max, &max, "3"])?;
    let row = run.report()?.row(&[("syscall", "lseek")])?;
    ensure_eq!(row.values["sum(ret)"], "18446744073709551617", "sum(ret) in {run}");
    Ok(())
}

/// Arguments are unsigned: -1 is the largest there is.
fn unsigned_extremes() -> Result<()> {
    let work = ["values", "7", "-1", "9"];
    ensure_eq!(one("min(arg0)", GETPPID, &work)?, 7, "min(arg0)");
    let run = syscalls(&["--by", "syscall", "--agg", "max(arg0)", "--where", GETPPID]).attached_to(&work)?;
    let row = run.report()?.row(&[("syscall", "getppid")])?;
    ensure_eq!(row.values["max(arg0)"].as_u64(), Some(u64::MAX), "max(arg0) in {run}");
    Ok(())
}

/// dtrace's block, byte for byte (output-conventions.md 4.1, 4.2): labels and counts in, text out.
fn block(key: &str, buckets: &[(&str, u64)]) -> String {
    let total: u64 = buckets.iter().map(|(_, count)| count).sum();
    let mut text =
        format!("  {key:<50}\n{:>16} {:>41} {:<9}\n", "value", "------------- Distribution -------------", "count");
    for (label, count) in buckets {
        let bar = "@".repeat((*count as f64 * 40.0 / total as f64 + 0.5) as usize);
        text += &format!("{label:>16} |{bar:<40} {count:<9}\n");
    }
    text + "\n"
}

fn prints(function: &str, condition: &str, work: &[&str], block: &str) -> Result<()> {
    let run = spoor(&["syscalls", "--by", "syscall", "--agg", function, "--where", condition]).attached_to(work)?;
    ensure_eq!(run.code(), 0, "status of {run}");
    spoor_tests::ensure!(run.stdout.contains(block), "not as dtrace prints it; wanted\n{block}\ngot\n{}", run.stdout);
    Ok(())
}

fn quantize_puts_each_value_in_its_bucket() -> Result<()> {
    let wanted = block("getppid", &[("-1", 0), ("0", 1), ("1", 1), ("2", 2), ("4", 4), ("8", 2), ("16", 0)]);
    prints("quantize(arg0)", GETPPID, &["range", "10"], &wanted)
}

/// -29 is in -16's bucket, -9 in -8's.
fn quantize_of_results_has_negative_buckets() -> Result<()> {
    let wanted = block(
        "lseek",
        &[
            ("-32", 0),
            ("-16", 2),
            ("-8", 1),
            ("-4", 0),
            ("-2", 0),
            ("-1", 0),
            ("0", 1),
            ("1", 1),
            ("2", 0),
            ("4", 1),
            ("8", 0),
        ],
    );
    let work = ["returns", "-29", "-22", "-9", "0", "1", "5"];
    prints("quantize(ret)", LSEEK, &work, &wanted)?;
    prints("quantize((i32)ret)", LSEEK, &work, &wanted)
}

/// The same results without their signs, and arguments with one.
fn quantize_of_a_cast_has_the_casts_buckets() -> Result<()> {
    let bytes = block(
        "lseek",
        &[
            ("-1", 0),
            ("0", 1),
            ("1", 0),
            ("2", 0),
            ("4", 0),
            ("8", 0),
            ("16", 0),
            ("32", 0),
            ("64", 0),
            ("128", 2),
            ("256", 0),
        ],
    );
    prints("quantize((u8)ret)", LSEEK, &["returns", "-29", "-9", "0"], &bytes)?;
    let signed = block(
        "getppid",
        &[("-8", 0), ("-4", 1), ("-2", 2), ("-1", 1), ("0", 1), ("1", 1), ("2", 2), ("4", 2), ("8", 0)],
    );
    prints("quantize((int)arg0 - 4)", GETPPID, &["range", "10"], &signed)
}

fn lquantize_has_ends() -> Result<()> {
    let wanted = block("getppid", &[("< 0", 0), ("0", 10), ("10", 10), ("20", 10), (">= 30", 70)]);
    prints("lquantize(arg0, 0, 30, 10)", GETPPID, &["range", "100"], &wanted)
}

/// dtrace's own example: llquantize(320, 10, 0, 5, 5).
fn llquantize_by_magnitude() -> Result<()> {
    let wanted = block("getppid", &[("100", 0), ("200", 2), ("400", 0)]);
    prints("llquantize(arg0, 10, 0, 5, 5)", GETPPID, &["values", "320", "320"], &wanted)
}

/// Powers of two, their neighbours, and both ends of 64 bits.
fn every_value_is_in_a_bucket() -> Result<()> {
    let values: Vec<i64> = (0..62).flat_map(|bit| [(1i64 << bit) - 1, 1 << bit]).collect();
    let words: Vec<String> = values.iter().map(i64::to_string).collect();
    let mut work = vec!["returns"];
    work.extend(words.iter().map(String::as_str));
    let mut buckets = vec![("-1".to_owned(), 0), ("0".to_owned(), 1)];
    for bit in 0..62u32 {
        let count = values.iter().filter(|value| **value > 0 && value.ilog2() == bit).count();
        buckets.push(((1i64 << bit).to_string(), count as u64));
    }
    buckets.push(((1i64 << 62).to_string(), 0));
    let buckets: Vec<(&str, u64)> = buckets.iter().map(|(label, count)| (label.as_str(), *count)).collect();
    prints("quantize(ret)", LSEEK, &work, &block("lseek", &buckets))
}

/// How buckets look in JSON is not laid down, but their counts are numbers named `count`.
fn json_buckets_hold_every_value() -> Result<()> {
    for function in ["quantize(arg0)", "lquantize(arg0, 0, 300, 7)", "llquantize(arg0, 10, 0, 3, 10)"] {
        let run =
            syscalls(&["--by", "syscall", "--agg", function, "--where", GETPPID]).attached_to(&["range", "1000"])?;
        let row = run.report()?.row(&[("syscall", "getppid")])?;
        let value = row.values.values().next().with_context(|| format!("no value in {run}"))?;
        ensure_eq!(counts_in(value), 1000, "{function} in {run}");
    }
    Ok(())
}

/// Value ascending, ties by key ascending; a table the other way round.
fn keys_of_an_aggregation_are_sorted_as_dtrace_does() -> Result<()> {
    let run = spoor(&["syscalls", "--agg", "sum(arg0)", "--by", "arg0", "--where", GETPPID])
        .attached_to(&["values", "30", "5", "5", "5", "15", "10"])?;
    let keys: Vec<u64> = run.stdout.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    let as_table = keys == [30, 5, 15, 10] || keys == [30, 15, 5, 10];
    spoor_tests::ensure!(keys == [10, 5, 15, 30] || as_table, "keys are {keys:?}: {run}");
    Ok(())
}

fn top_keeps_the_largest() -> Result<()> {
    for order in ["--desc", "--asc"] {
        let run = syscalls(&["--by", "arg0", "--top", "2", order, "--where", GETPPID])
            .attached_to(&["values", "1", "2", "2", "3", "3", "3"])?;
        let mut keys: Vec<String> = run.report()?.rows()?.iter().map(|row| row.key("arg0")).collect::<Result<_>>()?;
        if order == "--asc" {
            keys.reverse();
        }
        ensure_eq!(keys, ["3", "2"], "keys with {order} in {run}");
    }
    Ok(())
}

fn sort_orders() -> Result<()> {
    let orders: [(&[&str], [&str; 3]); 5] = [
        (&[], ["3", "9", "1"]),
        (&["--asc"], ["1", "9", "3"]),
        (&["--sort", "value", "--desc"], ["3", "9", "1"]),
        (&["--sort", "key", "--asc"], ["1", "3", "9"]),
        (&["--sort", "key", "--desc"], ["9", "3", "1"]),
    ];
    for (order, wanted) in orders {
        let run = syscalls(&["--by", "arg0", "--where", GETPPID])
            .and(order)
            .attached_to(&["values", "1", "9", "9", "3", "3", "3"])?;
        let keys: Vec<String> = run.report()?.rows()?.iter().map(|row| row.key("arg0")).collect::<Result<_>>()?;
        ensure_eq!(keys, wanted, "keys with {order:?} in {run}");
    }
    Ok(())
}

/// Six distributions of 8,016 B: together more than the 32 KiB that a per-CPU value may have.
fn rows_too_wide_for_a_cpu_of_their_own_are_counted_exactly() -> Result<()> {
    let functions: Vec<String> = (0..6).map(|i| format!("lquantize(arg{i}, 0, 1000, 1)")).collect();
    let functions = functions.iter().flat_map(|function| ["--agg", function]);
    for keys in [&[][..], &["--by", "syscall"], &["--by", "tid"], &["--by", "tid", "-i", "100ms"]] {
        let run = syscalls(keys)
            .and(&functions.clone().collect::<Vec<_>>())
            .and(&["--where", GETPPID])
            .attached_to(&["threads", "4", "5000"])?;
        ensure_eq!(run.code(), 0, "status of {run}");
        let mut counted = 0;
        for line in run.stdout.lines() {
            for row in spoor_tests::Report::parse(line)?.rows()? {
                ensure_eq!(row.values.len(), 6, "functions in {run}");
                counted += row.values.values().map(counts_in).sum::<u64>();
            }
        }
        ensure_eq!(counted, 6 * 20_000, "hits in {run}");
    }
    Ok(())
}
