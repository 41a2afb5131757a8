//! A stack as a golden file describes it: `{"stack": {"user": [frame...], "kernel": [frame...], "user_cut": true...}}`,
//! each half leaf first. A frame is `` "app`main+0x1c" `` or an object: `module`, `name`, `offset`, `why`, `address`,
//! `source` as `["file.rs", 12]`, and `inlined`, innermost first, each as `["name", source]`.
use serde_json::Value as Json;
use spoor::symbolize::frame::{Frame, Inlined, Place, Source, Stack, Unknown};

pub fn stack(json: &Json) -> Stack {
    let half = |name: &str| json[name].as_array().into_iter().flatten().map(frame).collect();
    let is = |name: &str| json[name].as_bool().unwrap_or(false);
    Stack {
        kernel: half("kernel"),
        user: half("user"),
        kernel_cut: is("kernel_cut"),
        user_cut: is("user_cut"),
        user_broken: is("user_broken"),
        kernel_lost: is("kernel_lost"),
        user_lost: is("user_lost"),
    }
}

fn frame(json: &Json) -> Frame {
    if let Some(text) = json.as_str() {
        let (module, symbol) = text.split_once('`').expect("module`symbol");
        let (name, offset) = symbol.rsplit_once("+0x").unwrap_or((symbol, "0"));
        let offset = u64::from_str_radix(offset, 16).expect("an offset in hex");
        let place = Place::Symbol { module: module.into(), name: name.into(), offset };
        return Frame { address: 0x40_0000 + offset, place, source: None, inlined: Vec::new() };
    }
    let text = |name: &str| json[name].as_str().map(str::to_owned);
    let offset = json["offset"].as_u64().unwrap_or(0);
    let place = match (text("module"), text("name")) {
        (Some(module), Some(name)) => Place::Symbol { module, name, offset },
        (Some(module), None) => Place::Offset { module, offset, why: why(json) },
        _ => Place::Address { why: why(json) },
    };
    let inlined = |json: &Json| Inlined { name: json[0].as_str().unwrap().into(), source: source(&json[1]) };
    Frame {
        address: json["address"].as_u64().unwrap_or(0x40_0000 + offset),
        place,
        source: source(&json["source"]),
        inlined: json["inlined"].as_array().into_iter().flatten().map(inlined).collect(),
    }
}

fn source(json: &Json) -> Option<Source> {
    Some(Source { file: json[0].as_str()?.into(), line: json[1].as_u64().map(|line| line as u32) })
}

fn why(json: &Json) -> Unknown {
    match json["why"].as_str() {
        Some("stripped") => Unknown::Stripped,
        Some("no_file") => Unknown::NoFile,
        Some("no_mapping") => Unknown::NoMapping,
        Some("process_gone") => Unknown::ProcessGone,
        Some("kernel_hidden") => Unknown::KernelHidden,
        other => panic!("no reason {other:?}"),
    }
}
