//! Points in, the other names of their code out: a probe fires for calls by any of them.
use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::functions::Functions;
use super::{Place, Point};

/// Other names of functions in files, as the files themselves have them. Names that begin with `_` are no news.
pub fn aliases(points: &[Point]) -> HashMap<Place, Vec<String>> {
    let mut files: HashMap<&Path, HashSet<u64>> = HashMap::new();
    for point in points {
        if let Place::User { file, offset, is_entry: true, .. } = &point.place {
            files.entry(file).or_default().insert(*offset);
        }
    }
    let opened = files.into_iter().filter_map(|(file, offsets)| {
        // What was stripped has debug symbols elsewhere, whose names are those that the file had.
        Some((file, Functions::open(file, None)?.names_at(&offsets)))
    });
    let names: HashMap<_, _> = opened.collect();
    let mut aliases = HashMap::new();
    for point in points {
        let Place::User { file, offset, .. } = &point.place else { continue };
        let Some(all) = names.get(file.as_path()).and_then(|names| names.get(offset)) else { continue };
        let others: Vec<String> =
            all.iter().filter(|name| **name != point.function && !name.starts_with('_')).cloned().collect();
        if !others.is_empty() {
            aliases.insert(point.place.clone(), others);
        }
    }
    aliases
}
