//! Names what each instruction of a probe does to shared memory.

use std::collections::BTreeSet;

use crate::flow::Flow;
use crate::listing::{Instruction, Listing};
use crate::origin::{self, Base, Origin, Registers};
use crate::rules::Architecture;
use crate::words::Automaton;

/// One access or barrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A compare-and-swap of the owner word, by one instruction or by a call; relaxed.
    Swap,
    /// The two halves of a swap by exclusives.
    LoadExclusive,
    StoreExclusive,
    /// Any other, by its name in the litmus files.
    Other(String),
}

impl Event {
    /// Returns `true` if a run of both is one event: attempts of a swap, accesses of the data.
    pub(crate) fn continues(&self, before: &Self) -> bool {
        match (before, self) {
            (Self::Other(before), Self::Other(now)) => {
                before == now && ["data", "rec"].contains(&now.as_str())
            }
            (Self::Other(_), _) | (_, Self::Other(_)) => false,
            _ => true,
        }
    }

    /// Returns the name of a run that ends with this event.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Swap | Self::StoreExclusive => "swap",
            // An attempt that found another value.
            Self::LoadExclusive => "miss",
            Self::Other(name) => name,
        }
    }
}

/// Returns the name of a plain access. The order within the record is of no importance; that of the
/// protected data belongs to the caller.
pub(crate) fn access(is_store: bool, class: &str) -> String {
    match class {
        "data" | "rec" => class.to_owned(),
        _ => format!("{}.{class}", if is_store { "W" } else { "R" }),
    }
}

/// Returns how many bytes a load or store accesses.
fn width(instruction: &Instruction) -> u32 {
    let parts = origin::operands(&instruction.operands);
    let name = instruction.name.as_str();
    if name.starts_with("ldm") || name.starts_with("stm") {
        return parts.last().map_or(0, |list| 4 * list.matches(',').map(|_| 1).sum::<u32>() + 4);
    }
    let one = match (name, parts[0].as_bytes().first()) {
        ("ldrd" | "strd", _) | (_, Some(b'x' | b'd')) => 8,
        (_, Some(b'q')) => 16,
        _ => 4,
    };
    if ["ldp", "stp"].contains(&name) { 2 * one } else { one }
}

fn is_plain(name: &str) -> bool {
    let kinds = ["ldr", "ldp", "ldur", "ldm", "str", "stp", "stur", "stm"];
    kinds.iter().any(|kind| name.starts_with(kind)) && !name.contains("ex") && !name.contains("xr")
}

/// Returns the event of an instruction; `None` if it does not touch shared memory.
fn event(
    instruction: &Instruction,
    registers: &Registers,
    entry: &Registers,
    is_foreign_call: bool,
    architecture: Architecture,
) -> Option<Event> {
    let name = instruction.name.as_str();
    let other = |text: &str| Some(Event::Other(text.to_owned()));
    let unknown = || Some(Event::Other(format!("{name} at {:x}", instruction.address)));
    let callee = instruction.target().map(|(_, callee)| callee);
    match callee {
        Some("__aarch64_cas4_relax") => return Some(Event::Swap),
        _ if is_foreign_call => {
            let passes = registers.pass_pointers(callee.unwrap_or_default(), architecture);
            return if passes { unknown() } else { None };
        }
        Some(_) => return None,
        None => {}
    }
    match name {
        "dmb" => return other(&instruction.operands),
        "dsb" | "isb" => return unknown(),
        "push" | "pop" => {}
        _ if name.starts_with("ld") || name.starts_with("st") || name.starts_with("cas") => {}
        // Any other that accesses memory has brackets.
        _ if !instruction.operands.contains('[') => return None,
        _ => return unknown(),
    }
    let is_store = name.starts_with("st");
    if (is_plain(name) && is_store || name == "push") && leaks(instruction, registers, entry) {
        return unknown();
    }
    let pointer = origin::base(instruction).map_or(Origin::Private, |base| registers.get(base));
    let (base, begin) = match pointer {
        Origin::Private => return None,
        Origin::Shared(base, begin) | Origin::Within(base, begin) => (base, begin),
        Origin::Mixed => return unknown(),
    };
    if base == Base::Data {
        return if is_plain(name) { other("data") } else { unknown() };
    }
    let (offset, width) = match (pointer, instruction.offset()) {
        // An index moves a pointer by whole slots.
        (Origin::Shared(..) | Origin::Within(Base::Slots, _), Some(offset)) => {
            (begin + offset, width(instruction))
        }
        // A slice, or an index into one.
        _ => (begin, 4),
    };
    let is_word = pointer == Origin::Shared(base, begin) && offset == 0;
    match name {
        "cas" if is_word => return Some(Event::Swap),
        "ldxr" | "ldrex" if is_word => return Some(Event::LoadExclusive),
        "stxr" | "strex" if is_word => return Some(Event::StoreExclusive),
        _ if !is_plain(name) => return unknown(),
        _ => {}
    }
    let classes: BTreeSet<_> =
        (offset..offset + width).step_by(4).map(|at| origin::class(base, at)).collect();
    match classes.first() {
        Some(class) if classes.len() == 1 => Some(Event::Other(access(is_store, class))),
        _ => unknown(),
    }
}

