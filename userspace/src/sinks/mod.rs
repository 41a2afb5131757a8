//! Where a report goes: standard output or a file. Nothing is half written: a file appears whole, under its name, at the
//! end.
pub mod stderr;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::error::Advice;
use crate::program::error::printable;

pub enum Sink {
    Stdout(BufWriter<io::Stdout>),
    /// Written beside its final name and renamed when it is complete.
    File {
        file: BufWriter<File>,
        name: PathBuf,
        partial: Option<PathBuf>,
    },
}

const BUFFER_BYTES: usize = 256 << 10;

impl Sink {
    /// Opens before anything is attached: an unwritable output is known at once.
    pub fn open(path: Option<&Path>) -> Result<Sink> {
        let Some(name) = path else {
            return Ok(Sink::Stdout(BufWriter::with_capacity(BUFFER_BYTES, io::stdout())));
        };
        // A device or a pipe cannot be replaced by a new file.
        let special = fs::metadata(name).is_ok_and(|metadata| !metadata.is_file());
        let partial = (!special).then(|| {
            let mut partial = name.as_os_str().to_owned();
            partial.push(format!(".partial-{}", std::process::id()));
            PathBuf::from(partial)
        });
        let target = partial.as_deref().unwrap_or(name);
        let file = File::options().write(true).create(!special).truncate(!special).open(target).map_err(|error| {
            let name = printable(&name.display().to_string());
            Advice::new(
                format!("write to `{name}`: {error}"),
                "-o with a file in a folder that exists and may be written",
            )
        })?;
        Ok(Sink::File { file: BufWriter::with_capacity(BUFFER_BYTES, file), name: name.to_owned(), partial })
    }

    pub fn is_terminal(&self) -> bool {
        matches!(self, Sink::Stdout(_)) && io::IsTerminal::is_terminal(&io::stdout())
    }

    /// Everything is written: a file takes its name.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        if let Sink::File { name, partial, .. } = &mut self
            && let Some(partial) = partial.take()
        {
            fs::rename(partial, name)?;
        }
        Ok(())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Stdout(out) => out.write(bytes),
            Sink::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Stdout(out) => out.flush(),
            Sink::File { file, .. } => file.flush(),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Sink::File { partial: Some(partial), .. } = self {
            let _ = fs::remove_file(partial);
        }
    }
}
