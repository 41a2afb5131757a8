//! Copies of a row into one: the merge law, f(f(x0) U f(x1)) = f(x0 U x1), in any order of CPUs.
use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::program::layout::{Cell, Layout};

/// Rows merged over CPUs, still in the kernel's words.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub key_words: usize,
    pub row_words: usize,
    keys: Vec<u64>,
    values: Vec<u64>,
}

/// How two copies of a word become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Law {
    Add,
    Max,
}

/// Merges copies of rows of one layout.
pub struct Merge {
    laws: Vec<Law>,
    rows: Rows,
    /// Words of each key that are text, whose bytes behind the NUL mean nothing.
    texts: Vec<usize>,
    /// A key may come more than once.
    repeated: bool,
    /// Rows whose key came, or may come, more than once.
    by_key: HashMap<Vec<u64>, usize, RandomState>,
    scratch: Vec<u64>,
}

impl Merge {
    /// `texts`: the first word of each 16-byte string in a key.
    pub fn new(layout: &Layout, key_words: usize, texts: Vec<usize>) -> Merge {
        let laws = layout.cells.iter().flat_map(|(cell, _)| vec![law(cell); cell.words()]).collect();
        let rows = Rows { key_words, row_words: layout.words, ..Rows::default() };
        let repeated = !texts.is_empty();
        Merge { laws, rows, texts, repeated, by_key: HashMap::default(), scratch: vec![0; layout.words] }
    }

    /// For rows that are merged already and whose keys have become equal.
    pub fn regrouping(layout: &Layout, key_words: usize) -> Merge {
        Merge { repeated: true, ..Merge::new(layout, key_words, Vec::new()) }
    }

    /// Adds a row: one copy for each CPU, one after the other. A row without a firing is none.
    pub fn add(&mut self, key: &[u64], copies: &[u64]) {
        self.scratch.fill(0);
        for copy in copies.chunks_exact(self.laws.len()) {
            apply(&self.laws, &mut self.scratch, copy);
        }
        self.put(key, self.repeated);
    }

    /// Adds one copy of a row of which there are others elsewhere: before all that come by [`Merge::add`].
    pub fn add_part(&mut self, key: &[u64], copy: &[u64]) {
        self.scratch.copy_from_slice(copy);
        self.put(key, true);
    }

    /// What is in `scratch` becomes a row, or is added to the key's.
    fn put(&mut self, key: &[u64], may_come_again: bool) {
        if self.scratch[0] == 0 {
            return;
        }
        let mut key = Cow::Borrowed(key);
        for at in &self.texts {
            cut_at_nul(&mut key.to_mut()[*at..*at + 2]);
        }
        let words = self.laws.len();
        if let Some(row) = self.by_key.get(&*key) {
            apply(&self.laws, &mut self.rows.values[row * words..(row + 1) * words], &self.scratch);
            return;
        }
        self.rows.keys.extend_from_slice(&key);
        self.rows.values.extend_from_slice(&self.scratch);
        if may_come_again {
            self.by_key.insert(key.into_owned(), self.rows.len() - 1);
        }
    }

    pub fn finish(self) -> Rows {
        self.rows
    }
}

impl Rows {
    pub fn len(&self) -> usize {
        self.values.len() / self.row_words.max(1)
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[u64], &[u64])> {
        self.keys.chunks_exact(self.key_words).zip(self.values.chunks_exact(self.row_words))
    }

    /// Gives the rows away, from the last to the first, and their memory as they go: whoever makes something larger of a
    /// million of them does not hold both.
    pub fn give(mut self, mut take: impl FnMut(&[u64], &[u64])) {
        const AT_ONCE: usize = 1 << 16;
        while !self.is_empty() {
            let first = self.len().saturating_sub(AT_ONCE);
            let keys = self.keys[first * self.key_words..].chunks_exact(self.key_words);
            let values = self.values[first * self.row_words..].chunks_exact(self.row_words);
            keys.zip(values).rev().for_each(|(key, row)| take(key, row));
            self.keys.truncate(first * self.key_words);
            self.values.truncate(first * self.row_words);
            self.keys.shrink_to_fit();
            self.values.shrink_to_fit();
        }
    }

    /// Firings in all rows.
    pub fn firings(&self) -> u64 {
        self.iter().map(|(_, row)| row[0]).sum()
    }
}

fn law(cell: &Cell) -> Law {
    match cell {
        Cell::Max(_) | Cell::Min(_) => Law::Max,
        _ => Law::Add,
    }
}

