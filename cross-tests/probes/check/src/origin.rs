//! Finds out, for each instruction, which registers point into shared memory.
//!
//! The arguments of a probe are the only pointers to it. They are followed through moves and
//! additions. A pointer that moves by an unknown amount stays among the words of one class, because
//! slices do. If nothing is known about a pointer, an access through it is an event of its own,
//! which no litmus file has. Loaded values never point there, because a pointer that is stored is
//! such an event, too. Registers that a function saves have, when it restores them, the value with
//! which it was entered.

use crate::flow::{Flow, Node};
use crate::listing::Instruction;
use crate::rules::Architecture;

/// The memory that an argument points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// The owner word.
    Word,
    /// The protected data.
    Data,
    /// The 128 bytes of a lock; of a ticket lock, also the lines behind them.
    Region,
    /// The slots of a roll.
    Slots,
}

/// Returns the class of a word, as the litmus files name it.
pub(crate) fn class(base: Base, offset: u32) -> &'static str {
    match offset {
        // An index moves a pointer by whole slots.
        _ if base == Base::Slots => match offset % 8 {
            0 => "boots",
            4 => "retired",
            _ => "unknown",
        },
        0 => "word",
        4 => "low",
        12 => "declared",
        48 => "high",
        52 => "seq",
        16..48 | 56 | 64..128 => "rec",
        // The line of the first party of a ticket lock, whose steps the probes take.
        128 => "choosing",
        136 => "number",
        144 => "section",
        152 => "life",
        184 => "buried",
        192 => "other-choosing",
        200 => "other-number",
        208 => "other-section",
        216 => "other-life",
        248 => "other-buried",
        _ => "unknown",
    }
}

/// What a register may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A number, or a pointer to memory of this thread.
    Private,
    /// A pointer with this offset.
    Shared(Base, u32),
    /// A pointer to this word or to one behind it, of the same class.
    Within(Base, u32),
    /// Several of them.
    Mixed,
}

impl Origin {
    /// Joins the origins of two paths. A number is never used as a pointer, so the pointer counts.
    fn join(self, other: Self) -> Self {
        let place = |origin| match origin {
            Self::Shared(base, offset) | Self::Within(base, offset) => Some((base, offset)),
            _ => None,
        };
        match (self, other) {
            _ if self == other => self,
            (Self::Private, pointer) | (pointer, Self::Private) => pointer,
            _ => match (place(self), place(other)) {
                (Some((base, one)), Some((other, two)))
                    if base == other
                        && (base == Base::Data || class(base, one) == class(base, two)) =>
                {
                    Self::Within(base, one.min(two))
                }
                _ => Self::Mixed,
            },
        }
    }

    fn plus(self, offset: i64) -> Self {
        match self {
            Self::Shared(base, at) => u32::try_from(i64::from(at) + offset)
                .map_or(Self::Mixed, |at| Self::Shared(base, at)),
            other => other,
        }
    }

    /// Returns the origin after an addition of an unknown amount.
    fn moved(self) -> Self {
        match self {
            Self::Shared(base, offset) => Self::Within(base, offset),
            other => other,
        }
    }
}

/// The registers before an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registers([Origin; 32]);

impl Registers {
    /// Returns the registers at the beginning of a probe with these pointers as arguments.
    pub(crate) fn of_arguments(arguments: &[(usize, Base)]) -> Self {
        let mut registers = Self([Origin::Private; 32]);
        for &(number, base) in arguments {
            registers.0[number] = Origin::Shared(base, 0);
        }
        registers
    }

    /// Returns the origin of a register; stack pointer, program counter and anything that is no
    /// register are private.
    pub(crate) fn get(&self, name: &str) -> Origin {
        number(name).map_or(Origin::Private, |number| self.0[number])
    }

    fn set(&mut self, name: &str, origin: Origin) {
        if let Some(number) = number(name) {
            self.0[number] = origin;
        }
    }

    /// Joins another path; returns `true` if that changes anything.
    fn join(&mut self, other: &Self) -> bool {
        let before = self.clone();
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.join(theirs);
        }
        *self != before
    }

    /// Returns the registers within a called function: a pointer into the middle of a region is a
    /// slice there, whose length the instructions do not tell; a line is none.
    fn passed(&self) -> Self {
        Self(self.0.map(|origin| match origin {
            Origin::Shared(Base::Region, 1..128) => origin.moved(),
            _ => origin,
        }))
    }

    /// Returns `true` if an argument of this function points to shared memory.
    pub(crate) fn pass_pointers(&self, callee: &str, architecture: Architecture) -> bool {
        let arguments = match architecture {
            _ if callee.contains("memclr") => 2,
            _ if ["mem", "__aeabi_mem", "bcmp"].iter().any(|name| callee.starts_with(name)) => 3,
            Architecture::Aarch64 => 8,
            _ => 4,
        };
        self.0[..arguments].iter().any(|&origin| origin != Origin::Private)
    }
}

/// Returns the number of a general register.
fn number(name: &str) -> Option<usize> {
    match name {
        "sl" => Some(10),
        "fp" => Some(11),
        "ip" => Some(12),
        "lr" => Some(14),
        _ => name.strip_prefix(['x', 'w', 'r'])?.parse().ok().filter(|&number| number < 31),
    }
}

