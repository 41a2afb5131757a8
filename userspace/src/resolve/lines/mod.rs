//! A line of a source file in, the instructions that it begins with out: one of each function that has code of that line,
//! and one of each place where such a function was inlined. From DWARF, of whatever file has it.
mod blocks;
mod choice;
mod path;
mod sections;

use std::collections::{BTreeMap, BTreeSet};

use gimli::{Dwarf, LineRow, UnitHeader};

use super::near::Near;
use crate::symbolize::elf::Bytes;
use choice::{Choice, Row};
use sections::{Reader, Sections};

/// More are no code of one line, whatever the file says.
const MOST_ROWS: usize = 1 << 20;

#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// The one that was asked for, else the next one that has code.
    pub line: u64,
    /// The linker's, ascending.
    pub addresses: Vec<u64>,
    /// The source files that have it, by name.
    pub sources: Vec<String>,
    /// Parts of the file that could not be read.
    pub unread: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Missing {
    /// Why the debug information is none that can be read.
    Unreadable(String),
    /// No source file has that name; these have one like it.
    Source { near: Vec<String> },
    /// No code of that line, or of one after it.
    Line { last: u64 },
}

/// What is known of the file's code from elsewhere.
pub trait Code {
    /// Whether the linker's address is in the file's code: what it threw away has line numbers all the same.
    fn has(&self, address: u64) -> bool;
    /// Where the function around it begins, if any is known.
    fn function(&self, address: u64) -> Option<u64>;
}

/// `source` is the end of a path, from any of its folders on.
pub fn find(bytes: &Bytes, source: &str, line: u64, code: &impl Code) -> Result<Line, Missing> {
    let sections = Sections::read(bytes).map_err(Missing::Unreadable)?;
    let dwarf = sections.dwarf();
    let mut search = Search {
        dwarf: &dwarf,
        wanted: source,
        units: Vec::new(),
        sources: Vec::new(),
        choice: Choice::new(line),
        near: Near::new(path::name(source)),
        unread: 0,
    };
    search.units(code)?;
    search.done(code)
}

struct Search<'a> {
    dwarf: &'a Dwarf<Reader<'a>>,
    wanted: &'a str,
    /// Those that name the source.
    units: Vec<UnitHeader<Reader<'a>>>,
    /// Paths that are meant.
    sources: Vec<String>,
    choice: Choice,
    near: Near,
    unread: usize,
}

impl<'a> Search<'a> {
    fn units(&mut self, code: &impl Code) -> Result<(), Missing> {
        let mut headers = self.dwarf.units();
        loop {
            match headers.next() {
                Ok(Some(header)) => {
                    if self.unit(header, code).is_err() {
                        self.unread += 1;
                    }
                }
                Ok(None) => return Ok(()),
                Err(_) => {
                    self.unread += 1;
                    return Ok(());
                }
            }
            if self.choice.rows.len() > MOST_ROWS {
                return Err(Missing::Unreadable(format!("it has more than {MOST_ROWS} places for one line")));
            }
        }
    }

    fn unit(&mut self, header: UnitHeader<Reader<'a>>, code: &impl Code) -> gimli::Result<()> {
        let unit = self.dwarf.unit(header)?;
        let Some(program) = unit.line_program.clone() else { return Ok(()) };
        let lines = program.header();
        // Up to version 4 files are counted from 1.
        let first = u64::from(lines.version() < 5);
        let mut meant: BTreeMap<u64, usize> = BTreeMap::new();
        for (file, number) in lines.file_names().iter().zip(first..) {
            let text = |value| self.dwarf.attr_string(&unit, value).map(|text| text.to_string_lossy().into_owned());
            let name = text(file.path_name())?;
            self.near.see(path::name(&name));
            if path::name(&name) != path::name(self.wanted) {
                continue;
            }
            let folder = file.directory(lines).map(text).transpose()?.unwrap_or_default();
            let built_in = unit.comp_dir.map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default();
            let path = path::joined(&[&built_in, &folder, &name]);
            if path::is_meant(&path, self.wanted) {
                meant.insert(number, self.source(path));
            }
        }
        if meant.is_empty() {
            return Ok(());
        }
        self.units.push(header);
        let number = self.units.len() - 1;
        let mut rows = program.rows();
        let (mut is_first, mut is_dropped) = (true, false);
        while let Some((_, row)) = rows.next_row()? {
            if std::mem::replace(&mut is_first, row.end_sequence()) {
                // Where linkers leave what they threw away.
                is_dropped = row.address() == 0;
            }
            let Some(line) = line_that_begins(row).filter(|_| !is_dropped) else { continue };
            if let Some(source) = meant.get(&row.file_index())
                && code.has(row.address())
            {
                self.choice.offer(line, Row { address: row.address(), unit: number, source: *source });
                if self.choice.rows.len() > MOST_ROWS {
                    break;
                }
            }
        }
        Ok(())
    }

    fn source(&mut self, path: String) -> usize {
        let known = self.sources.iter().position(|known| *known == path);
        known.unwrap_or_else(|| {
            self.sources.push(path);
            self.sources.len() - 1
        })
    }

    fn done(self, code: &impl Code) -> Result<Line, Missing> {
        if self.sources.is_empty() {
            return Err(Missing::Source { near: self.near.names().into_iter().map(str::to_owned).collect() });
        }
        let Some(line) = self.choice.line else { return Err(Missing::Line { last: self.choice.last }) };
        let mut unread = self.unread;
        // By address: of each block the first is the lowest.
        let mut lowest: BTreeMap<blocks::Block, u64> = BTreeMap::new();
        for (number, header) in self.units.iter().enumerate() {
            let rows = self.choice.rows.iter().filter(|row| row.unit == number);
            let addresses: Vec<u64> = rows.map(|row| row.address).collect();
            if addresses.is_empty() {
                continue;
            }
            let mut found = vec![None; addresses.len()];
            if blocks::find(self.dwarf, header, &addresses, &mut found).is_err() {
                unread += 1;
            }
            for (address, block) in addresses.iter().zip(found) {
                let block = block.map_or_else(
                    || blocks::Block::Function(code.function(*address).unwrap_or(*address)),
                    |entry| blocks::Block::Entry(number, entry),
                );
                lowest.entry(block).or_insert(*address);
            }
        }
        let addresses: BTreeSet<u64> = lowest.into_values().collect();
        let sources: BTreeSet<&String> = self.choice.rows.iter().map(|row| &self.sources[row.source]).collect();
        Ok(Line {
            line,
            addresses: addresses.into_iter().collect(),
            sources: sources.into_iter().cloned().collect(),
            unread,
        })
    }
}

/// Where a debugger would stop.
fn line_that_begins(row: &LineRow) -> Option<u64> {
    row.line().map(u64::from).filter(|_| row.is_stmt() && !row.end_sequence())
}

#[cfg(test)]
mod tests;
