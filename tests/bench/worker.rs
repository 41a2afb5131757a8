//! The process that is traced: this binary again, `bench --worker`. Reads a command a line, does it, prints a line.
use std::hint::black_box;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use spoor_tests::{Context, Result, bail};

use crate::stats::median;
use crate::{busy, crowd, datagrams, switches, sys};

/// What it calls itself: nobody else on the machine has this name.
pub const COMM: &str = "spoor-bench-hot";

/// Where the traced process runs; everybody else is sent to [`TOOL_CPU`].
pub const CPU: usize = 1;
pub const TOOL_CPU: usize = 0;

/// A batch is timed as one; a round ends with enough good ones, or has none to show.
const BATCH_CALLS: u64 = 1_000;
const GOOD_BATCHES: usize = 100;
const BATCHES_MAX: usize = 3_000;

/// One round of a timed loop.
#[derive(Clone, Copy, Debug)]
pub struct Hot {
    /// What who listens has to have heard: calls, or nanoseconds off the CPU.
    pub due: u64,
    /// The median of the good batches; None: the core was never ours alone.
    pub ns: Option<f64>,
}

pub struct Worker {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Worker {
    pub fn start() -> Result<Worker> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("--worker").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut worker = Worker {
            child,
            stdin: stdin.context("stdin is a pipe")?,
            stdout: BufReader::new(stdout.context("stdout is a pipe")?),
        };
        worker.ask("hello")?;
        Ok(worker)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The numbers that the worker answers with.
    pub fn ask(&mut self, what: &str) -> Result<Vec<f64>> {
        self.tell(what)?;
        self.answer().with_context(|| format!("at `{what}`"))
    }

    /// To be followed by [`Worker::answer`].
    pub fn tell(&mut self, what: &str) -> Result<()> {
        Ok(writeln!(self.stdin, "{what}")?)
    }

    pub fn answer(&mut self) -> Result<Vec<f64>> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        if line.is_empty() {
            bail!("the worker ended");
        }
        line.split_whitespace()
            .map(|word| word.parse().with_context(|| format!("the worker says `{}`", line.trim())))
            .collect()
    }

