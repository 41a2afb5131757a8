//! How a workload talks to the one who started it: `ready PID` out, a line in, `done` and the counts out.
//! Speaks by readv and writev only and allocates nothing after `ready`, so that every other call is the work itself.
use core::fmt::{self, Write};

use crate::sys;

/// What was done exactly: calls by name, and other numbers worth knowing.
pub struct Did {
    counts: [(&'static str, u64); 12],
    used: usize,
}

impl Did {
    pub fn new() -> Did {
        Did { counts: [("", 0); 12], used: 0 }
    }

    pub fn and(mut self, name: &'static str, count: u64) -> Did {
        self.counts[self.used] = (name, count);
        self.used += 1;
        self
    }
}

#[derive(Default)]
pub struct Protocol {
    pub wait: bool,
    pub hold: bool,
    pub exit: i32,
}

impl Protocol {
    pub fn start(&self) {
        self.start_with(&[]);
    }

    /// `ready PID`, followed by the threads or children that exist; then blocks until a line comes.
    pub fn start_with(&self, others: &[libc::pid_t]) {
        if !self.wait {
            return;
        }
        let mut text = Text::new();
        let _ = write!(text, "ready {}", sys::getpid());
        for id in others {
            let _ = write!(text, " {id}");
        }
        let _ = text.write_str("\n");
        text.print(1);
        await_line();
    }

    /// `done`, the counts, and the end: one writev, with `--hold` one readv, one exit_group.
    pub fn end(&self, did: &Did) -> ! {
        let mut text = Text::new();
        let _ = text.write_str("done\n{");
        for (i, (name, count)) in did.counts[..did.used].iter().enumerate() {
            let _ = write!(text, "{}\"{name}\":{count}", if i == 0 { "" } else { "," });
        }
        let _ = text.write_str("}\n");
        text.print(1);
        if self.hold {
            await_line();
        }
        sys::exit_group(self.exit);
    }
}

/// One readv of at most 64 bytes. End of file means that the one who waited for us is gone.
pub fn await_line() {
    let mut line = [0u8; 64];
    if sys::readv(0, &mut line) <= 0 {
        sys::exit_group(3);
    }
}

pub fn say(line: &str) {
    let mut text = Text::new();
    let _ = writeln!(text, "{line}");
    text.print(1);
}

pub fn fail(why: fmt::Arguments) -> ! {
    let mut text = Text::new();
    let _ = writeln!(text, "workload: {why}");
    text.print(2);
    sys::exit_group(1);
}

/// What the kernel or the processor cannot do here: not an error of anybody's.
pub fn unsupported(why: &str) -> ! {
    let mut text = Text::new();
    let _ = writeln!(text, "unsupported {why}");
    text.print(1);
    sys::exit_group(77);
}

/// A line on the stack.
struct Text {
    bytes: [u8; 4096],
    used: usize,
}

impl Text {
    fn new() -> Text {
        Text { bytes: [0; 4096], used: 0 }
    }

    fn print(&self, fd: i32) {
        sys::writev(fd, &self.bytes[..self.used]);
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.used + text.len();
        self.bytes.get_mut(self.used..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.used = end;
        Ok(())
    }
}
