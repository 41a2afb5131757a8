//! One run: enable -> go -> work -> stop. Knows the stages, no provider by name, and formats nothing itself.
mod accounts;
mod advice;
mod buffers;
mod guard;
mod in_d;
mod pace;
mod points_in_d;
mod signals;
pub mod sockets;
mod stacks;
mod sums;
mod tables;
pub mod target;
mod texts;
mod threads;
mod watch;

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use crate::attach::listed::is_anybody_left;
use crate::attach::sampling::Sampling;
use crate::attach::target::Target;
use crate::attach::{self, Enabled, Request};
use crate::cli::plan::Plan;
use crate::error::Advice;
use crate::merge::loss::{self, Context as LossContext};
use crate::merge::order::arrange;
use crate::merge::plural::{agree, counted};
use crate::merge::value::Aggregation;
use crate::program::codegen::Shape;
use crate::program::layout::Layout;
use crate::program::tree::Action;
use crate::providers::{Begun, TextFaults};
use crate::render::report::{Accounts, Loss, Report, TooOften};
use crate::render::{self, Format, State};
use crate::sinks::{Sink, file, stderr};
use crate::snapshot::{self, loss::Counters, standing};
use crate::stream::Stream;
use crate::sys::command::{Inherited, Stopped};
use crate::sys::process;
use guard::Guard;
pub use in_d::show_program;
use signals::Signals;
use sockets::Sockets;
use stacks::Namer;

/// How often the ring is looked into. At 500,000 records a second 5 ms are 2,500 records.
const RING_TICK: Duration = Duration::from_millis(5);
const LISTED_TICK: Duration = Duration::from_millis(100);
/// A process that lives shorter than this leaves only what the watch of mappings tells to name its frames.
const SEEN_TICK: Duration = Duration::from_millis(50);
const LIVE_TICK: Duration = Duration::from_secs(1);

/// Errors: a process or thread that does not exist.
pub fn check_target(target: &Target) -> Result<()> {
    target::check(target)
}

/// What came of it, for the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    pub lost: bool,
}

/// Runs the plan to its end.
///
/// Errors: [`attach::features::Refusal`] and [`UsageError`] among others; nothing is left attached, no file half written.
pub fn run(mut plan: Plan) -> Result<Outcome> {
    target::check(&plan.target)?;
    let sink = Sink::open(plan.output.as_deref(), shape(&plan))?;
    let inherited = Inherited::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(async {
        // Before there is a command that an early Ctrl-C could leave behind.
        let mut signals = Signals::listen()?;
        let quiet = plan.quiet;
        let command = target::spawn(&plan.run, &mut plan.target, inherited)?;
        let result = Session::run(plan, sink, command.as_ref(), &mut signals).await;
        if let Some(command) = &command {
            target::leave(command, quiet);
        }
        result
    })
}

struct Session {
    plan: Plan,
    sink: Sink,
    enabled: Enabled,
    /// Clauses of other providers.
    beside: Vec<Enabled>,
    stream: Option<Stream>,
    possible_cpus: u32,
    started_unix_ns: u64,
    /// Beginning of the interval, monotonic.
    since_ns: u64,
    /// The ledger at the end of the last interval.
    counted: (Counters, Option<u64>),
    state: State,
    /// For the first report: what was so when tracing began.
    at_start: Vec<String>,
    lost: bool,
    line: Vec<u8>,
    texts: TextFaults,
    /// At the end of the last interval.
    samples_missed: u64,
    /// Where keys are stacks: of the first clause of which that is so, by its number in [`Session::all`].
    namer: Option<Namer>,
    named: usize,
    /// Where keys are shown as something else.
    sockets: Option<Sockets>,
    live: Live,
    guard: Option<Guard>,
    stopped: Option<TooOften>,
}

/// The one line on a terminal's stderr.
struct Live {
    on: bool,
    shown: bool,
    firings: u64,
}

/// Why the work is over.
enum End {
    Asked,
    PipeClosed,
}

