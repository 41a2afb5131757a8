//! Tracing for a live Linux box, in the order in which an event walks through it.
#![deny(unsafe_code)]

pub mod attach;
pub mod btf;
pub mod cli;
pub mod error;
pub mod merge;
pub mod program;
pub mod providers;
pub mod render;
pub mod resolve;
pub mod session;
pub mod sinks;
pub mod snapshot;
pub mod sockets;
pub mod stream;
pub mod symbolize;
pub mod sys;