/// Returns `true` if a function restores this register before it returns.
fn is_saved(name: &str, architecture: Architecture) -> bool {
    number(name).is_some_and(|number| match architecture {
        Architecture::Aarch64 => (19..=30).contains(&number),
        _ => (4..=11).contains(&number) || number == 14,
    })
}

/// Returns the operands, split at the commas outside of brackets.
pub(crate) fn operands(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '[' | '{' => depth += 1,
            ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[begin..at].trim());
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[begin..].trim());
    parts
}

/// Returns the registers in braces: `{r4, sl, fp, pc}`.
pub(crate) fn in_braces(text: &str) -> impl Iterator<Item = &str> {
    text.trim_matches(['{', '}']).split(',').map(str::trim)
}

/// Returns the base register of an access.
pub(crate) fn base(instruction: &Instruction) -> Option<&str> {
    let parts = operands(&instruction.operands);
    match instruction.name.as_str() {
        "push" | "pop" => Some("sp"),
        name if name.starts_with("ldm") || name.starts_with("stm") => {
            parts.first().map(|base| base.trim_end_matches('!'))
        }
        _ => parts.iter().find_map(|part| {
            let inside = part.strip_prefix('[')?;
            Some(inside.split([',', ']']).next().unwrap_or_default().trim())
        }),
    }
}

fn constant(text: &str) -> Option<i64> {
    let text = text.strip_prefix('#')?;
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Names that write no register.
const SILENT: [&str; 20] = [
    "cmp", "cmn", "tst", "teq", "cbz", "cbnz", "tbz", "tbnz", "b", "bx", "br", "ret", "nop", "dmb",
    "clrex", "push", "udf", "brk", "ccmp", "hint",
];

/// Returns the registers after an instruction. `entry` are those at the beginning of its function.
fn after(
    instruction: &Instruction,
    before: &Registers,
    entry: &Registers,
    architecture: Architecture,
) -> Registers {
    let mut registers = before.clone();
    let name = instruction.name.as_str();
    let parts = operands(&instruction.operands);
    let [first, rest @ ..] = parts.as_slice() else { return registers };
    let restored = |register: &str| {
        let restores = base(instruction) == Some("sp") && is_saved(register, architecture);
        if restores { entry.get(register) } else { Origin::Private }
    };
    if name == "pop" || name.starts_with("ld") {
        let loaded = parts.iter().take_while(|part| !part.starts_with('['));
        for register in loaded.flat_map(|part| in_braces(part)) {
            registers.set(register, restored(register));
        }
        if let (true, Some(base)) = (name.starts_with("ldm"), first.strip_suffix('!')) {
            registers.set(base, before.get(base).moved());
        }
    } else if name.starts_with("stx") || name.starts_with("stlx") || name.starts_with("strex") {
        registers.set(first, Origin::Private);
    } else if name.starts_with("st") || name.starts_with("b.") || SILENT.contains(&name) {
    } else if name == "mov" || name == "movs" {
        registers.set(first, rest.first().map_or(Origin::Private, |from| before.get(from)));
    } else if let ("add" | "adds" | "sub" | "subs", Some(offset)) =
        (name, rest.last().and_then(|last| constant(last)))
    {
        let from = if rest.len() > 1 { rest[0] } else { first };
        let offset = if name.starts_with("add") { offset } else { -offset };
        registers.set(first, before.get(from).plus(offset));
    } else {
        // A computation; a conditional move keeps the old value, perhaps.
        let old = if name.starts_with("mov") { before.get(first) } else { Origin::Private };
        let sources = rest.iter().map(|source| before.get(source));
        let computed = !name.starts_with("mov") && !name.starts_with("csel");
        let origin = sources.fold(old, Origin::join);
        registers.set(first, if computed { origin.moved() } else { origin });
    }
    // Write-back, before or after the access.
    let writes_back = instruction.operands.ends_with("]!") || instruction.operands.contains("], ");
    if let (true, Some(base)) = (writes_back, base(instruction)) {
        registers.set(base, before.get(base).moved());
    }
    registers
}

/// Returns the registers before each node; `None` where no path leads.
pub(crate) fn follow(
    flow: &Flow,
    arguments: &Registers,
    architecture: Architecture,
) -> Vec<Option<Registers>> {
    let mut before: Vec<Option<Registers>> = vec![None; flow.nodes.len()];
    before[0] = Some(arguments.clone());
    let mut changed = true;
    while changed {
        changed = false;
        for (node, Node { instruction, next, entry: entry_node }) in flow.nodes.iter().enumerate() {
            let (Some(here), Some(entry)) = (&before[node], &before[*entry_node]) else { continue };
            let mut registers = after(instruction, here, entry, architecture);
            if flow.is_foreign_call(node) {
                let clobbered = if architecture == Architecture::Aarch64 { 0..19 } else { 0..4 };
                registers.0[clobbered].fill(Origin::Private);
            }
            for &successor in next {
                let is_call = flow.nodes[successor].entry == successor && successor != *entry_node;
                let registers = if is_call { registers.passed() } else { registers.clone() };
                if let Some(known) = &mut before[successor] {
                    changed |= known.join(&registers);
                } else {
                    before[successor] = Some(registers);
                    changed = true;
                }
            }
        }
    }
    before
}
