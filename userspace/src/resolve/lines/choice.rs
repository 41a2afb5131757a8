//! Rows of a line table in, those of the line that is asked for out: of the next one that has code, if it has none.
use std::collections::BTreeSet;

/// A place where the code of a line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub address: u64,
    pub unit: usize,
    pub source: usize,
}

pub struct Choice {
    wanted: u64,
    /// The best so far.
    pub line: Option<u64>,
    pub rows: BTreeSet<Row>,
    /// That has code at all.
    pub last: u64,
}

impl Choice {
    pub fn new(wanted: u64) -> Choice {
        Choice { wanted, line: None, rows: BTreeSet::new(), last: 0 }
    }

    pub fn offer(&mut self, line: u64, row: Row) {
        self.last = self.last.max(line);
        if line < self.wanted || self.line.is_some_and(|best| best < line) {
            return;
        }
        if self.line != Some(line) {
            self.rows.clear();
            self.line = Some(line);
        }
        self.rows.insert(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(wanted: u64, offered: &[(u64, u64)]) -> (Option<u64>, Vec<u64>, u64) {
        let mut choice = Choice::new(wanted);
        offered.iter().for_each(|(line, address)| choice.offer(*line, Row { address: *address, unit: 0, source: 0 }));
        (choice.line, choice.rows.iter().map(|row| row.address).collect(), choice.last)
    }

    #[test]
    fn all_places_of_the_line_are_taken() {
        assert_eq!(chosen(7, &[(6, 1), (7, 9), (8, 3), (7, 4), (7, 9)]), (Some(7), vec![4, 9], 8));
        // The next line may come before the one that is meant.
        assert_eq!(chosen(7, &[(9, 1), (8, 2), (8, 3), (7, 4)]), (Some(7), vec![4], 9));
    }

    #[test]
    fn a_line_without_code_is_the_next_one_that_has_some() {
        assert_eq!(chosen(7, &[(6, 1), (12, 2), (9, 3), (12, 4), (9, 5)]), (Some(9), vec![3, 5], 12));
        assert_eq!(chosen(13, &[(6, 1), (12, 2)]), (None, vec![], 12));
        assert_eq!(chosen(1, &[]), (None, vec![], 0));
    }
}
