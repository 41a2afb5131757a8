//! Clause in, instructions out: expressions, types, code. Pure: knows no kernel, no aya, does no I/O.
pub mod argument;
pub mod buckets;
pub mod check;
pub mod codegen;
pub mod error;
pub mod field;
mod foreign;
pub mod functions;
pub mod glob;
pub mod insn;
pub mod integer;
pub mod interp;
pub mod layout;
pub mod lex;
mod names;
pub mod parse;
pub mod rules;
pub mod scope;
pub mod show;
mod show_names;
pub mod splice;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tree;

use field::Field;
use tree::{Action, Clause, Expr, Key, Node};

/// Calls `visit` for every field that the clause reads.
pub fn fields_of(clause: &Clause, visit: &mut impl FnMut(&'static Field)) {
    if let Some(predicate) = &clause.predicate {
        fields_of_expr(predicate, visit);
    }
    let Action::Aggregate { keys, columns } = &clause.action else { return };
    for key in keys {
        match key {
            Key::Number { expr, .. } => fields_of_expr(expr, visit),
            Key::Text { field } => visit(field),
        }
    }
    for column in columns {
        for cell in layout::cells_of(&column.function) {
            if let Some(arg) = cell.arg() {
                fields_of_expr(arg, visit);
            }
        }
    }
}

fn fields_of_expr(expr: &Expr, visit: &mut impl FnMut(&'static Field)) {
    match &expr.node {
        Node::Const(_) => {}
        Node::Field(field) | Node::Matches(field, _) => visit(field),
        Node::Unary(_, inner) | Node::Cast(_, inner) | Node::OneOf(inner, _) => fields_of_expr(inner, visit),
        Node::Binary(_, left, right) => {
            fields_of_expr(left, visit);
            fields_of_expr(right, visit);
        }
    }
}
