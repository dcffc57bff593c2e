//! Builds the control-flow graph of a function, with the shmlock functions that it calls inlined.
//!
//! Paths ignore values. If a function returns success or failure and its caller tests the result,
//! the graph has a path from a failed swap to the code after a successful one. So rules about
//! acquiring apply only to probes in which everything is one function.

use std::collections::HashMap;

use crate::listing::{Instruction, Listing};
use crate::predicated::{CONDITIONS, with_branches};

/// The depth to which calls are followed. Deeper calls, and calls of other crates, are one
/// instruction.
const DEPTH: usize = 8;

/// An instruction at one place of the call tree, and its successors.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) instruction: Instruction,
    pub(crate) next: Vec<usize>,
    /// The first node of the function, at this place of the call tree.
    pub(crate) entry: usize,
}

/// The graph of a function and its callees.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub(crate) nodes: Vec<Node>,
    /// The nodes at which the function returns to its caller.
    pub(crate) returns: Vec<usize>,
}

impl Flow {
    /// Returns the graph of a function of the listing.
    pub(crate) fn of(listing: &Listing, function: &str) -> Option<Self> {
        let mut flow = Self::default();
        (_, flow.returns) = flow.copy(listing, function, &mut Vec::new())?;
        Some(flow)
    }

    /// Returns `true` if this node is a call, or a jump, to code that is not part of the graph.
    pub(crate) fn is_foreign_call(&self, node: usize) -> bool {
        let Node { instruction, next, entry } = &self.nodes[node];
        match Kind::of(instruction) {
            Kind::Call => next.iter().all(|&next| self.nodes[next].entry == *entry),
            Kind::Jump => next.is_empty(),
            _ => false,
        }
    }

    /// Adds a function. Returns its first node and the nodes that return.
    fn copy(
        &mut self,
        listing: &Listing,
        name: &str,
        callers: &mut Vec<String>,
    ) -> Option<(usize, Vec<usize>)> {
        let code = with_branches(name, listing.function(name)?);
        let begin = self.nodes.len();
        // Of two with one address, the branch before the other.
        let place: HashMap<u64, usize> =
            code.iter().enumerate().rev().map(|(n, i)| (i.address, begin + n)).collect();
        self.nodes.extend(code.iter().map(|i| Node {
            instruction: i.clone(),
            next: Vec::new(),
            entry: begin,
        }));
        callers.push(name.to_owned());
        let mut returns = Vec::new();
        for (here, instruction) in (begin..).zip(&code) {
            let after = (here + 1 < begin + code.len()).then_some(here + 1);
            let kind = Kind::of(instruction);
            let mut next = Vec::new();
            match instruction.target() {
                Some((address, _)) if kind.jumps() && place.contains_key(&address) => {
                    next.push(place[&address]);
                }
                Some((_, callee)) if kind.jumps() || kind == Kind::Call => {
                    let follow = callers.len() < DEPTH
                        && is_ours(callee)
                        && !callers.iter().any(|caller| caller == callee);
                    let copied = if follow { self.copy(listing, callee, callers) } else { None };
                    let back = if kind == Kind::Call { after } else { None };
                    match copied {
                        Some((callee_begin, callee_returns)) => {
                            next.push(callee_begin);
                            for node in callee_returns {
                                match back {
                                    Some(back) => self.nodes[node].next.push(back),
                                    None => returns.push(node),
                                }
                            }
                        }
                        None if never_returns(callee) => {}
                        None if kind == Kind::Call => next.extend(back),
                        None => returns.push(here),
                    }
                }
                _ if kind == Kind::Return { always: true }
                    || kind == Kind::Return { always: false } =>
                {
                    returns.push(here);
                }
                _ => {}
            }
            if kind.falls_through() {
                next.extend(after);
            }
            self.nodes[here].next = next;
        }
        callers.pop();
        Some((begin, returns))
    }

    /// Returns the nodes on all paths from behind `from` up to a node where `stop` is true.
    pub(crate) fn reached(&self, from: usize, stop: impl Fn(&Instruction) -> bool) -> Vec<usize> {
        self.reached_until(from, |node| stop(&self.nodes[node].instruction))
    }

    /// Returns the same as [`reached`](Self::reached), by a condition on the number of the node.
    pub(crate) fn reached_until(&self, from: usize, stop: impl Fn(usize) -> bool) -> Vec<usize> {
        let (mut seen, mut found, mut todo) =
            (vec![false; self.nodes.len()], Vec::new(), self.nodes[from].next.clone());
        while let Some(node) = todo.pop() {
            if !std::mem::replace(&mut seen[node], true) {
                found.push(node);
                if !stop(node) {
                    todo.extend(&self.nodes[node].next);
                }
            }
        }
        found
    }
}

/// The effect of an instruction on the control flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Call,
    Jump,
    Branch,
    Return { always: bool },
    Trap,
}

impl Kind {
    fn of(instruction: &Instruction) -> Self {
        let name = instruction.name.as_str();
        let condition =
            |base: &str| name.strip_prefix(base).is_some_and(|rest| CONDITIONS.contains(&rest));
        match name {
            "bl" | "blx" | "blr" => Self::Call,
            "b" => Self::Jump,
            "cbz" | "cbnz" | "tbz" | "tbnz" => Self::Branch,
            "ret" | "bx" | "br" => Self::Return { always: true },
            "pop" | "ldmia" | "ldm" if instruction.operands.contains("pc}") => {
                Self::Return { always: true }
            }
            "udf" | "brk" => Self::Trap,
            _ if name.starts_with("b.") || condition("b") => Self::Branch,
            _ if condition("bx") => Self::Return { always: false },
            _ if (condition("pop") || condition("ldm")) && instruction.operands.contains("pc}") => {
                Self::Return { always: false }
            }
            _ => Self::Plain,
        }
    }

    fn jumps(self) -> bool {
        matches!(self, Self::Jump | Self::Branch)
    }

    fn falls_through(self) -> bool {
        matches!(self, Self::Plain | Self::Branch | Self::Return { always: false })
    }
}

/// Returns `true` if a callee, by its mangled name, is under test. Other functions do not access
/// regions.
fn is_ours(callee: &str) -> bool {
    callee.contains("shmlock")
}

fn never_returns(callee: &str) -> bool {
    callee.contains("panic") || callee.contains("_failed")
}
