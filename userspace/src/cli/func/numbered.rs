//! Points with the numbers that their firings say, and where their arguments lie.
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use probes_common::function::{AT_ENTRY, IN_USER, MODULE_SHIFT};

use super::fields::{ArgumentNames, function, functions, modules, plain_number};
use crate::attach::points::Numbered;
use crate::program::argument::{Argument, Register, Value};
use crate::program::codegen::site::{Leave, Operand, PARAMETERS, RETURN_ABOVE, STACK};
use crate::program::tree::Type;
use crate::providers::function::NUMBERED;
use crate::resolve::code::Code;
use crate::resolve::kernel::VMLINUX;
use crate::resolve::{Place, Point, Resolved};

pub fn numbered(resolved: &Resolved, names: &ArgumentNames, codes: &HashMap<Arc<Path>, Code>) -> Vec<Numbered> {
    let points = &resolved.points;
    let (functions, modules) = (functions(points), modules(points));
    let number = |point: &Point| {
        let at = functions.binary_search(&function(point)).unwrap_or_default();
        let module = modules.binary_search_by(|module| module.as_str().cmp(&point.module)).unwrap_or_default() as u64;
        let kind = match point.place {
            Place::User { is_entry: true, .. } => IN_USER | AT_ENTRY,
            Place::User { is_entry: false, .. } => IN_USER,
            _ => 0,
        };
        let signature = own_symbol(point).and_then(|symbol| resolved.signatures.get(symbol));
        let is_32_bit = match &point.place {
            Place::User { file, .. } => codes.get(file).is_some_and(|code| code.is_32_bit),
            _ => false,
        };
        let word = if is_32_bit { 4 } else { 8 };
        let (ty, bytes) = signature.and_then(|signature| signature.returns).unwrap_or((Type::Signed, word));
        Numbered {
            cookie: at as u64 | module << MODULE_SHIFT | kind,
            operands: operands(point, names, is_32_bit),
            leave: Leave { stack_above: RETURN_ABOVE.min(word as i32), bytes, ty },
            typed: signature
                .filter(|signature| signature.is_plain)
                .map(|signature| (signature.id, signature.parameters.len() as u8)),
            point: point.clone(),
        }
    };
    points.iter().map(number).collect()
}

/// A function of the kernel itself, from its first instruction on: one of a module is not in the kernel's own BTF, though
/// another of its name may be.
fn own_symbol(point: &Point) -> Option<&str> {
    match &point.place {
        Place::Kernel { symbol, offset: 0 } if &*point.module == VMLINUX => Some(symbol),
        _ => None,
    }
}

fn operands(point: &Point, names: &ArgumentNames, is_32_bit: bool) -> BTreeMap<u16, Operand> {
    let mut operands = BTreeMap::new();
    // Those of a record and of a USDT probe are all named.
    let by_abi = match point.place {
        Place::User { usdt, .. } => usdt.is_none(),
        Place::Kernel { .. } => true,
        Place::Tracepoint { .. } => false,
    };
    if by_abi {
        let of_abi = if is_32_bit { parameter_on_stack } else { parameter };
        operands.extend((0..PARAMETERS).map(|at| (at.into(), of_abi(at))));
    }
    for (at, argument) in point.arguments.iter().enumerate() {
        let Argument { ty, bytes, value, .. } = *argument;
        let operand = Operand { value, bytes, ty };
        operands.extend(names.number(&argument.name).map(|number| (number, operand)));
        // By its place as well, unless a name says so: as wide as it is, and without a sign, as all that have no type.
        if at < usize::from(NUMBERED) && plain_number(&argument.name).is_none() {
            operands.insert(at as u16, Operand { ty: Type::Unsigned, ..operand });
        }
    }
    operands
}

/// Of 32-bit code, where it begins: above the return address.
fn parameter_on_stack(at: u8) -> Operand {
    const WORD: i64 = 4;
    let base = Register { offset: STACK as u16, shift: 0 };
    let value = Value::Memory { base, displacement: WORD + i64::from(at) * WORD, index: None };
    Operand { value, bytes: WORD as u32, ty: Type::Unsigned }
}

fn parameter(at: u8) -> Operand {
    Operand { value: Value::Parameter(at), bytes: 8, ty: Type::Unsigned }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::signature::Signature;

    fn function_of_a_file() -> Point {
        Point {
            place: Place::User { file: Path::new("/lib/x").into(), offset: 64, is_entry: true, usdt: None },
            function: "f".to_owned(),
            module: "x".into(),
            arguments: Vec::new(),
        }
    }

    #[test]
    fn arguments_of_32_bit_code_lie_above_the_return_address() {
        let point = function_of_a_file();
        let names = ArgumentNames::of(std::slice::from_ref(&point));
        let second = operands(&point, &names, true)[&1];
        let base = Register { offset: STACK as u16, shift: 0 };
        let value = Value::Memory { base, displacement: 8, index: None };
        assert_eq!(second, Operand { value, bytes: 4, ty: Type::Unsigned });
        assert_eq!(operands(&point, &names, false)[&1], parameter(1));
        let is_32_bit = Code { is_32_bit: true, ..Code::default() };
        let codes = HashMap::from([(Path::new("/lib/x").into(), is_32_bit)]);
        let resolved = Resolved { points: vec![point], ..Resolved::default() };
        let numbered = numbered(&resolved, &names, &codes);
        assert_eq!((numbered[0].leave.stack_above, numbered[0].leave.bytes), (4, 4));
        assert_eq!(numbered[0].cookie, AT_ENTRY | IN_USER);
    }

    #[test]
    fn a_modules_function_is_not_the_kernels_own_of_that_name() {
        let of = |module: &str| Point {
            place: Place::Kernel { symbol: "vfs_read".to_owned(), offset: 0 },
            module: module.into(),
            ..function_of_a_file()
        };
        assert_eq!((own_symbol(&of(VMLINUX)), own_symbol(&of("fuse"))), (Some("vfs_read"), None));
        let signature = Signature { id: 7, parameters: Vec::new(), returns: None, is_plain: true };
        let signatures = HashMap::from([("vfs_read".to_owned(), signature)]);
        let resolved = Resolved { points: vec![of("fuse"), of(VMLINUX)], signatures, ..Resolved::default() };
        let numbered = numbered(&resolved, &ArgumentNames::of(&resolved.points), &HashMap::new());
        assert_eq!(numbered.iter().map(|numbered| numbered.typed).collect::<Vec<_>>(), [None, Some((7, 0))]);
    }

    #[test]
    fn a_kernel_functions_argument_has_its_width_by_number_and_its_sign_by_name() {
        let count = Argument { name: "count".to_owned(), ty: Type::Signed, bytes: 4, value: Value::Parameter(0) };
        let place = Place::Kernel { symbol: "f".to_owned(), offset: 0 };
        let point = Point { place, arguments: vec![count], ..function_of_a_file() };
        let names = ArgumentNames::of(std::slice::from_ref(&point));
        let operands = operands(&point, &names, false);
        let wanted = |ty| Operand { value: Value::Parameter(0), bytes: 4, ty };
        assert_eq!((operands[&0], operands[&NUMBERED]), (wanted(Type::Unsigned), wanted(Type::Signed)));
        assert_eq!(operands[&1], parameter(1));
    }
}
