//! Sockets as the kernel and /proc tell of them: whose they are, how full, and what each namespace's counters say.
//! Knows no BPF and no provider; prints nothing.
pub mod closed;
pub mod counters;
pub mod devices;
pub mod diag;
pub mod moment;
pub mod namespaces;
pub mod owners;
pub mod softnet;
pub mod survey;

mod proc_udp;
