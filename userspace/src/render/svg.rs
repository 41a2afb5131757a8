//! A flame graph of a report's stacks: one SVG file that a browser opens, with nothing from anywhere else.
use std::collections::BTreeMap;
use std::io::{self, Write};

use inferno::flamegraph::color::{BasicPalette, Color, PaletteMap};
use inferno::flamegraph::{self, Options, Palette};

use super::folded;
use super::footer;
use super::report::Report;
use super::text::OTHER;
use super::units::push_scaled;
use super::weight::{Weight, weights};
use crate::program::field::Unit;

/// As wide as the picture is before a browser makes it as wide as its window, less the margins.
const SUBTITLE_CHARS: usize = 150;

pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let weights = weights(report)?;
    let mut lines = folded::lines(report)?;
    // A negative sum has no width.
    lines.retain(|_, n| *n > 0);
    let (Some(weight), false) = (weights.first(), lines.is_empty()) else { return write_empty(report, out) };
    let total = lines.values().fold(0_i128, |total, n| total.saturating_add(*n));
    let halvings = halvings(total);
    let lines: Vec<String> = lines.iter().map(|(line, n)| format!("{} {}", xml_text(line), n >> halvings)).collect();

    let mut colours = colours(&lines);
    let mut options = Options::default();
    options.title = title(report, weight, total);
    options.subtitle = subtitle(report);
    options.count_name = count_name(weight, halvings);
    options.colors = Palette::Basic(BasicPalette::Hot);
    options.deterministic = true;
    options.palette_map = Some(&mut colours);
    let mut svg = Vec::new();
    flamegraph::from_lines(&mut options, lines.iter().map(String::as_str), &mut svg)?;
    write_without_doctype(&svg, out)
}

/// inferno adds up in 64 bits.
fn halvings(total: i128) -> u32 {
    (128 - total.leading_zeros()).saturating_sub(63)
}

fn title(report: &Report, weight: &Weight, total: i128) -> String {
    let mut title = format!("spoor {}: {} ", report.command, weight.title);
    push_scaled(&mut title, total, weight.unit);
    title.push_str(" in ");
    push_scaled(&mut title, report.elapsed_ns.into(), Unit::Ns);
    xml_text(&title)
}

/// The numbers in the picture are whole ones of the smallest unit.
fn count_name(weight: &Weight, halvings: u32) -> String {
    let name = match weight.unit {
        Unit::None => xml_text(&weight.title),
        Unit::Ns => "ns".to_owned(),
        Unit::Bytes => "bytes".to_owned(),
    };
    if halvings == 0 { name } else { format!("x {} {name}", 1_u128 << halvings) }
}

/// What is not in the picture, losses first; one line is all the room there is.
fn subtitle(report: &Report) -> Option<String> {
    let mut text = String::new();
    footer::push(&mut text, report);
    // What to do about it is on stderr.
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("try: ")).collect();
    lines.sort_by_key(|line| !line.starts_with("lost: "));
    let text = xml_text(&lines.join("; "));
    let cut = text.char_indices().nth(SUBTITLE_CHARS).map(|(at, _)| format!("{}..", &text[..at]));
    (!text.is_empty()).then(|| cut.unwrap_or(text))
}

/// The two characters that are neither hazards nor allowed in XML.
fn xml_text(text: &str) -> String {
    text.replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}

/// inferno's palettes guess languages from names. What is known here: the kernel's functions, inlined ones, and what is
/// no function; all others stay in the colours of fire.
fn colours(lines: &[String]) -> PaletteMap {
    let mut colours = BTreeMap::new();
    for name in lines.iter().filter_map(|line| Some(line.rsplit_once(' ')?.0)).flat_map(|stack| stack.split(';')) {
        let shade = shade(name);
        let colour = match name {
            name if name.ends_with("_[k]") => Color { r: 60 + shade, g: 140 + shade, b: 200 + shade },
            name if name.ends_with("_[i]") => Color { r: 80 + shade, g: 190 + shade, b: 150 + shade },
            name if is_no_function(name) => Color { r: 170, g: 170, b: 170 },
            _ => continue,
        };
        colours.insert(name, colour);
    }
    let mut map = PaletteMap::default();
    for (name, colour) in colours {
        map.insert(name, colour);
    }
    map
}

/// Functions of Rust begin with `<` and `[` too.
fn is_no_function(name: &str) -> bool {
    name == OTHER || name == "--" || name.starts_with('[') && name.ends_with(']')
}

/// Up to 47, the same for a name in every picture.
fn shade(name: &str) -> u8 {
    // FNV-1a.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash >> 8) as u8 % 48
}

/// A reader that follows the document type would look for it in the network.
fn write_without_doctype(svg: &[u8], out: &mut dyn Write) -> io::Result<()> {
    const BEGIN: &[u8] = b"<!DOCTYPE";
    let begin = svg.windows(BEGIN.len()).position(|window| window == BEGIN).unwrap_or(svg.len());
    let end = svg[begin..].iter().position(|byte| *byte == b'>').map_or(begin, |length| begin + length + 1);
    out.write_all(&svg[..begin])?;
    out.write_all(&svg[end..])?;
    out.write_all(b"\n")
}

fn write_empty(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut text = String::from("no events matched in ");
    push_scaled(&mut text, report.elapsed_ns.into(), Unit::Ns);
    if let Some(subtitle) = subtitle(report) {
        text.push_str("; ");
        text.push_str(&subtitle);
    }
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(
        out,
        r#"<?xml version="1.0" standalone="no"?><svg version="1.1" width="1200" height="60" xmlns="http://www.w3.org/2000/svg"><text x="10" y="36" font-family="monospace" font-size="12">{text}</text></svg>"#
    )
}

#[cfg(test)]
#[path = "svg_tests.rs"]
mod tests;
