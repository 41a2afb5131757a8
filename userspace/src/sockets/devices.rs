//! What a network device lost before or behind any protocol: the text of /proc/net/dev in, [`Devices`] out. Packets of
//! all protocols are counted together there.
use std::collections::BTreeMap;

/// By the device's name, in the order of [`LOSSES`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Devices(BTreeMap<String, [u64; LOSSES.len()]>);

/// Columns behind the name, as the kernel writes them (v6.18 net/core/net-procfs.c, dev_seq_printf_stats). What a device
/// missed for want of room in its own queue is in `rx_dropped`.
const LOSSES: [(&str, usize); 4] =
    [("rx_dropped", 3), ("rx_fifo_errors", 4), ("tx_dropped", 11), ("tx_fifo_errors", 12)];

impl Devices {
    /// Lines that are none of a device, as the header, are left out.
    pub fn parse(text: &str) -> Devices {
        Devices(text.lines().filter_map(device).collect())
    }

    /// What moved since an earlier reading, as `eth0 rx_dropped`. Of a device that was not there then nothing is said: it
    /// may have come from another namespace, with all that it had counted there.
    pub fn since(&self, before: &Devices) -> Vec<(String, u64)> {
        let both = self.0.iter().filter_map(|(name, now)| Some((name, now, before.0.get(name)?)));
        let each = both.flat_map(|(name, now, before)| {
            let columns = LOSSES.iter().zip(now).zip(before);
            // Some drivers begin again from 0 when the device is reset.
            columns.map(move |(((column, _), now), before)| (format!("{name} {column}"), now.saturating_sub(*before)))
        });
        each.filter(|(_, count)| *count > 0).collect()
    }
}

fn device(line: &str) -> Option<(String, [u64; LOSSES.len()])> {
    let (name, counters) = line.split_once(':')?;
    let counters: Vec<u64> = counters.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let mut losses = [0; LOSSES.len()];
    for (loss, (_, column)) in losses.iter_mut().zip(LOSSES) {
        *loss = *counters.get(column)?;
    }
    Some((name.trim_start().to_owned(), losses))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(of: &[(&str, [u64; 4])]) -> String {
        let mut text = "Inter-|   Receive                                                |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
            .to_owned();
        for (name, [rx, rx_fifo, tx, tx_fifo]) in of {
            text += &format!("{name:>6}: 1000 10 7 {rx} {rx_fifo} 7 7 7 2000 20 7 {tx} {tx_fifo} 7 7 7\n");
        }
        text
    }

    #[test]
    fn losses_of_a_device_are_told_by_its_name() {
        let before = Devices::parse(&text(&[("lo", [0; 4]), ("eth0", [1, 2, 3, 4]), ("gone", [5; 4])]));
        let now = Devices::parse(&text(&[("lo", [0; 4]), ("eth0", [13, 2, 6, 8]), ("new", [9; 4])]));
        let moved = now.since(&before);
        let moved: Vec<(&str, u64)> = moved.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(moved, [("eth0 rx_dropped", 12), ("eth0 tx_dropped", 3), ("eth0 tx_fifo_errors", 4)]);
    }

    #[test]
    fn a_device_that_was_reset_has_lost_nothing_that_is_known() {
        let [before, now] = [9, 2].map(|count| Devices::parse(&text(&[("eth0", [count; 4])])));
        assert_eq!(now.since(&before), []);
    }

    #[test]
    fn lines_that_are_none_of_a_device_are_left_out() {
        for line in ["", ":", "eth0", "eth0: 1 2 3", "eth0: 1 2 3 4 5 6 7 8 9 10 11 12 x 14 15 16", "eth0: -1"] {
            assert_eq!(Devices::parse(line), Devices::default(), "{line}");
        }
    }

    #[test]
    fn this_kernel_has_a_loopback_device() {
        let devices = Devices::parse(&std::fs::read_to_string("/proc/thread-self/net/dev").unwrap());
        assert!(devices.0.contains_key("lo"), "{devices:?}");
    }
}
