//! The shapes that the kernel side and the user side agree on. Integers only, padding spelled out.
#![no_std]

pub mod account;
pub mod clause;
pub mod function;
pub mod loss;
pub mod profile;
pub mod sched;
pub mod stack;
pub mod syscall;
pub mod target;
pub mod text;
pub mod udp;
pub mod walk;
