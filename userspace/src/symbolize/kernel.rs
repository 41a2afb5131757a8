//! Kernel addresses in, functions out, as /proc/kallsyms has them: the kernel's own, its modules', BPF programs.
use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};

use super::demangle::demangle;
use super::frame::{Frame, Place, Unknown};

/// kallsyms has no sizes; past the page after its start, a module's last function is not believed.
const LAST_PAGE: u64 = 4096;
/// Addresses that a fresh table did not know; more of them do not cause a fresh one, which costs some 60 ms.
const MISSES: usize = 16;

/// Reads the table when it is first asked, and again when it does not know an address: modules and BPF programs come.
#[derive(Default)]
pub struct Kernel {
    table: Option<Table>,
    misses: HashSet<u64>,
}

impl Kernel {
    pub fn frames(&mut self, addresses: &[u64], leaf_is_exact: bool) -> Vec<Frame> {
        let mut fresh = false;
        let table = self.table.get_or_insert_with(|| {
            fresh = true;
            Table::of_this_machine()
        });
        let looked: Vec<u64> = super::stacks::looked_up(addresses, leaf_is_exact).collect();
        let new = |address: &u64| table.find(*address).is_none() && !self.misses.contains(address);
        if looked.iter().any(new) && self.misses.len() < MISSES {
            if !fresh {
                *table = Table::of_this_machine();
            }
            self.misses.extend(looked.iter().filter(|address| table.find(**address).is_none()));
        }
        let frame = |(address, looked): (&u64, &u64)| Frame {
            address: *address,
            place: table.place(*address, *looked),
            source: None,
            inlined: Vec::new(),
        };
        addresses.iter().zip(&looked).map(frame).collect()
    }
}

struct Table {
    /// By address.
    functions: Vec<Function>,
    names: String,
    modules: Vec<String>,
    /// Why nothing has a name, if nothing has.
    unread: Option<Unknown>,
}

struct Function {
    start: u64,
    /// Of its name in `names`.
    name: u32,
    name_bytes: u16,
    module: u16,
}

impl Table {
    fn of_this_machine() -> Table {
        match File::open("/proc/kallsyms") {
            Ok(file) => Table::read(BufReader::with_capacity(64 << 10, file)),
            Err(_) => Table { unread: Some(Unknown::NoFile), ..Table::read(&[][..]) },
        }
    }

    /// Lines of `address type name [module]`.
    fn read(mut lines: impl BufRead) -> Table {
        let mut functions = Vec::new();
        let mut names = String::new();
        let mut modules = vec![String::from("vmlinux")];
        let mut hidden = false;
        let mut line = String::new();
        loop {
            line.clear();
            if !lines.read_line(&mut line).is_ok_and(|bytes| bytes > 0) {
                break;
            }
            let mut words = line.split_whitespace();
            let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else { continue };
            let Ok(start) = u64::from_str_radix(address, 16) else { continue };
            // `$x` and `$d` mark code and data on arm64.
            if !matches!(kind, "t" | "T" | "w" | "W") || name.starts_with('$') {
                continue;
            }
            if start == 0 {
                hidden = true;
                continue;
            }
            let module = match words.next() {
                None => 0,
                Some(module) => index(&mut modules, module.trim_matches(['[', ']'])),
            };
            let Ok(name_bytes) = u16::try_from(name.len()) else { continue };
            functions.push(Function { start, name: names.len() as u32, name_bytes, module });
            names.push_str(name);
        }
        let mut table = Table { functions: Vec::new(), names, modules, unread: None };
        // Of the names of one place, the one that people use.
        functions.sort_by(|a, b| {
            let rank = |function: &Function| {
                let name = table.name(function);
                (name.len() - name.trim_start_matches('_').len(), name.len())
            };
            a.start.cmp(&b.start).then_with(|| rank(a).cmp(&rank(b)))
        });
        functions.dedup_by_key(|function| function.start);
        functions.shrink_to_fit();
        table.functions = functions;
        table.unread = (hidden && table.functions.is_empty()).then_some(Unknown::KernelHidden);
        table
    }

