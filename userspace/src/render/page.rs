//! Text on its way out: written a page at a time, so that a report of any length takes little memory.
use std::io::{self, Write};

pub const PAGE_BYTES: usize = 64 * 1024;

pub struct Page<'a> {
    pub text: String,
    pub out: &'a mut dyn Write,
}

impl<'a> Page<'a> {
    pub fn new(out: &'a mut dyn Write) -> Page<'a> {
        Page { text: String::new(), out }
    }

    /// Between rows: writes what there is where it is enough.
    pub fn turn(&mut self) -> io::Result<()> {
        if self.text.len() < PAGE_BYTES { Ok(()) } else { self.write() }
    }

    pub fn write(&mut self) -> io::Result<()> {
        self.out.write_all(self.text.as_bytes())?;
        self.text.clear();
        Ok(())
    }
}