impl Session {
    async fn run(plan: Plan, sink: Sink, command: Option<&Stopped>, signals: &mut Signals) -> Result<Outcome> {
        let enable = |provider, clause, sampling, limits| {
            attach::enable(&Request {
                provider,
                clause,
                target: &plan.target,
                limits,
                intervals: plan.interval.is_some(),
                ring_bytes: plan.ring_bytes,
                sampling,
                points: plan.points.as_ref(),
                facts: plan.facts,
                verifier_log: plan.verifier_log,
            })
        };
        let enabled = enable(plan.provider, &plan.clause, plan.sampling, plan.limits)?;
        let others =
            plan.beside.iter().map(|beside| enable(beside.provider, &beside.clause, beside.sampling, beside.limits));
        let beside = others.collect::<Result<Vec<_>>>()?;
        let clauses = plan.beside.iter().map(|beside| (beside.provider, &beside.clause, &beside.scope));
        let clauses = std::iter::once((plan.provider, &plan.clause, &plan.scope)).chain(clauses);
        let mut named = 0;
        let mut namer = clauses.enumerate().find_map(|(number, (provider, clause, scope))| {
            named = number;
            match &clause.action {
                Action::Aggregate { keys, .. } => {
                    let shown = plan.view.as_ref().map_or(keys, |view| &view.shown);
                    Namer::new(shown, scope, provider.sampler.is_some(), plan.naming)
                }
                Action::Stream => None,
            }
        });
        // Whom we know to be sampled is opened while nothing is lost by it.
        if let Some(namer) = &mut namer {
            plan.target.pids.iter().for_each(|pid| namer.remember(*pid));
        }
        let sockets = plan.view.as_ref().map(Sockets::now).transpose().context("look at the sockets")?;
        let ends = target::ends(&plan)?;
        let live = Live {
            on: !plan.quiet
                && io::stderr().is_terminal()
                && plan.interval.is_none()
                && !sink_shares_terminal(&plan, &sink),
            shown: false,
            firings: 0,
        };
        let state = State::new(plan.interval.is_some());
        let mut session = Session {
            plan,
            sink,
            enabled,
            beside,
            stream: None,
            possible_cpus: process::possible_cpus(),
            started_unix_ns: 0,
            since_ns: 0,
            counted: (Counters::default(), Some(0)),
            state,
            at_start: Vec::new(),
            lost: false,
            line: Vec::new(),
            texts: TextFaults::default(),
            samples_missed: 0,
            namer,
            named,
            sockets,
            live,
            guard: None,
            stopped: None,
        };
        if signals.came_already().await {
            let what = "interrupted before tracing began: nothing was traced";
            return Err(Advice::new(what, "wait for the line `spoor: tracing`").into());
        }
        session.go(command)?;
        let mut ended = std::pin::pin!(target::all_end(ends));
        let end = tokio::select! {
            worked = session.work() => worked?,
            () = signals.recv() => End::Asked,
            () = &mut ended => End::Asked,
        };
        session.stop(end)
    }

    fn go(&mut self, command: Option<&Stopped>) -> Result<()> {
        if let (Some(ring), Shape::Stream { record_bytes, .. }) = (self.enabled.ring.take(), &self.enabled.shape) {
            self.stream = Some(Stream::new(ring, *record_bytes)?);
        }
        self.started_unix_ns = process::unix_ns();
        self.since_ns = process::monotonic_ns();
        self.guard = self.plan.max_rate.map(|most| Guard::begin(most, self.since_ns)).transpose()?;
        for beside in &mut self.beside {
            beside.go(&self.plan.target)?;
        }
        self.enabled.go(&self.plan.target)?;
        if let Some(sockets) = &mut self.sockets {
            sockets.mark();
        }
        let refused = self.enabled.refused_points().iter().map(|(name, why)| format!("{name} is not traced: {why}"));
        self.at_start.extend(refused);
        if self.plan.provider.walk.is_some() {
            self.since_ns = process::monotonic_ns();
            let standing = self.enabled.begin()?;
            let closed = standing::keep(&standing, &self.enabled.maps)?;
            if closed > 0 {
                let processes = agree(Some(closed as u64), "processes");
                self.at_start.push(format!(
                    "the memory of {closed} {processes} could not be read (CAP_SYS_PTRACE): of threads that slept when tracing began there is one user frame"
                ));
            }
        }
        if command.is_none() {
            self.at_start.extend(target::ended(&self.plan.target));
        }
        if shape(&self.plan) == file::Shape::Growing {
            self.sink.begin().map_err(|error| self.sink.explain(error))?;
        }
        if !self.plan.quiet {
            for note in &self.plan.notes {
                stderr::say_line(format_args!("spoor: {note}"));
            }
            // On one line, so that scripts can wait for it.
            let (whom, until) = (self.whom(), how_it_ends(&self.plan));
            stderr::say_line(format_args!("spoor: tracing {whom}; {until}"));
        }
        if let Some(command) = command {
            target::release(command, &self.plan.run)?;
        }
        Ok(())
    }

