//! The tables of a profile: strings, modules, functions and places, each once.
use std::collections::HashMap;

use super::proto::{Function, Label, Line, Location, Mapping};
use crate::merge::value::KeyValue;
use crate::program::field::Unit;
use crate::render::escape;
use crate::render::stack::push_unnamed;
use crate::render::text::push_key;
use crate::symbolize::frame::{Frame, Place, Source};

#[derive(Default)]
pub struct Builder<'a> {
    pub strings: Vec<String>,
    pub mappings: Vec<Mapping>,
    pub functions: Vec<Function>,
    pub locations: Vec<Location>,
    known_strings: HashMap<String, i64>,
    known_mappings: HashMap<&'a str, u64>,
    /// By name and file.
    known_functions: HashMap<(i64, i64), u64>,
    known_frames: HashMap<&'a Frame, u64>,
    known_marks: HashMap<&'static str, u64>,
}

impl<'a> Builder<'a> {
    pub fn new() -> Builder<'a> {
        let mut builder = Builder::default();
        builder.string("");
        builder
    }

    /// The index of a string that is escaped already.
    pub fn string(&mut self, text: &str) -> i64 {
        if let Some(index) = self.known_strings.get(text) {
            return *index;
        }
        let index = self.strings.len() as i64;
        self.strings.push(text.to_owned());
        self.known_strings.insert(text.to_owned(), index);
        index
    }

    fn name(&mut self, name: &str) -> i64 {
        let mut text = String::new();
        escape::push_name(&mut text, name.as_bytes());
        self.string(&text)
    }

    /// None where a stack is the key.
    pub fn label(&mut self, name: &str, unit: Unit, key: &KeyValue) -> Option<Label> {
        let key_name = self.name(name);
        let unit = match unit {
            // Readers leave out a 0 that has no unit. They take the key's name for it where there is none.
            Unit::None => key_name,
            Unit::Ns => self.string("nanoseconds"),
            Unit::Bytes => self.string("bytes"),
        };
        match key {
            KeyValue::Stack(_) => None,
            KeyValue::Signed(n) => Some(Label { key: key_name, str: 0, num: *n, num_unit: unit }),
            KeyValue::Unsigned(n) if i64::try_from(*n).is_ok() => {
                Some(Label { key: key_name, str: 0, num: *n as i64, num_unit: unit })
            }
            text => {
                let mut value = String::new();
                push_key(&mut value, text);
                Some(Label { key: key_name, str: self.string(&value), num: 0, num_unit: 0 })
            }
        }
    }

    /// A place that is no function of a program.
    pub fn mark(&mut self, mark: &'static str) -> u64 {
        if let Some(id) = self.known_marks.get(mark) {
            return *id;
        }
        let name = self.string(mark);
        let line = Line { function_id: self.function(name, 0), line: 0 };
        let id = self.location(0, 0, vec![line]);
        self.known_marks.insert(mark, id);
        id
    }

    pub fn frame(&mut self, frame: &'a Frame) -> u64 {
        if let Some(id) = self.known_frames.get(frame) {
            return *id;
        }
        let mut lines = Vec::with_capacity(frame.inlined.len() + 1);
        for inlined in &frame.inlined {
            let name = self.name(&inlined.name);
            lines.push(self.line(name, inlined.source.as_ref()));
        }
        let name = match &frame.place {
            Place::Symbol { name, .. } => self.name(name),
            _ => {
                let mut name = String::from("[");
                push_unnamed(&mut name, frame, '+');
                name.push(']');
                self.string(&name)
            }
        };
        lines.push(self.line(name, frame.source.as_ref()));
        let mapping = match &frame.place {
            Place::Symbol { module, .. } | Place::Offset { module, .. } => self.mapping(module),
            Place::Address { .. } => 0,
        };
        let id = self.location(mapping, frame.address, lines);
        self.known_frames.insert(frame, id);
        id
    }

    fn line(&mut self, name: i64, source: Option<&Source>) -> Line {
        let file = source.map_or(0, |source| self.name(&source.file));
        let line = source.and_then(|source| source.line).unwrap_or(0);
        Line { function_id: self.function(name, file), line: line.into() }
    }

    fn function(&mut self, name: i64, filename: i64) -> u64 {
        let id = self.functions.len() as u64 + 1;
        let known = *self.known_functions.entry((name, filename)).or_insert(id);
        if known == id {
            self.functions.push(Function { id, name, filename });
        }
        known
    }

    pub fn mapping(&mut self, module: &'a str) -> u64 {
        if let Some(id) = self.known_mappings.get(module) {
            return *id;
        }
        let id = self.mappings.len() as u64 + 1;
        let filename = self.name(module);
        self.mappings.push(Mapping { id, filename, has_functions: true });
        self.known_mappings.insert(module, id);
        id
    }

    fn location(&mut self, mapping_id: u64, address: u64, line: Vec<Line>) -> u64 {
        let id = self.locations.len() as u64 + 1;
        self.locations.push(Location { id, mapping_id, address, line });
        id
    }
}
