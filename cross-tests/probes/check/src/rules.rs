//! Defines, for each probe, the accesses that need a barrier between them, and the barriers that
//! are strong enough.

use std::collections::BTreeSet;
use std::fmt;

use crate::flow::Flow;
use crate::listing::{Instruction, Listing};

/// The three families of barrier instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Architecture {
    Aarch64,
    Armv7a,
    /// Cortex-M has one barrier only: `dmb sy`.
    MProfile,
}

impl Architecture {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "aarch64" => Self::Aarch64,
            "armv7a" => Self::Armv7a,
            "mprofile" => Self::MProfile,
            _ => return None,
        })
    }

    /// Returns the operands of `dmb` that are strong enough.
    fn accepted(self, full: bool, direction: Direction) -> &'static [&'static str] {
        match (self, direction) {
            _ if full => &["sy"],
            (Self::MProfile, _) => &["sy"],
            // `ishld` orders earlier loads before all later accesses: enough after the load of the
            // acquiring swap.
            (Self::Aarch64, Direction::Acquire) => &["ishld", "ish", "sy"],
            (Self::Aarch64 | Self::Armv7a, _) => &["ish", "sy"],
        }
    }
}

/// The direction of a fence. A full fence counts as a release: ARM has the same barrier for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Acquire,
    Release,
}

/// A kind of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// A compare-and-swap of the owner word: one instruction, a store-exclusive, or a call.
    Swap,
    /// A load or store of the protected data.
    Data,
    Load(u32),
    Store(u32),
}

/// The words of a record that the compiler addresses directly, outside of loops: pid, its
/// namespace, token.
const RECORD: [u32; 3] = [32, 36, 56];
const GENERATION: u32 = 4;
const GENERATION_HIGH: u32 = 48;
const SEQUENCE: u32 = 52;
const DATA: u32 = 1204;
/// The words of the first party of a ticket lock, and of the other party.
const CHOOSING: u32 = 128;
const NUMBER: u32 = 136;
const SECTION: u32 = 144;
const OTHER_CHOOSING: u32 = 192;
const OTHER_NUMBER: u32 = 200;
const OTHER_LIFE: u32 = 216;
const OTHER_BURIED: u32 = 248;
/// The deaths that have been declared.
const DECLARED: u32 = 12;
/// Words of the first and of the second slot of a roll.
const BOOTS: u32 = 0;
const OTHER_RETIRED: u32 = 12;
/// The same words from the beginning of a line, for the function that begins a life.
const LINE_CHOOSING: u32 = 0;
const LINE_NUMBER: u32 = 8;
const LINE_SECTION: u32 = 16;
const LINE_LIFE: u32 = 24;

impl Access {
    fn is(self, instruction: &Instruction) -> bool {
        let name = instruction.name.as_str();
        let plain =
            |kind: &str| name.starts_with(kind) && !name.contains("ex") && !name.contains("xr");
        let at = |offset| instruction.offset() == Some(offset);
        match self {
            Self::Swap => {
                let outlined = || {
                    instruction
                        .target()
                        .is_some_and(|(_, callee)| callee.starts_with("__aarch64_cas"))
                };
                ["cas", "swp", "stxr", "stlxr", "strex", "stlex"]
                    .iter()
                    .any(|swap| name.starts_with(swap))
                    || name == "bl" && outlined()
            }
            Self::Data => at(DATA) && (plain("ld") || plain("st")),
            Self::Load(offset) => at(offset) && plain("ld"),
            Self::Store(offset) => at(offset) && plain("st"),
        }
    }
}

/// No path leads from the first access to the second without a barrier.
type Rule = (Access, Direction, Access);

