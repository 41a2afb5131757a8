//! Where a report goes: standard output or a file.
pub mod file;
pub mod stderr;

use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Result;

use crate::error::Advice;
use crate::program::error::printable;
use file::{OutputFile, Shape};

pub struct Sink {
    out: BufWriter<Out>,
    /// Where it goes, in words.
    place: String,
}

enum Out {
    Stdout(io::Stdout),
    File(OutputFile),
}

const BUFFER_BYTES: usize = 256 << 10;

impl Sink {
    /// Opens before anything is attached: an unwritable output is known at once.
    pub fn open(path: Option<&Path>, shape: Shape) -> Result<Sink> {
        let place = match path {
            Some(name) => format!("`{}`", printable(&name.display().to_string())),
            None => "standard output".to_owned(),
        };
        let out = match path {
            Some(name) => Out::File(OutputFile::open(name, shape).map_err(|error| {
                let advice = "-o with a file in a folder that exists and may be written";
                Advice::new(format!("write to {place}: {error}"), advice)
            })?),
            None => Out::Stdout(io::stdout()),
        };
        Ok(Sink { out: BufWriter::with_capacity(BUFFER_BYTES, out), place })
    }

    pub fn is_terminal(&self) -> bool {
        matches!(self.out.get_ref(), Out::Stdout(out) if io::IsTerminal::is_terminal(out))
    }

    /// The run has begun: from here on a file that grows has only what is new.
    pub fn begin(&mut self) -> io::Result<()> {
        match self.out.get_mut() {
            Out::Stdout(_) => Ok(()),
            Out::File(file) => file.begin(),
        }
    }

    /// Everything is written.
    pub fn finish(&mut self) -> io::Result<()> {
        self.out.flush()?;
        match self.out.get_mut() {
            Out::Stdout(_) => Ok(()),
            Out::File(file) => file.finish(),
        }
    }

    /// A failed write with its place and what to do. A closed pipe stays what it is: a normal end.
    pub fn explain(&self, error: io::Error) -> anyhow::Error {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return error.into();
        }
        let advice = "make room, or -o with a file elsewhere";
        Advice::new(format!("write to {}: {error}", self.place), advice).into()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Out::Stdout(out) => out.write(bytes),
            Out::File(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Out::Stdout(out) => out.flush(),
            Out::File(file) => file.flush(),
        }
    }
}
