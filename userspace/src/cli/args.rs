//! What was typed. One definition: help, man page and completions come from it.
//! Where a value can begin with `-`, or where one that does deserves a better answer than "unknown option", the option
//! takes it.
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Find out on a live Linux box what a process is doing: dtrace-style aggregations, no compiler, no kernel headers.
#[derive(Debug, Parser)]
#[command(name = "spoor", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Print the man page or a shell's completions.
    #[arg(long, hide = true, value_enum)]
    pub generate: Option<Generate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Generate {
    Man,
    CompleteBash,
    CompleteZsh,
    CompleteFish,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Count and time system calls
    #[command(after_help = SYSCALLS_EXAMPLES)]
    Syscalls(Box<Syscalls>),
    /// Sample where processes run: functions and stacks, user and kernel
    #[command(after_help = PROFILE_EXAMPLES)]
    Profile(Box<Profile>),
    /// Time off the CPU: asleep and waiting, by the stack that it was left from, and who woke it
    #[command(after_help = OFFCPU_EXAMPLES)]
    Offcpu(Box<Offcpu>),
    /// One line a thread: on the CPU, waiting for one, blocked; switches, system calls, hottest function
    #[command(after_help = THREADS_EXAMPLES)]
    Threads(Box<Threads>),
    /// Count and time calls of functions: of a library, an executable or the kernel; tracepoints and USDT probes
    #[command(after_help = FUNC_EXAMPLES)]
    Func(Box<Func>),
    /// Count datagrams that the kernel lost: why, at which socket, of which process
    #[command(after_help = UDP_EXAMPLES)]
    Udp(Box<Udp>),
    /// Show providers and the fields that --by, --where and --agg can name
    List {
        /// Only fields whose name matches this pattern, such as 'arg*'; or the functions, tracepoints and USDT probes that
        /// a pattern of `spoor func` matches, such as 'libc:mem*'
        glob: Option<String>,
        /// Functions of the files that this process runs
        #[arg(short = 'p', long = "pid", value_name = "PID", value_parser = super::number::pid)]
        pid: Option<u32>,
    },
    /// Show what this kernel and these privileges allow, and what will not work
    Doctor,
}

const SYSCALLS_EXAMPLES: &str = "Examples:
  spoor syscalls -p 4242 -d 5s                          calls and errors of one process
  spoor syscalls -p 4242 -d 5s -L                       with durations
  spoor syscalls -d 5s --by comm,syscall --top 20       who calls what on this machine
  spoor syscalls -p 4242 --where 'ret < 0' --by syscall,errno
  spoor syscalls -p 4242 --where 'syscall == \"read\"' --agg 'quantize(elapsed)'
  spoor syscalls --events -- ls /tmp                    every call, as strace shows it

Fields, keys and functions: spoor list";

const PROFILE_EXAMPLES: &str = "Examples:
  spoor profile -p 4242 -d 5s                           the stacks that it runs in
  spoor profile -p 4242 -d 5s --by module,func --top 20 the functions, without who called them
  spoor profile -p 4242 -d 5s -o flame.svg              a flame graph; also .folded, .pb.gz for pprof, .json
  spoor profile -d 5s --by comm,pid                     who runs on this machine
  spoor profile -p 4242 --event page-faults --by stack  where its memory is touched first

Fields and keys: spoor list";

const OFFCPU_EXAMPLES: &str = "Examples:
  spoor offcpu -p 4242 -d 5s                            what it waits for, by stack
  spoor offcpu -p 4242 -d 5s --wakers                   and who ends the wait
  spoor offcpu -p 4242 -d 5s --min 10ms --state D       only long waits for the disk
  spoor offcpu -p 4242 -d 5s --state R --by tid         who waits for a CPU
  spoor offcpu -p 4242 -d 5s --by tid --agg 'quantize(offcpu)'
  spoor offcpu -p 4242 -d 5s -o flame.svg               a flame graph of the time asleep

Fields and keys: spoor list";

const THREADS_EXAMPLES: &str = "Examples:
  spoor threads -p 4242 -d 5s                           what each of its threads does
  spoor threads -d 5s --top 20                          the busiest threads of this machine
  spoor threads -p 4242 -i 1s                           every second