    /// A loop that answers with what is due, how many batches were good, and the time.
    pub fn hot(&mut self, work: &str) -> Result<Hot> {
        let answer = self.ask(work)?;
        let [due, good, ns] = answer[..] else { bail!("the worker says {answer:?}") };
        Ok(Hot { due: due as u64, ns: (good as usize >= GOOD_BATCHES / 4).then_some(ns) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `bench --worker`
pub fn run() -> Result<()> {
    sys::set_comm(COMM);
    sys::pin(CPU).context("pin the worker")?;
    let (mut best_ns, mut function) = (u64::MAX, None);
    for line in std::io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| -> Result<u64> { Ok(words.get(at).context("a number is missing")?.parse()?) };
        match words.first().copied() {
            Some("hello") => println!("0"),
            Some("hot") => println!("{}", hot(&mut best_ns)),
            Some("switches") => println!("{}", switches::timed(&mut best_ns)?),
            Some("paths") => println!("{}", switches::from_paths(number(1)?)?),
            Some("busy") => println!("{}", busy::spin_on(number(1)? as usize, number(2)?)?),
            Some("crowd") => println!("{}", crowd::calls()?),
            Some("few") => println!("{}", few()),
            Some("flood") => println!("{}", datagrams::flood(&mut best_ns)?),
            Some("datagrams") => println!("{}", datagrams::delivered(&mut best_ns)?),
            Some("send") => println!("{}", datagrams::some(words.get(1).copied().unwrap_or_default(), number(2)?)?),
            Some("spread") => println!("{}", spread(&mut best_ns, number(1)?)),
            Some("around") => println!("{}", around(number(1)?, number(2)?)),
            Some("keys") => println!("{}", keys(number(1)?)),
            Some("paced") => println!("{}", paced(number(1)?, number(2)?)),
            Some("load") => {
                function = Some(sys::Function::load(line.strip_prefix("load ").unwrap_or_default(), c"tracee_add")?);
                println!("0");
            }
            Some("calls") => println!("{}", calls(function.as_ref().context("nothing is loaded")?, number(1)?)),
            Some("full") => println!("{}", full(number(1)?)),
            other => bail!("no such work: {other:?}"),
        }
    }
    Ok(())
}

/// How long a piece of arithmetic takes that a neighbour on the same core slows down as much as it does the calls.
/// Batches between two slow ones are not counted: half of the differences here would be the host's.
#[inline(never)]
fn arithmetic_ns() -> u64 {
    let begin = sys::now_ns();
    let (mut a, mut b, mut c, mut d) = (1u64, 2u64, 3u64, 4u64);
    for i in 0..5_000u64 {
        a = a.wrapping_mul(3).wrapping_add(i);
        b = (b ^ b << 1).wrapping_add(i);
        c = c.rotate_left(3) ^ i;
        d = d.wrapping_add(c).wrapping_mul(5);
    }
    black_box((a, b, c, d));
    sys::now_ns() - begin
}

/// Batches of a timed loop, between two pieces of arithmetic each.
pub struct Batches {
    /// The slower piece, and ns per event.
    timed: Vec<(u64, f64)>,
    best_ns: u64,
}

impl Batches {
    /// Until enough are good. `best_ns`: the quickest arithmetic ever.
    pub fn measure(most: usize, events: u64, best_ns: &mut u64, mut batch: impl FnMut()) -> Batches {
        let mut timed = Vec::with_capacity(most);
        let (mut good, mut before) = (0, arithmetic_ns());
        while timed.len() < most && good < GOOD_BATCHES {
            let begin = sys::now_ns();
            batch();
            let ns = (sys::now_ns() - begin) as f64 / events as f64;
            let after = arithmetic_ns();
            *best_ns = (*best_ns).min(after);
            good += usize::from(is_good(before.max(after), *best_ns));
            timed.push((before.max(after), ns));
            before = after;
        }
        Batches { timed, best_ns: *best_ns }
    }

    /// `good-batches ns-per-event`
    pub fn answer(&self) -> String {
        let good = self.timed.iter().filter(|(slowest, _)| is_good(*slowest, self.best_ns));
        let ns: Vec<f64> = good.map(|(_, ns)| *ns).collect();
        format!("{} {:.2}", ns.len(), median(&ns).unwrap_or(0.0))
    }
}

/// `calls good-batches ns-per-call`
fn hot(best_ns: &mut u64) -> String {
    let batches = quietly(|| {
        Batches::measure(BATCHES_MAX, BATCH_CALLS, best_ns, || (0..BATCH_CALLS).for_each(|_| sys::getppid(0)))
    });
    format!("{} {}", batches.timed.len() as u64 * BATCH_CALLS, batches.answer())
}

/// The same without being quiet: a tracer that must run for each call finds a CPU.
fn few() -> String {
    const BATCH: u64 = 50;
    let mut took_ns = Vec::new();
    for _ in 0..GOOD_BATCHES {
        let begin = sys::now_ns();
        (0..BATCH).for_each(|_| sys::getppid(0));
        took_ns.push((sys::now_ns() - begin) as f64 / BATCH as f64);
    }
    format!("{} {GOOD_BATCHES} {:.2}", GOOD_BATCHES as u64 * BATCH, median(&took_ns).unwrap_or(0.0))
}

/// Calls with `keys` first arguments, all of them once and then in no order: `calls ns-of-the-first good-batches ns-of-the-others`.
fn spread(best_ns: &mut u64, keys: u64) -> String {
    // Prime, so that it takes all of them.
    const STRIDE: u64 = 2_654_435_761;
    quietly(|| {
        let begin = sys::now_ns();
        (0..keys).for_each(|key| sys::getppid(black_box(key)));
        let first_ns = (sys::now_ns() - begin) as f64 / keys as f64;
        let mut at = 0;
        let batches = Batches::measure(BATCHES_MAX, BATCH_CALLS, best_ns, || {
            for _ in 0..BATCH_CALLS {
                at = (at + STRIDE) % keys;
                sys::getppid(at);
            }
        });
        format!("{} {first_ns:.2} {}", keys + batches.timed.len() as u64 * BATCH_CALLS, batches.answer())
    })
}

/// One after the other and again from the first, for so long.
fn around(keys: u64, ms: u64) -> u64 {
    let end = sys::now_ns() + ms * 1_000_000;
    let mut done = 0;
    while done < keys || sys::now_ns() < end {
        (done..done + 100).for_each(|call| sys::getppid(call % keys));
        done += 100;
    }
    done
}

fn is_good(ns: u64, best_ns: u64) -> bool {
    ns * 100 <= best_ns * 103
}

/// Before everybody else on this CPU, and with nobody on the others: what a neighbour does costs up to half of the speed
/// where it shares the core, as the CPUs of a virtual machine may without telling. They rest in `pause`.
pub fn quietly<R>(work: impl FnOnce() -> R) -> R {
    let done = AtomicBool::new(false);
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get()).max(CPU + 1);
    let resting = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for cpu in (0..cpus).filter(|cpu| *cpu != CPU) {
            let (done, resting) = (&done, &resting);
            scope.spawn(move || {
                // Where it is not allowed, the neighbours are in the numbers, and the spread says so.
                let _ = sys::pin(cpu).and_then(|()| sys::real_time());
                resting.fetch_add(1, Ordering::Release);
                while !done.load(Ordering::Acquire) {
                    std::hint::spin_loop();
                }
            });
        }
        while resting.load(Ordering::Acquire) < cpus - 1 {
            std::thread::yield_now();
        }
        let _ = sys::real_time();
        let answer = work();
        let _ = sys::ordinary();
        done.store(true, Ordering::Release);
        answer
    })
}

/// `count` calls of a function that does nothing to speak of.
fn calls(function: &sys::Function, count: u64) -> u64 {
    quietly(|| (0..count).for_each(|call| function.call(black_box(call), call)));
    count
}

/// `count` calls with a first argument of their own each.
fn keys(count: u64) -> u64 {
    (0..count).for_each(|key| sys::getppid(black_box(key)));
    count
}

/// `rate` calls a second, evenly, by a clock that makes no calls; who was held up catches up.
fn paced(rate: u64, seconds: u64) -> u64 {
    let (begin, total) = (sys::now_ns(), rate * seconds);
    let mut done = 0;
    while done < total {
        let due = ((sys::now_ns() - begin) as u128 * u128::from(rate) / 1_000_000_000) as u64;
        while done < due.min(total) {
            sys::getppid(done);
            done += 1;
        }
    }
    total
}

fn full(seconds: u64) -> u64 {
    let end = sys::now_ns() + seconds * 1_000_000_000;
    let mut done = 0;
    while sys::now_ns() < end {
        (0..100).for_each(|_| sys::getppid(0));
        done += 100;
    }
    done
}