/// Returns the rules of a probe, by the first part of its name.
fn rules(probe: &str) -> Vec<Rule> {
    use Access::{Data, Load, Store, Swap};
    use Direction::{Acquire, Release};
    let each = |rule: fn(u32) -> [Rule; 2]| RECORD.into_iter().flat_map(rule).collect();
    match probe {
        // A region's handle acquires in a separate function and tests its result; see `flow`.
        "stale" | "region" => vec![(Data, Release, Swap)],
        "count" => vec![(Store(GENERATION_HIGH), Release, Store(GENERATION))],
        "write" => each(|word| {
            [(Store(SEQUENCE), Release, Store(word)), (Store(word), Release, Store(SEQUENCE))]
        }),
        "read" => each(|word| {
            [(Load(SEQUENCE), Acquire, Load(word)), (Load(word), Acquire, Load(SEQUENCE))]
        }),
        "ticket" => vec![
            (Store(CHOOSING), Release, Load(OTHER_NUMBER)),
            (Store(NUMBER), Release, Store(CHOOSING)),
            (Store(CHOOSING), Release, Load(OTHER_CHOOSING)),
            (Load(OTHER_CHOOSING), Acquire, Load(OTHER_NUMBER)),
            (Load(OTHER_NUMBER), Acquire, Data),
            (Store(SECTION), Release, Data),
            (Data, Release, Store(SECTION)),
            (Store(SECTION), Release, Store(NUMBER)),
        ],
        "deaths" => vec![(Load(OTHER_NUMBER), Acquire, Data), (Store(SECTION), Release, Data)],
        "life" => vec![
            (Store(LINE_SECTION), Release, Store(LINE_CHOOSING)),
            (Store(LINE_CHOOSING), Release, Store(LINE_NUMBER)),
            (Store(LINE_NUMBER), Release, Store(LINE_LIFE)),
            (Store(LINE_LIFE), Release, Store(CHOOSING)),
            (Store(CHOOSING), Release, Load(OTHER_NUMBER)),
        ],
        "stop" => vec![(Store(NUMBER), Release, Store(CHOOSING))],
        "bury" => vec![
            (Load(OTHER_LIFE), Release, Data),
            (Load(OTHER_LIFE), Release, Store(OTHER_BURIED)),
        ],
        "look" => vec![
            (Load(GENERATION_HIGH), Acquire, Load(OTHER_BURIED)),
            (Load(OTHER_BURIED), Acquire, Load(DECLARED)),
            (Load(DECLARED), Acquire, Load(OTHER_BURIED)),
            (Load(OTHER_BURIED), Acquire, Load(GENERATION_HIGH)),
        ],
        "boot" => vec![
            (Data, Release, Store(BOOTS)),
            (Store(BOOTS), Release, Swap),
            (Swap, Acquire, Data),
        ],
        "judge" => vec![(Load(BOOTS), Acquire, Data), (Swap, Acquire, Data)],
        "retire" => vec![(Data, Release, Store(OTHER_RETIRED))],
        // Between two copies.
        "snapshot" => vec![(Data, Acquire, Data)],
        _ => vec![(Swap, Acquire, Data), (Data, Release, Swap)],
    }
}

/// Every probe in `../src/main.rs`. A probe that the listing lacks is an error.
pub(crate) const PROBES: [&str; 44] = [
    "steps_inner",
    "steps_full",
    "steps_chosen",
    "constant_inner",
    "constant_full",
    "fast_inner",
    "fast_full",
    "fast_chosen",
    "unwoken_inner",
    "unwoken_full",
    "unwoken_chosen",
    "recover_inner",
    "recover_full",
    "stale_inner",
    "stale_full",
    "region_inner",
    "region_full",
    "region_chosen",
    "count_inner",
    "count_full",
    "write_inner",
    "write_full",
    "read_inner",
    "read_full",
    "snapshot_inner",
    "snapshot_full",
    "ticket_inner",
    "ticket_full",
    "ticket_chosen",
    "deaths_inner",
    "deaths_full",
    "life_inner",
    "life_full",
    "stop_inner",
    "stop_full",
    "bury_inner",
    "bury_full",
    "look_full",
    "boot_inner",
    "boot_full",
    "judge_inner",
    "judge_full",
    "retire_inner",
    "retire_full",
];