on-cpu, runnable and blocked add up to the time that the thread lived while it was traced.
user and kernel are on-cpu, divided as the samples of the thread are.
What next: spoor profile -t TID, spoor offcpu -t TID, spoor syscalls -t TID -L";

const FUNC_EXAMPLES: &str = "Patterns:
  libc:malloc              a function of a library, by its short name
  /opt/app:store::put*     of a file; C++ and Rust names as in the source
  malloc                   of the executable, else of its libraries, else of the kernel
  /opt/app:store::get+0x1a an instruction, by its offset in a function
  /opt/app:+0x1234         by its offset in the file
  /opt/app:worker.c:120    a line of its source, wherever it was inlined; needs debug symbols
  kernel:vfs_*             functions of the kernel
  kernel:vfs_read+0x1a     an instruction of one
  tracepoint:sched:sched_switch
  usdt:/usr/bin/python3:python:gc__start

Examples:
  spoor func -p 4242 -d 5s 'libc:mem*'                  how often each is called
  spoor func -p 4242 -d 5s -L libssl:SSL_read           with durations
  spoor func -p 4242 -d 5s libc:malloc --agg 'quantize(arg0)'
  spoor func -p 4242 -d 5s libc:malloc --by ustack      who calls it
  spoor func -p 4242 -d 5s libc:open64 --by 'str(arg0)' --where 'str(arg0) == \"/etc/*\"'
  spoor func -d 5s tracepoint:sched:sched_switch --by prev_comm
  spoor func -p 4242 --max-rate 100k 'libc:mem*'        which is stopped where that is too much

Fields: spoor list; what a pattern matches: spoor list PATTERN";

const UDP_EXAMPLES: &str = "Examples:
  spoor udp -d 10s                                      what is lost on this machine, and whose it was
  spoor udp -p 4242 -d 10s                              at the sockets of one process
  spoor udp --port 12201 -i 1s                          on one port, every second
  spoor udp -d 10s --by reason,raddr,lport              who sends what is lost
  spoor udp -d 10s --by reason,kstack                   where in the kernel
  spoor udp --all -d 10s                                also sends that fail, and what readers cut off
  spoor udp --events --port 12201                       every loss as it happens
  spoor udp --sockets --top 10                          the ten sockets that have dropped most so far

A socket's processes are those that hold it, never the one that happened to run.
fill is what waits in the receive buffer as the kernel accounts it: a small datagram takes several times its length.
Fields: spoor list";

