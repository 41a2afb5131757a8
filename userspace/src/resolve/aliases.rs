//! Points in, the other names of their code out: a probe fires for calls by any of them.
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use super::functions::Functions;
use super::{Place, Point};

type NamesAt = HashMap<u64, BTreeSet<String>>;

/// All names of the functions in each file, where they have several.
#[derive(Default)]
pub struct Aliases {
    files: Vec<(Arc<Path>, NamesAt)>,
}

impl Aliases {
    /// `opened`: the files of the points, by their paths.
    pub fn of(points: &[Point], opened: &[(Arc<Path>, Rc<Functions>)]) -> Aliases {
        let mut files: Vec<(&Arc<Path>, Vec<u64>)> = Vec::new();
        for point in points {
            let Place::User { file, offset, is_entry: true, .. } = &point.place else { continue };
            match files.iter_mut().rev().find(|(known, _)| is_same(known, file)) {
                Some((_, offsets)) => offsets.push(*offset),
                None => files.push((file, vec![*offset])),
            }
        }
        let names = |(file, mut offsets): (&Arc<Path>, Vec<u64>)| {
            offsets.sort_unstable();
            let (_, functions) = opened.iter().find(|(known, _)| is_same(known, file))?;
            Some((Arc::clone(file), functions.names_at(&offsets)))
        };
        Aliases { files: files.into_iter().filter_map(names).collect() }
    }

    /// Names besides the point's own. Those that begin with `_` are no news.
    pub fn of_point<'a>(&'a self, point: &'a Point) -> impl Iterator<Item = &'a str> {
        let names = match &point.place {
            Place::User { file, offset, .. } => {
                let mut files = self.files.iter().filter(move |(known, _)| is_same(known, file));
                files.next().and_then(|(_, names)| names.get(offset))
            }
            _ => None,
        };
        let others = names.into_iter().flatten().map(String::as_str);
        others.filter(|name| *name != point.function && !name.starts_with('_'))
    }
}

/// To compare paths by their parts takes as long as all else that is done with a point.
pub fn is_same(a: &Arc<Path>, b: &Arc<Path>) -> bool {
    Arc::ptr_eq(a, b) || a.as_os_str() == b.as_os_str()
}
