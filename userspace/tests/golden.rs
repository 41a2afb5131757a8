//! Golden reports: `golden/<area>/<name>.in` describes a report as JSON, `.out` is what it renders to, byte for byte.
//! `BLESS=1 cargo test --test golden` rewrites the `.out` files; read the diff.
//!
//! `dtrace` in a `.in` is the D program whose output, from Oracle DTrace 2.0.7 with `-q`, the `.out` is equal to.
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value as Json;
use spoor::merge::order::{Direction, Order, SortBy, arrange};
use spoor::merge::value::{Aggregation, KeyValue, Row, Value};
use spoor::program::buckets::{Llquantize, Lquantize, QUANTIZE_BUCKETS, quantize_bucket};
use spoor::program::field::Unit;
use spoor::render::report::{Accounts, KeyColumn, Layout, Loss, LossLine, Report, ValueColumn};
use spoor::render::{Format, State, afterword, render};

#[path = "golden/stack.rs"]
mod stack;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    #[serde(rename = "dtrace")]
    _dtrace: Option<String>,
    format: String,
    #[serde(default)]
    layout: String,
    #[serde(default)]
    target: Json,
    #[serde(default)]
    keys: Vec<KeyDescription>,
    values: Vec<ValueDescription>,
    #[serde(default)]
    sort: Sort,
    /// More than one: reports at intervals.
    reports: Vec<Data>,
    #[serde(default)]
    intervals: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyDescription {
    name: String,
    #[serde(default)]
    bytes: u8,
    #[serde(default)]
    unit: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueDescription {
    title: String,
    name: Option<String>,
    #[serde(default)]
    unit: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Sort {
    by: Option<String>,
    direction: Option<String>,
    top: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    /// Since the first report began.
    #[serde(default)]
    started_ns: u64,
    #[serde(default)]
    elapsed_ns: u64,
    events: Option<u64>,
    /// Keys, then values.
    rows: Vec<(Vec<Json>, Vec<Json>)>,
    other: Option<Vec<Json>>,
    #[serde(default)]
    loss: Vec<LossDescription>,
    #[serde(default)]
    notes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LossDescription {
    name: String,
    count: Option<u64>,
    lost: bool,
    what: String,
    advice: Option<String>,
}

// Each report of golden/ renders to the bytes beside it.
#[test]
fn reports_render_to_their_golden_files() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for path in descriptions() {
        let rendered = render_description(&path);
        let expected = path.with_extension("out");
        if bless {
            fs::write(&expected, &rendered).expect("golden files are writable");
        }
        let expected = fs::read(&expected).unwrap_or_default();
        if rendered != expected {
            wrong.push(format!(
                "{}:\n--- expected\n{}--- rendered\n{}",
                path.display(),
                String::from_utf8_lossy(&expected),
                String::from_utf8_lossy(&rendered)
            ));
        }
    }
    assert!(wrong.is_empty(), "{} differ; BLESS=1 accepts\n{}", wrong.len(), wrong.join("\n"));
}

// Also in JSON and CSV: people look at these on a terminal.
#[test]
fn no_format_sends_control_characters() {
    for path in descriptions() {
        let text = String::from_utf8(render_description(&path)).expect("every format is UTF-8");
        let hazard = text.chars().find(|c| *c != '\n' && spoor::render::escape::is_hazard(*c));
        assert_eq!(hazard, None, "{}", path.display());
    }
}

#[test]
fn every_line_of_json_parses() {
    for path in descriptions().into_iter().filter(|path| path.parent().is_some_and(|area| area.ends_with("json"))) {
        for line in String::from_utf8(render_description(&path)).unwrap().lines() {
            let report: Json = serde_json::from_str(line).unwrap();
            assert_eq!(report["spoor"], 1);
        }
    }
}

fn descriptions() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries(&root)
        .flat_map(|area| entries(&area).collect::<Vec<_>>())
        .filter(|path| path.extension().is_some_and(|e| e == "in"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no golden files in {}", root.display());
    paths
}

fn render_description(path: &Path) -> Vec<u8> {
    let text = fs::read_to_string(path).expect("golden files are readable");
    let description: Description = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let format = match description.format.as_str() {
        "text" => Format::Text,
        "json" => Format::Json,
        "csv" => Format::Csv,
        "folded" => Format::Folded,
        other => panic!("{}: no format `{other}`", path.display()),
    };
    let mut state = State::new(description.intervals);
    let mut out = Vec::new();
    for data in &description.reports {
        let report = report(&description, data);
        render(&report, format, &mut out, &mut state).expect("a vector takes all bytes");
        if format.is_data_only() {
            out.extend(afterword(&report).lines().flat_map(|line| format!("(stderr) {line}\n").into_bytes()));
        }
    }
    out
}

fn report(description: &Description, data: &Data) -> Report {
    let row = |(keys, values): &(Vec<Json>, Vec<Json>)| Row {
        keys: keys.iter().map(key).collect(),
        values: values.iter().map(value).collect(),
    };
    let mut aggregation = Aggregation {
        rows: data.rows.iter().map(row).collect(),
        other: data.other.as_ref().map(|values| values.iter().map(value).collect()),
    };
    let layout = if description.layout == "dtrace" { Layout::Dtrace } else { Layout::Table };
    let arranged = arrange(&mut aggregation, order(&description.sort, layout));
    let column = |column: &ValueDescription| ValueColumn {
        title: column.title.clone(),
        name: column.name.clone().unwrap_or_else(|| column.title.clone()),
        unit: unit(&column.unit),
        histogram: column.title.contains("quantize"),
    };
    let loss = |line: &LossDescription| LossLine {
        name: line.name.clone().leak(),
        count: line.count,
        lost: line.lost,
        what: line.what.clone(),
        advice: line.advice.clone(),
    };
    Report {
        command: "syscalls".into(),
        target: description.target.clone(),
        started_unix_ns: 1_700_000_000_000_000_000 + data.started_ns,
        elapsed_ns: data.elapsed_ns,
        sample_period_ns: None,
        keys: description
            .keys
            .iter()
            .map(|key| KeyColumn { name: key.name.clone(), unit: unit(&key.unit), bytes: key.bytes })
            .collect(),
        values: description.values.iter().map(column).collect(),
        aggregation,
        events: data.events,
        rows_left_out: arranged.left_out,
        totals: arranged.totals,
        layout,
        stopped: None,
        loss: Loss { kinds: data.loss.iter().map(loss).collect() },
        accounts: Accounts::default(),
        notes: data.notes.clone(),
    }
}

fn order(sort: &Sort, layout: Layout) -> Order {
    let default = if layout == Layout::Dtrace { "asc" } else { "desc" };
    Order {
        by: if sort.by.as_deref() == Some("key") { SortBy::Key } else { SortBy::Value },
        direction: if sort.direction.as_deref().unwrap_or(default) == "asc" { Direction::Asc } else { Direction::Desc },
        top: sort.top,
    }
}

fn unit(name: &str) -> Unit {
    match name {
        "" => Unit::None,
        "ns" => Unit::Ns,
        "bytes" => Unit::Bytes,
        other => panic!("no unit `{other}`"),
    }
}

/// `5`, `-5`, `"text"`, `{"hex":"ff00"}`, `{"named":[0,"read"]}`, `{"stack":{...}}`.
fn key(json: &Json) -> KeyValue {
    match json {
        Json::String(text) => KeyValue::Text(text.clone().into()),
        Json::Number(n) => n.as_u64().map_or_else(|| KeyValue::Signed(n.as_i64().unwrap()), KeyValue::Unsigned),
        Json::Object(object) if object.contains_key("hex") => {
            let hex = object["hex"].as_str().unwrap();
            KeyValue::Text((0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect())
        }
        Json::Object(object) if object.contains_key("stack") => {
            KeyValue::Stack(Arc::new(stack::stack(&object["stack"])))
        }
        _ => KeyValue::Named {
            value: json["named"][0].as_u64().unwrap(),
            name: json["named"][1].as_str().unwrap().into(),
        },
    }
}

/// `5`, `"170141183460469231731687303715884105727"`, `null` for unknown, or the function with the values that came:
/// `{"avg":[3,4]}`, `{"quantize":[1,[5,20]]}` (5 came 20 times), `{"lquantize":[0,1000,100],"of":[..]}`.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => return Value::Maybe(None),
        Json::Number(n) => return Value::Int(n.as_i64().map_or_else(|| n.as_u64().unwrap().into(), i128::from)),
        Json::String(digits) => return Value::Int(digits.parse().unwrap()),
        _ => {}
    }
    let object = json.as_object().unwrap();
    let (function, arguments) = object.iter().find(|(name, _)| *name != "of" && *name != "unsigned").unwrap();
    let came = values(object.get("of").unwrap_or(arguments));
    let sum = came.iter().map(|(value, count)| i128::from(*value) * i128::from(*count)).sum();
    let count = came.iter().map(|(_, count)| count).sum();
    let argument = |index: usize| arguments[index].as_i64().unwrap();
    let fill = |buckets: usize, bucket: &dyn Fn(i64) -> usize| {
        let mut counts = vec![0; buckets];
        came.iter().for_each(|(value, count)| counts[bucket(*value)] += count);
        counts
    };
    match function.as_str() {
        "avg" => Value::Avg { sum, count },
        "stddev" => {
            let squares = came.iter().map(|(v, n)| u128::from(v.unsigned_abs()).pow(2) * u128::from(*n)).sum();
            Value::Stddev { sum, squares, count }
        }
        "quantize" => Value::Quantize(fill(QUANTIZE_BUCKETS, &quantize_bucket)),
        "lquantize" => {
            let shape = Lquantize { lower: argument(0) as i32, upper: argument(1) as i32, step: argument(2) as u16 };
            let buckets = fill(shape.buckets(), &|value| shape.bucket(value));
            Value::Lquantize { lower: shape.lower, step: shape.step, buckets }
        }
        "llquantize" => {
            let [factor, lmag, hmag, steps] = [0, 1, 2, 3].map(|index| argument(index) as u16);
            let shape = Llquantize { factor, lmag, hmag, steps };
            let signed = !object.contains_key("unsigned");
            let mut buckets = fill(shape.buckets(), &|value| shape.bucket(value));
            if !signed {
                buckets.drain(..shape.middle());
            }
            Value::Llquantize { factor, lmag, hmag, steps, signed, buckets }
        }
        other => panic!("no function `{other}`"),
    }
}

fn values(json: &Json) -> Vec<(i64, u64)> {
    let one = |value: &Json| match value.as_array() {
        Some(pair) => (pair[0].as_i64().unwrap(), pair[1].as_u64().unwrap()),
        None => (value.as_i64().unwrap(), 1),
    };
    json.as_array().unwrap().iter().map(one).collect()
}
