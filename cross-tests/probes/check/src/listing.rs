//! Parses the output of `objdump -d` into functions and instructions.

use std::collections::BTreeMap;

/// One line of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(crate) address: u64,
    /// The name without Thumb's width suffix: `beq.n` is `beq`.
    pub(crate) name: String,
    /// The operands, without comments.
    pub(crate) operands: String,
}

impl Instruction {
    /// Returns the address and the function of a branch target, as in `80a4 <release+0x10>`.
    pub(crate) fn target(&self) -> Option<(u64, &str)> {
        let (before, symbol) = self.operands.rsplit_once(" <")?;
        let address = before.rsplit([' ', ',', '\t']).next()?;
        let symbol = symbol.strip_suffix('>')?;
        let function = symbol.rsplit_once("+0x").map_or(symbol, |(function, _)| function);
        Some((u64::from_str_radix(address, 16).ok()?, function))
    }

    /// Returns the offset in the first pair of brackets: 52 in `ldr w8, [x0, #52]`, 0 in `[x0]`.
    /// `None` if it is in a register.
    pub(crate) fn offset(&self) -> Option<u32> {
        let (inside, _) = self.operands.split_once('[')?.1.split_once(']')?;
        match inside.split_once(',') {
            Some((_, offset)) => offset.trim().strip_prefix('#')?.parse().ok(),
            None => Some(0),
        }
    }
}

/// The functions of a program by name, with their instructions in order.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    functions: BTreeMap<String, Vec<Instruction>>,
}

impl Listing {
    pub(crate) fn parse(text: &str) -> Self {
        let mut listing = Self::default();
        let mut function = None;
        for line in text.lines() {
            if let Some(name) = header(line) {
                function = Some(listing.functions.entry(name.to_owned()).or_default());
            } else if let (Some(function), Some(instruction)) = (&mut function, instruction(line)) {
                function.push(instruction);
            }
        }
        listing
    }

    pub(crate) fn function(&self, name: &str) -> Option<&[Instruction]> {
        self.functions.get(name).map(Vec::as_slice)
    }
}

/// `00008024 <steps_inner>:`
fn header(line: &str) -> Option<&str> {
    let (address, name) = line.strip_suffix(">:")?.split_once(" <")?;
    u64::from_str_radix(address, 16).ok().map(|_| name)
}

/// `    8028:  ldr.w  r3, [r2, #1204]  ; 0x4b4`
fn instruction(line: &str) -> Option<Instruction> {
    let (address, code) = line.split_once(":\t")?;
    let address = u64::from_str_radix(address.trim(), 16).ok()?;
    let code = [";", "//", "@"]
        .iter()
        .fold(code, |code, comment| code.split_once(comment).map_or(code, |(code, _)| code));
    let (name, operands) = code.split_once('\t').unwrap_or((code, ""));
    let name = name.trim().trim_end_matches(".n").trim_end_matches(".w");
    Some(Instruction { address, name: name.to_owned(), operands: operands.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_targets_and_offsets_are_found() {
        let text = "
00008024 <one>:
    8024:\tldr.w\tr3, [r2, #1204]\t; 0x4b4
    8028:\tbeq.n\t8024 <one>
    802c:\tldr\tr1, [ip, r5, lsl #3]
0000000000008030 <two>:
    8030:\tcbz\tw13, 8024 <one+0x9c>
    8034:\tstr\tw8, [x0]
";
        let listing = Listing::parse(text);
        let [load, branch, indexed] = listing.function("one").expect("there") else {
            panic!("three instructions")
        };
        assert_eq!((load.name.as_str(), load.offset(), load.target()), ("ldr", Some(1204), None));
        assert_eq!((branch.name.as_str(), branch.target()), ("beq", Some((0x8024, "one"))));
        assert_eq!(indexed.offset(), None);
        let [branch, store] = listing.function("two").expect("there") else {
            panic!("two instructions")
        };
        assert_eq!((branch.target(), store.offset()), (Some((0x8024, "one")), Some(0)));
    }
}
