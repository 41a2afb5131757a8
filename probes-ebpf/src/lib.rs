//! What every provider's programs are made of: safe wrappers, and all the unsafe code of the kernel side.
#![no_std]
// On the host only clippy reads this crate, and knows no BPF registers.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod arrival;
pub mod atomic;
pub mod call;
pub mod choice;
pub mod clause;
pub mod datagram;
pub mod lives;
pub mod loss;
pub mod refused;
pub mod site;
pub mod stacks;
pub mod target;
pub mod task;
pub mod texts;

/// A panic cannot happen: the verifier would reject the program that could reach this loop.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