/// The result for one probe.
#[derive(Debug)]
pub(crate) struct Finding {
    probe: &'static str,
    /// The barriers on its paths, as `objdump` prints them.
    barriers: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Finding {
    pub(crate) fn is_sound(&self) -> bool {
        self.wrong.is_empty()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let barriers: Vec<_> = self.barriers.iter().map(String::as_str).collect();
        write!(f, "    {:<18} {}", self.probe, barriers.join(", "))?;
        self.wrong.iter().try_for_each(|wrong| write!(f, "\n        WRONG: {wrong}"))
    }
}

/// Checks every probe.
pub(crate) fn check(listing: &Listing, architecture: Architecture) -> Vec<Finding> {
    PROBES.iter().map(|probe| check_probe(listing, architecture, probe)).collect()
}

fn check_probe(listing: &Listing, architecture: Architecture, probe: &'static str) -> Finding {
    let mut finding = Finding { probe, barriers: BTreeSet::new(), wrong: Vec::new() };
    let Some(flow) = Flow::of(listing, probe) else {
        finding.wrong.push("not in the listing".to_owned());
        return finding;
    };
    let (kind, scope) = probe.split_once('_').unwrap_or((probe, ""));
    for (from, direction, to) in rules(kind) {
        let strong_enough = architecture.accepted(scope == "full", direction);
        let is_barrier =
            |i: &Instruction| i.name == "dmb" && strong_enough.contains(&i.operands.as_str());
        let mut present = false;
        for (start, node) in
            flow.nodes.iter().enumerate().filter(|(_, node)| from.is(&node.instruction))
        {
            present |= flow
                .reached(start, |_| false)
                .iter()
                .any(|&end| to.is(&flow.nodes[end].instruction));
            for end in flow.reached(start, |i| is_barrier(i)) {
                let instruction = &flow.nodes[end].instruction;
                if is_barrier(instruction) {
                    finding.barriers.insert(format!("dmb {}", instruction.operands));
                }
                if to.is(instruction) {
                    let (begin, end) = (node.instruction.address, instruction.address);
                    finding.wrong.push(format!(
                        "from {from:?} at {begin:x} to {to:?} at {end:x} without a barrier"
                    ));
                }
            }
        }
        if !present {
            finding
                .wrong
                .push(format!("no path from a {from:?} to a {to:?}: the probe proves nothing"));
        }
    }
    finding.wrong.dedup();
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a probe with these barriers before and after a store-exclusive.
    fn stale(before: &str, after: &str) -> Finding {
        let text = format!(
            "00000100 <stale_inner>:
 100:\tldr\tw1, [x2, #1204]
 104:\t{before}
 108:\tcbz\tw1, 100 <stale_inner>
 10c:\tstxr\tw3, w4, [x0]
 110:\t{after}
 114:\tret
"
        );
        check_probe(&Listing::parse(&text), Architecture::Aarch64, "stale_inner")
    }

    #[test]
    fn a_barrier_counts_by_its_place_and_its_strength() {
        assert!(stale("dmb\tish", "nop").is_sound());
        assert!(!stale("nop", "nop").is_sound(), "none");
        assert!(!stale("nop", "dmb\tish").is_sound(), "too late");
        assert!(!stale("dmb\tishld", "nop").is_sound(), "too weak for a release");
        assert!(!stale("b.eq\t10c <stale_inner+0xc>", "dmb\tish").is_sound(), "a path around it");
    }

    #[test]
    fn a_barrier_within_a_called_function_counts() {
        let text = "00000100 <stale_full>:
 100:\tstr\tr1, [r2, #1204]
 104:\tbl\t200 <shmlock_fence>
 108:\tstrex\tr3, r4, [r0]
 10c:\tbx\tlr
00000200 <shmlock_fence>:
 200:\tdmb\tSCOPE
 204:\tbx\tlr
";
        for (scope, sound) in [("sy", true), ("ish", false)] {
            let listing = Listing::parse(&text.replace("SCOPE", scope));
            assert_eq!(check_probe(&listing, Architecture::Armv7a, "stale_full").is_sound(), sound);
        }
    }

    #[test]
    fn a_probe_without_its_accesses_proves_nothing() {
        let listing = Listing::parse("00000100 <stale_inner>:\n 100:\tdmb\tish\n 104:\tret\n");
        assert!(!check_probe(&listing, Architecture::Aarch64, "stale_inner").is_sound());
        assert!(
            !check_probe(&listing, Architecture::Aarch64, "stale_full").is_sound(),
            "not there at all"
        );
    }
}
