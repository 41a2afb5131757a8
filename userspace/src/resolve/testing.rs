//! Files of code that a test makes with the C compiler, and processes that run them.
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that goes when the test ends.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("spoor-resolve-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().canonicalize().unwrap().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Compiles C, or C++ where the name of the source says so (`lib.so.cc` gives `lib.so`).
    pub fn compile(&self, name: &str, source: &str, options: &[&str]) -> PathBuf {
        let ending = if source.contains("namespace") { "cc" } else { "c" };
        let file = self.path(&format!("{name}.{ending}"));
        std::fs::write(&file, source).unwrap();
        let out = self.path(name);
        run(Command::new("gcc").arg(&file).arg("-o").arg(&out).args(["-O0", "-g0"]).args(options));
        out
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn run(command: &mut Command) {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A process that has written one line and now waits for its input's end.
pub struct Waiting {
    child: Child,
    pub said: String,
}

impl Waiting {
    pub fn start(program: &Path) -> Waiting {
        Waiting::of(&mut Command::new(program))
    }

    pub fn of(command: &mut Command) -> Waiting {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let out = child.stdout.as_mut().unwrap();
        let mut byte = [0];
        while out.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            said.push(char::from(byte[0]));
        }
        Waiting { child, said }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