    fn name(&self, function: &Function) -> &str {
        &self.names[function.name as usize..][..usize::from(function.name_bytes)]
    }

    fn find(&self, address: u64) -> Option<&Function> {
        let after = self.functions.partition_point(|function| function.start <= address);
        let function = self.functions[..after].last()?;
        let next = self.functions.get(after);
        let inside = next.is_some_and(|next| next.module == function.module);
        let last_end = function.start.saturating_add(LAST_PAGE).next_multiple_of(LAST_PAGE);
        (inside || address < last_end).then_some(function)
    }

    fn place(&self, address: u64, looked: u64) -> Place {
        match self.find(looked) {
            Some(function) => Place::Symbol {
                module: self.modules[usize::from(function.module)].clone(),
                name: demangle(self.name(function)),
                offset: address - function.start,
            },
            None => Place::Address { why: self.unread.unwrap_or(Unknown::NoMapping) },
        }
    }
}

/// Symbols of a module stand together: it is the last one, or new, or far back.
fn index(modules: &mut Vec<String>, module: &str) -> u16 {
    let known = modules.iter().rposition(|known| known == module);
    let index = known.unwrap_or_else(|| {
        modules.push(module.to_owned());
        modules.len() - 1
    });
    u16::try_from(index).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(table: &Table, address: u64) -> String {
        match table.place(address, address) {
            Place::Symbol { module, name, offset } => format!("{module}`{name}+{offset:#x}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn functions_have_their_module_and_offset() {
        let text = "ffffffff81000000 T _stext\nffffffff81000000 T startup\nffffffff81000010 t inner\n\
            ffffffff81000018 d data\nffffffff81000020 T last\nnot a line\n\
            ffffffffc0000000 t probe\t[e1000]\nffffffffc0000040 t xmit\t[e1000]\nffffffffc0800000 t bpf_prog_1_a\t[bpf]\n";
        let table = Table::read(text.as_bytes());
        assert_eq!(name(&table, 0xffffffff81000004), "vmlinux`startup+0x4");
        assert_eq!(name(&table, 0xffffffff81000019), "vmlinux`inner+0x9");
        assert_eq!(name(&table, 0xffffffffc0000044), "e1000`xmit+0x4");
        assert_eq!(name(&table, 0xffffffffc0800000), "bpf`bpf_prog_1_a+0x0");
        // Between modules, below the first and far above the last.
        for nowhere in [0xffffffffc0400000, 0x1000, u64::MAX] {
            assert_eq!(table.place(nowhere, nowhere), Place::Address { why: Unknown::NoMapping });
        }
    }

    #[test]
    fn zeroed_addresses_are_hidden_not_unmapped() {
        let table = Table::read(&b"0000000000000000 T _text\n0000000000000000 t inner\n"[..]);
        let place = table.place(0xffffffff81000000, 0xffffffff81000000);
        assert_eq!(place, Place::Address { why: Unknown::KernelHidden });
    }

    /// Takes the address of a function from kallsyms itself; hidden addresses must be told as such.
    #[test]
    fn a_function_of_this_kernel_has_its_name() {
        let text = std::fs::read_to_string("/proc/kallsyms").unwrap();
        let line = text.lines().find(|line| line.ends_with(" T schedule")).expect("every kernel schedules");
        let start = u64::from_str_radix(line.split(' ').next().unwrap(), 16).unwrap();
        let mut kernel = Kernel::default();
        if start == 0 {
            let frames = kernel.frames(&[0xffffffff81000000], true);
            assert_eq!(frames[0].place, Place::Address { why: Unknown::KernelHidden });
            return;
        }
        let frames = kernel.frames(&[start, start + 5], true);
        let at = |offset| Place::Symbol { module: "vmlinux".into(), name: "schedule".into(), offset };
        assert_eq!(frames[0].place, at(0));
        assert_eq!(frames[1].place, at(5));
    }
}
