//! What CPUs lost for want of room in their queue of packets that came in: the text of /proc/net/softnet_stat in,
//! [`Softnet`] out. It is of the whole host, and of all protocols, in whichever namespace it is read.
use std::collections::HashMap;

/// By CPU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Softnet(HashMap<u32, u32>);

/// In words behind the first (v5.10 net/core/net-procfs.c, softnet_seq_show).
const DROPPED: usize = 1;
/// Since 5.10; before it lines are CPUs that are online.
const CPU: usize = 12;

impl Softnet {
    /// A line each, of numbers in hexadecimal. Those that are none are left out.
    pub fn parse(text: &str) -> Softnet {
        let numbers = |line: &str| -> Vec<u32> {
            line.split_ascii_whitespace().map_while(|word| u32::from_str_radix(word, 16).ok()).collect()
        };
        let cpu = |(line, text): (u32, &str)| {
            let numbers = numbers(text);
            Some((numbers.get(CPU).copied().unwrap_or(line), *numbers.get(DROPPED)?))
        };
        Softnet((0..).zip(text.lines()).filter_map(cpu).collect())
    }

    /// Packets since an earlier reading. Counters pass their end: the kernel's are 32 bits wide.
    pub fn since(&self, before: &Softnet) -> u64 {
        let both = self.0.iter().filter_map(|(cpu, now)| Some(now.wrapping_sub(*before.0.get(cpu)?)));
        both.map(u64::from).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As 6.1 has it, with the CPU in the thirteenth word.
    fn line(cpu: u32, dropped: u32) -> String {
        format!("00000100 {dropped:08x} 00000007{} {cpu:08x} 00000000 00000000\n", " 00000007".repeat(9))
    }

    #[test]
    fn what_cpus_dropped_adds_up_over_the_end_of_the_counters() {
        let before = Softnet::parse(&(line(0, u32::MAX) + &line(1, 16)));
        let now = Softnet::parse(&(line(0, 1) + &line(1, 19)));
        assert_eq!(now.since(&before), 5);
    }

    #[test]
    fn cpus_are_told_by_their_number() {
        let before = Softnet::parse(&(line(0, 10) + &line(3, 20)));
        // One has gone, and one has come.
        let now = Softnet::parse(&(line(3, 21) + &line(4, 1000)));
        assert_eq!(now.since(&before), 1);
    }

    #[test]
    fn shorter_lines_are_cpus_in_order() {
        assert_eq!(Softnet::parse("00000001 0000000a 0\n1 b 0\n"), Softnet(HashMap::from([(0, 10), (1, 11)])));
        for text in ["", "1", "x 1", "1 é"] {
            assert_eq!(Softnet::parse(text), Softnet::default(), "{text}");
        }
    }

    #[test]
    fn this_kernel_tells_of_its_cpus() {
        let softnet = Softnet::parse(&std::fs::read_to_string("/proc/thread-self/net/softnet_stat").unwrap());
        assert!(!softnet.0.is_empty());
    }
}