#[derive(Debug, Args)]
pub struct Udp {
    /// List the sockets as they are now, of all network namespaces, and trace nothing
    #[arg(help_heading = "What to record", long, conflicts_with_all = ["peer", "duration", "interval", "max_rate", "by", "predicate", "functions", "max_keys", "map_memory", "show_program"])]
    pub sockets: bool,
    /// Also sends that fail: larger than the MTU, send buffer full, no route, refused
    #[arg(help_heading = "What to record", long, conflicts_with = "sockets")]
    pub sent: bool,
    /// Also datagrams that were longer than their reader's buffer: how many, and how many bytes were cut off
    #[arg(help_heading = "What to record", long, conflicts_with = "sockets")]
    pub truncated: bool,
    /// --sent and --truncated
    #[arg(help_heading = "What to record", long, conflicts_with = "sockets")]
    pub all: bool,
    #[command(flatten)]
    pub stream: StreamArgs,
    /// Only sockets that this process holds; may be given several times
    #[arg(help_heading = "Target (without any: the whole machine)", short = 'p', long = "pid", value_name = "PID", value_delimiter = ',', allow_hyphen_values = true, value_parser = super::number::pid)]
    pub pids: Vec<u32>,
    /// Only this port of ours
    #[arg(help_heading = "Target (without any: the whole machine)", long, value_name = "PORT", allow_hyphen_values = true, value_parser = super::number::port)]
    pub port: Option<u16>,
    /// Only what came from, or went to, this address
    #[arg(help_heading = "Target (without any: the whole machine)", long, value_name = "ADDR")]
    pub peer: Option<std::net::IpAddr>,
    #[command(flatten)]
    pub time: TimeArgs,
    #[command(flatten)]
    pub clause: ClauseArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub struct Func {
    /// Functions, tracepoints and USDT probes; * stands for any name
    #[arg(value_name = "PATTERN", required = true)]
    pub patterns: Vec<String>,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub time: TimeArgs,
    #[command(flatten)]
    pub points: PointArgs,
    #[command(flatten)]
    pub naming: NamingArgs,
    #[command(flatten)]
    pub clause: ClauseArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Wait for the return and measure how long each call takes: total, average, p50, p99 and maximum
    #[arg(short = 'L', long)]
    pub latency: bool,
    /// Run COMMAND, trace it from its first instruction, and end when it ends
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What to record")]
pub struct PointArgs {
    /// Stop where the patterns match more than this
    #[arg(long, value_name = "N", default_value_t = 1000, allow_hyphen_values = true, value_parser = super::number::count)]
    pub max_probes: u32,
    /// Wait for returns even in code with exceptions or stacks of its own, where one that leaves a call ends the process
    #[arg(long)]
    pub unsafe_returns: bool,
    /// Trace more than 20 points where the kernel takes 0.1 s and more to detach each (before 6.6)
    #[arg(long)]
    pub slow_detach: bool,
}

#[derive(Debug, Args)]
pub struct Threads {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub time: TimeArgs,
    /// Samples a second on each CPU
    #[arg(help_heading = "What to record", short = 'F', long = "frequency", value_name = "HZ", default_value_t = 499, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub hz: u32,
    /// Print what is counted as dtrace one-liners and exit
    #[arg(help_heading = "What to record", long)]
    pub show_program: bool,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Run COMMAND, trace it from its first instruction, and end when it ends
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub struct Offcpu {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub time: TimeArgs,
    #[command(flatten)]
    pub waits: WaitArgs,
    #[command(flatten)]
    pub naming: NamingArgs,
    #[command(flatten)]
    pub clause: ClauseArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Run COMMAND, trace it from its first instruction, and end when it ends
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Waits")]
pub struct WaitArgs {
    /// Only waits that lasted at least this long, such as 10ms or 50us
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = super::duration::parse_short)]
    pub min: Option<Duration>,
    /// Only waits that lasted at most this long
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, value_parser = super::duration::parse_short)]
    pub max: Option<Duration>,
    /// Only threads that left the CPU in one of these states: R (preempted), S, D, T, t, I...
    #[arg(long = "state", value_name = "STATE,...", value_delimiter = ',')]
    pub states: Vec<String>,
    /// Add who woke the thread, and from where
    #[arg(long)]
    pub wakers: bool,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Names")]
pub struct NamingArgs {
    /// Name functions that were inlined, too, from DWARF
    #[arg(long)]
    pub inlines: bool,
    /// Name source files and lines, from DWARF
    #[arg(long)]
    pub lines: bool,
}

#[derive(Debug, Args)]
pub struct Profile {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub time: TimeArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub naming: NamingArgs,
    #[command(flatten)]
    pub clause: ClauseArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Run COMMAND, sample it from its first instruction, and end when it ends
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Samples")]
pub struct SamplingArgs {
    /// Samples a second on each CPU [default: 99 of cpu-clock and the processor's counters, each one of all others]
    #[arg(short = 'F', long = "frequency", value_name = "HZ", value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub hz: Option<u32>,
    /// What to sample: cpu-clock, page-faults, context-switches, cycles, instructions, cache-misses...
    #[arg(long, value_name = "EVENT", default_value = "cpu-clock")]
    pub event: String,
}

#[derive(Debug, Args)]
pub struct Syscalls {
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub time: TimeArgs,
    #[command(flatten)]
    pub clause: ClauseArgs,
    #[command(flatten)]
    pub stream: StreamArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    /// Measure durations, too: total, average, p50, p99 and maximum of each row
    #[arg(short = 'L', long)]
    pub latency: bool,
    /// Run COMMAND, trace it from its first instruction, and end when it ends
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Target (without any: the whole machine but spoor)")]
pub struct TargetArgs {
    /// A process with all its threads; may be given several times
    #[arg(short = 'p', long = "pid", value_name = "PID", value_delimiter = ',', allow_hyphen_values = true, value_parser = super::number::pid)]
    pub pids: Vec<u32>,
    /// One thread; may be given several times
    #[arg(short = 't', long = "tid", value_name = "TID", value_delimiter = ',', allow_hyphen_values = true, value_parser = super::number::tid)]
    pub tids: Vec<u32>,
    /// Only threads whose name matches this pattern (*, ?, [a-z])
    #[arg(long, value_name = "GLOB", allow_hyphen_values = true)]
    pub comm: Option<String>,
    /// Only processes in this cgroup (v2) and below it; a folder, or a path under the hierarchy's root
    #[arg(long = "cgroup", value_name = "PATH")]
    pub cgroups: Vec<PathBuf>,
    /// Follow children: those that exist and those born later
    #[arg(long)]
    pub follow: bool,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Time")]
pub struct TimeArgs {
    /// How long to trace, such as 5s, 500ms or 2m; else until Ctrl-C or until the target ends
    #[arg(short = 'd', long, value_name = "DURATION", allow_hyphen_values = true, value_parser = super::duration::parse)]
    pub duration: Option<Duration>,
    /// Detach and report at once if probes fire more often than this in a second, such as 100k, whether or not --where
    /// wants them. The kernel counts and times the runs of all its BPF programs for that (needs CAP_SYS_ADMIN): two looks
    /// at a clock each
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = super::number::count)]
    pub max_rate: Option<u32>,
    /// Report what happened in each interval of this length
    #[arg(short = 'i', long, value_name = "DURATION", allow_hyphen_values = true, value_parser = super::duration::parse)]
    pub interval: Option<Duration>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What to record")]
pub struct ClauseArgs {
    /// Keys of the aggregation: fields or expressions, separated by commas
    #[arg(long, value_name = "KEY,...", allow_hyphen_values = true)]
    pub by: Option<String>,
    /// Only what this expression is true for
    #[arg(long = "where", value_name = "EXPR", allow_hyphen_values = true)]
    pub predicate: Option<String>,
    /// Aggregating function: count() sum(x) avg(x) min(x) max(x) stddev(x) quantize(x) lquantize(x,low,high,step)
    /// llquantize(x,factor,lmag,hmag,steps) p50(x) p99(x) percentile(x,99.9); may be given several times
    #[arg(long = "agg", value_name = "FN", allow_hyphen_values = true)]
    pub functions: Vec<String>,
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Print the clause as a dtrace one-liner and exit
    #[arg(long)]
    pub show_program: bool,
    /// If the kernel's verifier refuses a program, print all that it says
    #[arg(long)]
    pub verifier_log: bool,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What to record")]
pub struct LimitArgs {
    /// Room for this many keys; what finds the table full is counted under <other>
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = super::number::count)]
    pub max_keys: Option<u32>,
    /// Kernel memory for the tables, such as 16M [default: 64M, 16M on machines below 2G]
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = super::number::bytes)]
    pub map_memory: Option<u64>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What to record")]
pub struct StreamArgs {
    /// Show every firing as a line instead of aggregating
    #[arg(long, conflicts_with_all = ["by", "functions", "interval", "top", "sort", "asc", "desc", "max_keys"])]
    pub events: bool,
    /// Size of the ring buffer of --events
    #[arg(long, value_name = "BYTES", default_value = "16M", allow_hyphen_values = true, value_parser = super::number::ring_bytes)]
    pub ring: u32,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Keep the N largest rows; 0 keeps all
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = super::number::rows)]
    pub top: Option<usize>,
    /// Order of rows
    #[arg(long, value_enum, default_value_t = SortArg::Value)]
    pub sort: SortArg,
    /// Smallest first (default with --agg, as dtrace)
    #[arg(long, conflicts_with = "desc")]
    pub asc: bool,
    /// Largest first (default of tables, as strace -c)
    #[arg(long)]
    pub desc: bool,
    /// Format of the report [default: by the ending of -o, else text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<FormatArg>,
    /// Write the report to this file
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Exit with status 3 if anything was lost
    #[arg(long)]
    pub strict: bool,
    /// Say nothing on stderr but errors and losses
    #[arg(short = 'q', long)]
    pub quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortArg {
    Value,
    Key,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    Text,
    Json,
    Csv,
    Folded,
    Svg,
    Pprof,
}
