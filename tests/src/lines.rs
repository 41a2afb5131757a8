//! What a process prints: read by a thread as it comes, kept whole, waited for by line.
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::patience;

struct Seen {
    bytes: Vec<u8>,
    closed: bool,
}

/// The default is an output that nobody reads: closed and empty.
#[derive(Clone)]
pub struct Lines(Arc<(Mutex<Seen>, Condvar)>);

impl Default for Lines {
    fn default() -> Lines {
        Lines(Arc::new((Mutex::new(Seen { bytes: Vec::new(), closed: true }), Condvar::new())))
    }
}

impl Lines {
    pub fn of(from: impl Read + Send + 'static) -> Lines {
        let lines = Lines::default();
        lines.0.0.lock().expect("no reader panics").closed = false;
        let ours = lines.clone();
        std::thread::spawn(move || {
            let mut from = BufReader::new(from);
            loop {
                let mut line = Vec::new();
                let end = !from.read_until(b'\n', &mut line).is_ok_and(|len| len > 0);
                let mut seen = ours.0.0.lock().expect("no reader panics");
                seen.bytes.append(&mut line);
                seen.closed = end;
                ours.0.1.notify_all();
                if end {
                    return;
                }
            }
        });
        lines
    }

    /// Everything so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.0.lock().expect("no reader panics").bytes.clone()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The first complete line that begins with `start`.
    pub fn wait_for(&self, start: &str) -> Result<String> {
        self.wait_for_line(|line| line.starts_with(start)).with_context(|| format!("no line `{start}...`"))
    }

    /// The first complete line that has `words` in it.
    pub fn wait_for_words(&self, words: &str) -> Result<String> {
        self.wait_for_line(|line| line.contains(words)).with_context(|| format!("no line with `{words}`"))
    }

    fn wait_for_line(&self, is_it: impl Fn(&str) -> bool) -> Result<String> {
        self.wait(|seen| {
            let text = String::from_utf8_lossy(&seen.bytes);
            text.split_inclusive('\n')
                .find(|line| is_it(line) && line.ends_with('\n'))
                .map(|line| line.trim_end().to_owned())
        })
        .map_err(|why| anyhow::anyhow!("{why}; there was:\n{}", self.text()))
    }

    /// Everything, once nobody can write any more.
    pub fn wait_closed(&self) -> Result<Vec<u8>> {
        self.wait(|seen| seen.closed.then(|| seen.bytes.clone()))
    }

    fn wait<T>(&self, mut find: impl FnMut(&Seen) -> Option<T>) -> Result<T> {
        let end = Instant::now() + patience();
        let mut seen = self.0.0.lock().expect("no reader panics");
        loop {
            if let Some(found) = find(&seen) {
                return Ok(found);
            }
            if seen.closed {
                bail!("the output ended");
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{} s passed", patience().as_secs());
            }
            seen = self.0.1.wait_timeout(seen, left).expect("no reader panics").0;
        }
    }
}
