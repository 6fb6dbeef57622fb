//! Conditions as expressions over atoms: built as a tree, run as a flat program.
//!
//! The program lists each node before its children and tells where the node's subtree ends, so that a decided branch
//! is skipped by one jump. Children are ordered by likelihood: the one most likely to decide is asked first.
//!
//! [`necessary`] gives a set of eager atoms of which at least one must hold wherever the expression does. It is what
//! lets an event wake only the rules that it could match. An expression that can hold of an event that hits nothing
//! (`not filter` alone, a missing field) has no such set.

use super::atom::{Atom, AtomId, Check, Interner};

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Atom(AtomId),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    /// At least so many of them.
    AtLeast(u32, Vec<Expr>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Atom,
    And,
    Or,
    Not,
    AtLeast,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    op: Op,
    arg: u32,
    /// One past the last node of the subtree.
    end: u32,
}

/// The expressions of all rules.
#[derive(Debug, Default)]
pub(crate) struct Program {
    nodes: Vec<Node>,
}

impl Program {
    /// Lays an expression out and gives where it begins.
    pub(crate) fn push(&mut self, expr: &Expr) -> u32 {
        let at = self.nodes.len();
        let (op, arg, children) = match expr {
            Expr::Atom(atom) => (Op::Atom, *atom, &[][..]),
            Expr::And(children) => (Op::And, 0, &children[..]),
            Expr::Or(children) => (Op::Or, 0, &children[..]),
            Expr::Not(child) => (Op::Not, 0, std::slice::from_ref(&**child)),
            Expr::AtLeast(count, children) => (Op::AtLeast, *count, &children[..]),
        };
        self.nodes.push(Node { op, arg, end: 0 });
        for child in children {
            self.push(child);
        }
        self.nodes[at].end = self.nodes.len() as u32;
        at as u32
    }

    /// Whether the expression at `at` holds, `truth` answering for its atoms.
    pub(crate) fn eval(&self, at: u32, truth: &mut impl FnMut(AtomId) -> bool) -> bool {
        let node = self.nodes[at as usize];
        let mut child = at + 1;
        match node.op {
            Op::Atom => truth(node.arg),
            Op::Not => !self.eval(child, truth),
            Op::And | Op::Or => {
                let decides = node.op == Op::Or;
                while child < node.end {
                    if self.eval(child, truth) == decides {
                        return decides;
                    }
                    child = self.nodes[child as usize].end;
                }
                !decides
            }
            Op::AtLeast => {
                let mut missing = node.arg;
                while child < node.end && missing > 0 {
                    missing -= u32::from(self.eval(child, truth));
                    child = self.nodes[child as usize].end;
                }
                missing == 0
            }
        }
    }
}

/// Flattens nested groups of one kind and orders children; gives the expression with how likely it is to hold.
pub(crate) fn arrange(expr: Expr, atoms: &Interner) -> (Expr, f32) {
    match expr {
        Expr::Atom(atom) => (Expr::Atom(atom), atoms.likelihood(atom)),
        Expr::Not(child) => {
            let (child, likely) = arrange(*child, atoms);
            match child {
                Expr::Not(inner) => (*inner, 1.0 - likely),
                child => (Expr::Not(Box::new(child)), 1.0 - likely),
            }
        }
        Expr::And(children) => {
            let mut flat = Vec::with_capacity(children.len());
            for (child, likely) in children.into_iter().map(|child| arrange(child, atoms)) {
                match child {
                    Expr::And(inner) => flat.extend(inner.into_iter().map(|child| arrange(child, atoms))),
                    child => flat.push((child, likely)),
                }
            }
            flat.sort_by(|a, b| a.1.total_cmp(&b.1));
            let likely = flat.iter().map(|child| child.1).product();
            (group(flat, Expr::And), likely)
        }
        Expr::Or(children) => {
            let mut flat = Vec::with_capacity(children.len());
            for (child, likely) in children.into_iter().map(|child| arrange(child, atoms)) {
                match child {
                    Expr::Or(inner) => flat.extend(inner.into_iter().map(|child| arrange(child, atoms))),
                    child => flat.push((child, likely)),
                }
            }
            flat.sort_by(|a, b| b.1.total_cmp(&a.1));
            let likely = flat.iter().map(|child| child.1).sum::<f32>().min(1.0);
            (group(flat, Expr::Or), likely)
        }
        Expr::AtLeast(count, children) => {
            let (children, likely): (Vec<_>, Vec<f32>) =
                children.into_iter().map(|child| arrange(child, atoms)).unzip();
            (Expr::AtLeast(count, children), likely.iter().sum::<f32>().min(1.0))
        }
    }
}

fn group(mut children: Vec<(Expr, f32)>, make: fn(Vec<Expr>) -> Expr) -> Expr {
    if children.len() == 1 { children.remove(0).0 } else { make(children.into_iter().map(|child| child.0).collect()) }
}

/// Eager atoms of which one must hold wherever the expression does, with how likely that is; `None` where none need be.
pub(crate) fn necessary(expr: &Expr, atoms: &Interner) -> Option<(Vec<AtomId>, f32)> {
    match expr {
        Expr::Atom(atom) => match &atoms.atoms[*atom as usize] {
            Atom::Eager(..) => Some((vec![*atom], atoms.likelihood(*atom))),
            Atom::Lazy(lazy) if matches!(lazy.check, Check::Never) => Some((Vec::new(), 0.0)),
            Atom::Lazy(lazy) if lazy.guards.is_empty() => None,
            Atom::Lazy(lazy) => {
                Some((lazy.guards.clone(), lazy.guards.iter().map(|&guard| atoms.likelihood(guard)).sum()))
            }
        },
        Expr::And(children) => {
            children.iter().filter_map(|child| necessary(child, atoms)).min_by(|a, b| a.1.total_cmp(&b.1))
        }
        Expr::Or(children) => {
            let mut union = Vec::new();
            let mut likely = 0.0;
            for child in children {
                let (set, share) = necessary(child, atoms)?;
                union.extend(set);
                likely += share;
            }
            union.sort_unstable();
            union.dedup();
            Some((union, likely))
        }
        Expr::Not(_) => None,
        Expr::AtLeast(0, _) => None,
        Expr::AtLeast(_, children) => necessary(&Expr::Or(children.clone()), atoms),
    }
}