/// Returns `true` if a store takes a pointer to where it could not be followed. A register that is
/// saved still has the value with which the function was entered.
fn leaks(instruction: &Instruction, registers: &Registers, entry: &Registers) -> bool {
    let parts = origin::operands(&instruction.operands);
    let sources = parts.iter().take_while(|part| !part.starts_with('['));
    sources.flat_map(|part| origin::in_braces(part)).any(|source| {
        let is_base = origin::base(instruction) == Some(source.trim_end_matches('!'));
        let origin = registers.get(source);
        !is_base && origin != Origin::Private && origin != entry.get(source)
    })
}

/// Returns the registers at the beginning of a probe, with the pointers among its arguments.
fn arguments(probe: &str, architecture: Architecture) -> Option<Registers> {
    // A result in memory is an argument of ARM, and a register of its own of AArch64.
    let result = usize::from(architecture != Architecture::Aarch64);
    Some(Registers::of_arguments(&match probe {
        "steps" | "constant" | "fast" | "unwoken" | "stale" => {
            vec![(0, Base::Word), (2, Base::Data)]
        }
        "recover" => vec![(0, Base::Word), (3, Base::Data)],
        "waiters" => vec![(0, Base::Word)],
        "ticket" | "bury" => vec![(0, Base::Region), (1, Base::Data)],
        "deaths" => vec![(0, Base::Region), (2, Base::Data)],
        "boot" | "judge" => vec![(0, Base::Slots), (2, Base::Word), (3, Base::Data)],
        "retire" => vec![(0, Base::Slots), (2, Base::Data)],
        "count" | "write" | "life" | "stop" | "look" => vec![(0, Base::Region)],
        "read" => vec![(result, Base::Region)],
        "snapshot" => vec![(result, Base::Data)],
        _ => return None,
    }))
}

/// Returns all sequences of events of a function, as an automaton. `probe` is its kind.
pub(crate) fn automaton(
    listing: &Listing,
    function: &str,
    probe: &str,
    architecture: Architecture,
) -> Option<Automaton> {
    let flow = Flow::of(listing, function)?;
    let registers = origin::follow(&flow, &arguments(probe, architecture)?, architecture);
    let events: Vec<Option<Event>> = flow
        .nodes
        .iter()
        .enumerate()
        .map(|(node, here)| {
            let (before, entry) = (registers[node].as_ref()?, registers[here.entry].as_ref()?);
            event(&here.instruction, before, entry, flow.is_foreign_call(node), architecture)
        })
        .collect();
    // One state for each event: in its run, whose name is not said yet. State 0 is the beginning.
    let mut automaton = Automaton::with_states(flow.nodes.len() + 1);
    let is_event = |node: usize| events[node].is_some();
    let mut connect =
        |state: usize, from: Option<&Event>, reached: &[usize], here: Option<usize>| {
            for &next in reached {
                let Some(event) = &events[next] else { continue };
                match from {
                    Some(before) if !event.continues(before) => {
                        automaton.step(state, before.name(), next + 1);
                    }
                    _ => automaton.skip(state, next + 1),
                }
            }
            let ends = reached.iter().chain(&here).any(|node| {
                flow.returns.contains(node) && (Some(*node) == here || !is_event(*node))
            });
            if ends {
                match from {
                    Some(Event::LoadExclusive) => automaton.end_after(state, Event::Swap.name()),
                    Some(event) => automaton.end_after(state, event.name()),
                    None => automaton.end(state),
                }
            }
        };
    // The beginning is before the first node.
    if is_event(0) {
        connect(0, None, &[0], None);
    } else {
        let mut reached = flow.reached_until(0, is_event);
        reached.push(0);
        connect(0, None, &reached, None);
    }
    for (node, event) in events.iter().enumerate() {
        if event.is_some() {
            connect(node + 1, event.as_ref(), &flow.reached_until(node, is_event), Some(node));
        }
    }
    Some(automaton)
}
