//! Points in, the other names of their code out: a probe fires for calls by any of them.
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::functions::Functions;
use super::{Place, Point};

/// All names of the functions in each file, where they have several.
pub struct Aliases {
    files: Vec<(PathBuf, HashMap<u64, BTreeSet<String>>)>,
}

impl Aliases {
    /// As the files themselves have them: what was stripped has debug symbols elsewhere, whose names are those that the file
    /// had.
    pub fn of(points: &[Point]) -> Aliases {
        let mut files: Vec<(&Path, HashSet<u64>)> = Vec::new();
        for point in points {
            let Place::User { file, offset, is_entry: true, .. } = &point.place else { continue };
            match files.iter_mut().rev().find(|(known, _)| known.as_os_str() == file.as_os_str()) {
                Some((_, offsets)) => {
                    offsets.insert(*offset);
                }
                None => files.push((file, HashSet::from([*offset]))),
            }
        }
        let names = |(file, offsets): (&Path, HashSet<u64>)| {
            Some((file.to_owned(), Functions::open(file, None)?.names_at(&offsets)))
        };
        Aliases { files: files.into_iter().filter_map(names).collect() }
    }

    /// Names besides the point's own. Those that begin with `_` are no news.
    pub fn of_point<'a>(&'a self, point: &'a Point) -> impl Iterator<Item = &'a str> {
        let names = match &point.place {
            Place::User { file, offset, .. } => {
                let mut files = self.files.iter().filter(move |(known, _)| known.as_os_str() == file.as_os_str());
                files.next().and_then(|(_, names)| names.get(offset))
            }
            _ => None,
        };
        let others = names.into_iter().flatten().map(String::as_str);
        others.filter(|name| *name != point.function && !name.starts_with('_'))
    }
}