fn apply(laws: &[Law], into: &mut [u64], from: &[u64]) {
    for ((law, into), from) in laws.iter().zip(into).zip(from) {
        *into = match law {
            Law::Add => into.wrapping_add(*from),
            Law::Max => (*into).max(*from),
        };
    }
}

/// Clears what lies behind the NUL of a 16-byte string.
fn cut_at_nul(words: &mut [u64]) {
    let mut ended = false;
    for word in words {
        if ended {
            *word = 0;
            continue;
        }
        let bytes = word.to_ne_bytes();
        if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            let mut kept = [0; 8];
            kept[..end].copy_from_slice(&bytes[..end]);
            *word = u64::from_ne_bytes(kept);
            ended = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::field::Unit;
    use crate::program::tree::{Column, Expr, Function, Node, Type};
    use proptest::prelude::*;

    fn layout() -> Layout {
        let arg = Expr { node: Node::Const(1 << 40), ty: Type::Signed };
        let functions = [Function::Count, Function::Sum(arg.clone()), Function::Min(arg.clone()), Function::Max(arg)];
        let columns: Vec<Column> =
            functions.into_iter().map(|function| Column { name: String::new(), unit: Unit::None, function }).collect();
        Layout::of(&columns)
    }

    #[test]
    fn names_that_differ_behind_the_nul_are_one_row() {
        let layout = layout();
        let mut merge = Merge::new(&layout, 2, vec![0]);
        let row = vec![1; layout.words];
        merge.add(&[u64::from_ne_bytes(*b"sh\0xxxxx"), 77], &row);
        merge.add(&[u64::from_ne_bytes(*b"sh\0\0\0\0\0\0"), 0], &row);
        let rows = merge.finish();
        assert_eq!((rows.len(), rows.firings()), (1, 2));
    }

    #[test]
    fn parts_that_lie_elsewhere_are_added_to_the_row() {
        let layout = layout();
        let part = |count| [&[count][..], &vec![0; layout.words - 1]].concat();
        for texts in [vec![], vec![0]] {
            let mut merge = Merge::new(&layout, 2, texts);
            [(7, 1), (8, 2), (7, 4)].iter().for_each(|(key, count)| merge.add_part(&[*key, 0], &part(*count)));
            merge.add(&[8, 0], &[part(8), part(16)].concat());
            merge.add(&[9, 0], &part(32));
            let rows = merge.finish();
            let found: Vec<(u64, u64)> = rows.iter().map(|(key, row)| (key[0], row[0])).collect();
            assert_eq!(found, [(7, 5), (8, 26), (9, 32)]);
        }
    }

    #[test]
    fn row_without_a_firing_is_none() {
        let layout = layout();
        let mut merge = Merge::new(&layout, 1, Vec::new());
        merge.add(&[3], &vec![0; layout.words * 2]);
        assert!(merge.finish().is_empty());
    }

    /// More than are given at once.
    #[test]
    fn every_row_is_given_once() {
        let layout = layout();
        let mut merge = Merge::new(&layout, 1, Vec::new());
        let many = (1 << 16) + 3;
        (0..many).for_each(|key| merge.add(&[key], &[&[key + 1][..], &vec![0; layout.words - 1]].concat()));
        let mut next = many;
        merge.finish().give(|key, row| {
            next -= 1;
            assert_eq!((key[0], row[0]), (next, next + 1));
        });
        assert_eq!(next, 0);
    }

    proptest! {
        /// Copies in any order, and merged in two steps or one, come to the same row.
        #[test]
        fn merge_gives_the_same_answer_in_any_cpu_order(
            copies in proptest::collection::vec(proptest::collection::vec(1u64.., 5), 1..6),
            rotate in 0usize..6,
        ) {
            let layout = layout();
            prop_assume!(layout.words == 5);
            let merged = |copies: &[Vec<u64>]| {
                let mut merge = Merge::new(&layout, 1, Vec::new());
                merge.add(&[0], &copies.concat());
                merge.finish().values
            };
            let mut rotated = copies.clone();
            rotated.rotate_left(rotate % copies.len());
            prop_assert_eq!(merged(&copies), merged(&rotated));
            let (first, second) = copies.split_at(copies.len() / 2);
            if !first.is_empty() && merged(first)[..1] != [0] && merged(second)[..1] != [0] {
                prop_assert_eq!(merged(&[merged(first), merged(second)]), merged(&copies));
            }
        }
    }
}
