//! Words that users of dtrace, bpftrace and perf bring along: theirs in, ours out. Only for suggestions.

const WORDS: [(&str, &str); 11] = [
    ("execname", "comm"),
    ("probefunc", "syscall"),
    ("tgid", "pid"),
    ("nsecs", "timestamp"),
    ("retval", "ret"),
    ("duration", "elapsed"),
    ("latency", "elapsed"),
    ("copyinstr", "str"),
    ("stringof", "str"),
    ("hist", "quantize"),
    ("lhist", "lquantize"),
];

pub fn ours(word: &str) -> Option<&'static str> {
    WORDS.iter().find(|(theirs, _)| theirs.eq_ignore_ascii_case(word)).map(|(_, ours)| *ours)
}