    fn whom(&self) -> String {
        let whom = target::words(&self.plan.target);
        let Some(points) = &self.plan.points else { return whom };
        let ways: Vec<&str> = self.enabled.point_ways().iter().map(|how| how.name()).collect();
        let traced = points.points.len() - self.enabled.refused_points().len().min(points.points.len());
        format!("{} ({}) in {whom}", counted(traced as u64, "point"), ways.join(", "))
    }

    /// Until the time is over: intervals, events, the live line.
    async fn work(&mut self) -> Result<End> {
        let start = Instant::now();
        let far = start + Duration::from_secs(u32::MAX.into());
        let deadline = self.plan.duration.map_or(far, |duration| start + duration);
        let every = |period: Duration| {
            let mut ticks = interval_at(start + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let mut reports = every(self.plan.interval.unwrap_or(Duration::from_secs(1 << 20)));
        let mut ring = every(RING_TICK);
        let mut live = every(LIVE_TICK);
        let mut seen = every(SEEN_TICK);
        // Threads and followed children have no descriptors that tell their end.
        let listed = self.plan.target.listed().is_some();
        let mut look = every(LISTED_TICK);
        let mut guard = every(guard::TICK);
        loop {
            let done = tokio::select! {
                biased;
                () = sleep_until(deadline) => return Ok(End::Asked),
                _ = guard.tick(), if self.guard.is_some() => {
                    if self.is_too_much() {
                        return Ok(End::Asked);
                    }
                    Ok(())
                }
                _ = reports.tick(), if self.plan.interval.is_some() => self.report_interval(),
                _ = ring.tick(), if self.stream.is_some() => self.drain(false),
                // A command's end is the end in any case.
                _ = look.tick(), if listed && self.plan.run.is_empty() => {
                    if !is_anybody_left(self.enabled.maps["TARGETS"].as_fd())? {
                        return Ok(End::Asked);
                    }
                    Ok(())
                }
                _ = seen.tick(), if self.namer.is_some() || self.sockets.is_some() => self.remember(false),
                _ = live.tick(), if self.live.on => self.show_live(start.elapsed()),
            };
            if let Err(error) = done {
                return if is_closed_pipe(&error) { Ok(End::PipeClosed) } else { Err(error) };
            }
        }
    }

    /// Whether programs run more often than the user allows.
    fn is_too_much(&mut self) -> bool {
        let runs = self.all().map(Enabled::runs).sum();
        let now = process::monotonic_ns();
        self.stopped = self.guard.as_mut().and_then(|guard| guard.look(now, runs));
        self.stopped.is_some()
    }

    /// Opens what names the frames of those that were sampled for the first time, and looks for who holds the sockets of
    /// new rows; `must`: also where that has just taken its share of the time.
    fn remember(&mut self, must: bool) -> Result<()> {
        if let (Some(sockets), Some(tables)) = (&mut self.sockets, &mut self.enabled.tables)
            && let Action::Aggregate { keys, columns } = &self.plan.clause.action
            && (must || sockets.pace.is_over(process::monotonic_ns()))
        {
            let begun_ns = process::monotonic_ns();
            let (rows, _) = tables::read(tables, keys, columns, self.possible_cpus, false)?;
            sockets.remember(keys, &rows);
            sockets.pace.rest(begun_ns, process::monotonic_ns());
        }
        let Some(mut namer) = self.namer.take() else { return Ok(()) };
        let seen = self.all().nth(self.named).expect("a clause has its tables").maps["SEEN"].as_fd();
        let remembered = namer.remember_new(seen);
        self.namer = Some(namer);
        remembered
    }

    /// The plan's own clause, then those beside it.
    fn all(&self) -> impl Iterator<Item = &Enabled> {
        std::iter::once(&self.enabled).chain(&self.beside)
    }

    /// The ledgers of all clauses together.
    fn counters(&self) -> Result<Counters> {
        let mut sum = Counters::default();
        for enabled in self.all() {
            sum += Counters::read(enabled.loss_map(), self.possible_cpus)?;
        }
        Ok(sum)
    }

    fn recursion_misses(&self) -> Option<u64> {
        self.all().map(Enabled::recursion_misses).sum()
    }

    fn stop(mut self, end: End) -> Result<Outcome> {
        // Before the programs are taken off, which takes time, and once more for what came in that time.
        self.remember(true)?;
        self.enabled.stop()?;
        for beside in &mut self.beside {
            beside.stop()?;
        }
        self.remember(true)?;
        self.clear_live();
        if self.stopped.is_some() {
            self.enabled.stop_slow()?;
        }
        let finished = match end {
            End::PipeClosed => Ok(()),
            End::Asked if self.stream.is_some() => self.drain(true).and_then(|()| self.finish_events()),
            End::Asked => self.report_interval(),
        };
        self.detach_slow();
        match finished.and_then(|()| self.sink.finish().map_err(|error| self.sink.explain(error))) {
            Err(error) if !is_closed_pipe(&error) => Err(error),
            _ => Ok(Outcome { lost: self.lost }),
        }
    }

    /// Takes off what takes long, once the report is there.
    fn detach_slow(&mut self) {
        while let Some(left) = self.enabled.detach_slow() {
            if !self.plan.quiet && left > 0 && io::stderr().is_terminal() {
                stderr::say(format_args!("\r\x1b[K{} to detach", counted(left as u64, "point")));
                self.live.shown = true;
            }
        }
        self.clear_live();
    }

    /// Reads what happened since the last report and prints it.
    fn report_interval(&mut self) -> Result<()> {
        let until_ns = self.enabled.fire_open()?;
        let mut report = self.report(until_ns)?;
        self.lost |= report.loss.total() > 0;
        let intervals = self.plan.interval.is_some();
        if let Some(namer) = &mut self.namer
            && !self.beside.is_empty()
        {
            let (times, plan) = ((&mut self.enabled, &self.plan.clause), &self.plan);
            report.aggregation =
                threads::aggregation(times, &mut self.beside, &plan.beside, namer, self.possible_cpus, intervals)?;
            report.notes.extend(namer.notes());
        } else if let Action::Aggregate { keys, columns } = &self.plan.clause.action
            && let Some(tables) = &mut self.enabled.tables
        {
            if let Some(sockets) = &mut self.sockets {
                sockets.mark();
            }
            let (mut rows, other) = tables::read(tables, keys, columns, self.possible_cpus, intervals)?;
            self.live.firings = rows.firings();
            if let Some(namer) = &mut self.namer {
                let stacks = self.enabled.maps[attach::STACKS].as_fd();
                let layout = Layout::of(columns);
                let (joined, broken) = namer.join(stacks, &layout, rows)?;
                report.notes.extend(broken.into_iter().chain(namer.notes()));
                rows = namer.regroup(stacks, &layout, joined)?;
            }
            report.aggregation = match (&mut self.sockets, &self.plan.view) {
                (Some(sockets), Some(view)) => {
                    let (aggregation, accounts) = sockets.aggregation(
                        (view, &self.plan.scope),
                        (keys, columns),
                        (&rows, &other),
                        self.plan.provider.counted,
                    )?;
                    report.accounts = accounts;
                    aggregation
                }
                _ => tables::aggregation(&self.plan.scope, keys, columns, rows, &other),
            };
            if let Some(stacks) = self.enabled.maps.get(attach::STACKS) {
                texts::name(stacks.as_fd(), keys, &mut report.aggregation)?;
            }
        }
        let arranged = arrange(&mut report.aggregation, self.plan.order);
        if self.sockets.is_some() {
            let advice = advice::advise(&report.aggregation, &report.keys, &report.values, report.elapsed_ns);
            report.notes.extend(advice);
        }
        report.rows_left_out = arranged.left_out;
        report.totals = arranged.totals;
        if let Some(namer) = &mut self.namer
            && self.named == 0
        {
            namer.name(self.enabled.maps[attach::STACKS].as_fd(), &mut report.aggregation, &mut report.keys)?;
        }
        // What the ledger tells of did happen.
        let nothing_told = report.loss.kinds.iter().all(|line| line.count.unwrap_or(0) == 0);
        if report.is_empty() && report.events.is_none() && self.plan.clause.predicate.is_none() && nothing_told {
            report.notes.push(self.plan.provider.when_empty.to_owned());
        }
        if self.plan.format.is_data_only() {
            stderr::say(self.beside(&report));
        }
        self.render(&report)
    }

    /// A report without rows: time and loss. The ledger is read before the data: what is lost while the data is read
    /// belongs to the next report.
    fn report(&mut self, until_ns: Option<u64>) -> Result<Report> {
        let counters = self.counters()?;
        let misses = self.recursion_misses();
        let (counted, missed) = std::mem::replace(&mut self.counted, (counters, misses));
        let now = until_ns.unwrap_or_else(process::monotonic_ns);
        let samples_missed = self.all().filter_map(|enabled| enabled.samples_missed(self.possible_cpus)).sum();
        let context = LossContext {
            max_keys: self.enabled.tables.as_ref().map_or(0, |tables| tables.plan.hash.entries),
            ring_bytes: self.plan.ring_bytes,
            recursion_misses: misses.zip(missed).map(|(now, before)| now - before),
            events: self.stream.is_some(),
            in_flight: self.in_flight(now)?,
            texts: self.texts,
            samples_missed: samples_missed - self.samples_missed.min(samples_missed),
            out_of_order: self.stream.as_ref().map_or(0, |stream| stream.out_of_order),
        };
        self.samples_missed = self.samples_missed.max(samples_missed);
        let loss: Loss = loss::ledger(&counters.since(&counted), &context);
        let report = Report {
            command: self.plan.command_name.to_owned(),
            target: target::json(&self.plan.target),
            started_unix_ns: self.started_unix_ns,
            elapsed_ns: now - self.since_ns,
            sample_period_ns: self.plan.sampling.and_then(Sampling::period_ns),
            keys: self.plan.keys.clone(),
            values: self.plan.values.clone(),
            aggregation: Aggregation::default(),
            events: self.stream.as_ref().map(|stream| stream.emitted),
            rows_left_out: 0,
            totals: Vec::new(),
            layout: self.plan.layout,
            accounts: Accounts::default(),
            stopped: self.stopped,
            loss,
            notes: self.notes(),
        };
        if self.plan.interval.is_some() {
            self.started_unix_ns += now - self.since_ns;
            self.since_ns = now;
        }
        Ok(report)
    }

    fn notes(&mut self) -> Vec<String> {
        let mut notes = std::mem::take(&mut self.at_start);
        if let Some(tables) = &self.enabled.tables
            && tables.plan.reduced
        {
            let (keys, budget) = (tables.plan.hash.entries, tables.plan.budget);
            notes.push(format!(
                "room for {}: more do not fit into {budget} bytes of kernel memory (--map-memory)",
                counted(keys.into(), "key")
            ));
        }
        notes
    }

    /// What has begun and not ended, with how long it has lasted.
    fn in_flight(&self, now_ns: u64) -> Result<Vec<String>> {
        let mut calls: Vec<Begun> = Vec::new();
        for begun in self.plan.provider.in_flight.iter().filter(|begun| self.enabled.facts & begun.facts != 0) {
            let map = self.enabled.maps[begun.map].as_fd();
            let values =
                snapshot::read_values(map, begun.entries, begun.value_words).context("read what is in flight")?;
            calls.extend(values.iter().flat_map(|value| (begun.describe)(value, &self.plan.scope)));
        }
        calls.retain(|call| call.since_ns < now_ns);
        calls.sort_by_key(|call| call.since_ns);
        let in_words = |call: &Begun| {
            let seconds = (now_ns - call.since_ns) as f64 / 1e9;
            format!("{} (tid {}, {seconds:.3} s)", call.what, call.tid)
        };
        Ok(calls.iter().map(in_words).collect())
    }

    fn drain(&mut self, at_end: bool) -> Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let render = if self.plan.format == Format::Json {
            self.plan.provider.event_json
        } else {
            self.plan.provider.event_text
        };
        let (line, sink, texts) = (&mut self.line, &mut self.sink, &mut self.texts);
        let pids = self.plan.view.as_ref().map_or(&[][..], |view| &view.pids);
        let mut holders = sockets::Meant { sockets: self.sockets.as_mut(), pids };
        let before = stream.emitted;
        stream.drain(at_end, |record| {
            line.clear();
            *texts += render(record, &mut holders, line);
            sink.write_all(line).map_err(|error| sink.explain(error))?;
            Ok(!line.is_empty())
        })?;
        // Whoever reads along sees them now; nothing new needs no call.
        if stream.emitted > before { sink.flush().map_err(|error| sink.explain(error)) } else { Ok(()) }
    }

    /// The ledger of a stream: on stderr for people, as a last object in JSON.
    fn finish_events(&mut self) -> Result<()> {
        let report = self.report(None)?;
        self.lost |= report.loss.total() > 0;
        if self.plan.format == Format::Json {
            return self.render(&report);
        }
        if !self.plan.quiet {
            stderr::say_line(format_args!("spoor: {} events", report.events.unwrap_or(0)));
        }
        stderr::say(self.beside(&report));
        Ok(())
    }

    /// What stderr says where the data has no place for it. A loss is not chatter: it is said in any case.
    fn beside(&self, report: &Report) -> String {
        if self.plan.quiet { render::losses(report) } else { render::afterword(report) }
    }

    fn render(&mut self, report: &Report) -> Result<()> {
        render::render(report, self.plan.format, &mut self.sink, &mut self.state)
            .and_then(|()| self.sink.flush())
            .map_err(|error| self.sink.explain(error))
    }

    fn show_live(&mut self, elapsed: Duration) -> Result<()> {
        let counters = self.counters()?;
        let lost = loss::ledger(
            &counters,
            &LossContext { recursion_misses: self.recursion_misses(), ..LossContext::default() },
        )
        .total();
        let (firings, keys) = match (&mut self.enabled.tables, &self.plan.clause.action) {
            (Some(tables), Action::Aggregate { keys, columns }) => {
                let (rows, other) = tables::read(tables, keys, columns, self.possible_cpus, false)?;
                (rows.firings() + other.firings(), Some(rows.len()))
            }
            _ => (self.stream.as_ref().map_or(0, |stream| stream.emitted), None),
        };
        let rate = firings.saturating_sub(self.live.firings) / LIVE_TICK.as_secs();
        self.live.firings = firings;
        let keys = keys.map_or(String::new(), |keys| format!("  {keys} keys"));
        stderr::say(format_args!("\r\x1b[K{}s  {rate} events/s{keys}  {lost} lost", elapsed.as_secs()));
        self.live.shown = true;
        Ok(())
    }

    fn clear_live(&mut self) {
        if std::mem::take(&mut self.live.shown) {
            stderr::say("\r\x1b[K");
        }
    }
}

/// One report comes whole; what goes on and on can be read along.
fn shape(plan: &Plan) -> file::Shape {
    let goes_on = matches!(plan.clause.action, Action::Stream) || plan.interval.is_some();
    if goes_on { file::Shape::Growing } else { file::Shape::Whole }
}

/// Events on the same terminal leave no place for a line that stays.
fn sink_shares_terminal(plan: &Plan, sink: &Sink) -> bool {
    matches!(plan.clause.action, Action::Stream) && sink.is_terminal()
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn how_it_ends(plan: &Plan) -> String {
    match plan.duration {
        Some(duration) => format!("for {}", humantime::format_duration(duration)),
        None if plan.target.is_everything() => "until Ctrl-C".to_owned(),
        None if plan.target.pids.len() + plan.target.tids.len() > 1 => "until they end or Ctrl-C".to_owned(),
        None => "until it ends or Ctrl-C".to_owned(),
    }
}
