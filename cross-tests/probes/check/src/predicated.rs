//! Turns accesses and barriers that ARM executes under a condition (`strne`, `dmbne`) into branches
//! around plain ones.

use crate::listing::Instruction;

pub(crate) const CONDITIONS: [&str; 16] = [
    "eq", "ne", "cs", "hs", "cc", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le",
];

/// The accesses, and computations that may stand between them and leave the condition as it is.
const ACCESSES: [&str; 3] = ["ldr", "str", "dmb"];
const COMPUTATIONS: [&str; 7] = ["add", "and", "bic", "mov", "mvn", "orr", "sub"];

/// Returns the name without the condition, and the condition.
fn split(name: &str) -> Option<(&str, &str)> {
    let (base, condition) = name.split_at_checked(3)?;
    let known = ACCESSES.contains(&base) || COMPUTATIONS.contains(&base);
    (known && CONDITIONS.contains(&condition)).then_some((base, condition))
}

/// Returns the name of a conditional access without the condition.
fn access(instruction: &Instruction) -> Option<&str> {
    split(&instruction.name).map(|(base, _)| base).filter(|base| ACCESSES.contains(base))
}

/// Returns the code of a function with these branches. A run under one condition has one branch:
/// either all of it is executed or nothing.
pub(crate) fn with_branches(function: &str, code: &[Instruction]) -> Vec<Instruction> {
    let mut branched = Vec::with_capacity(code.len());
    let mut rest = code;
    while let [first, ..] = rest {
        let condition = split(&first.name).map(|(_, condition)| condition);
        let is_same = |i: &&Instruction| split(&i.name).map(|(_, of)| of) == condition;
        let length = if condition.is_some() { rest.iter().take_while(is_same).count() } else { 1 };
        let (run, after) = rest.split_at(length);
        if let (Some(condition), Some(next), true) =
            (condition, after.first(), run.iter().any(|i| access(i).is_some()))
        {
            branched.push(Instruction {
                address: first.address,
                name: format!("b{condition}"),
                operands: format!("{:x} <{function}>", next.address),
            });
        }
        branched.extend(
            run.iter().map(|i| Instruction {
                name: access(i).unwrap_or(&i.name).to_owned(),
                ..i.clone()
            }),
        );
        rest = after;
    }
    branched
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::Listing;

    #[test]
    fn a_run_under_one_condition_has_one_branch() {
        let text = "00000100 <bury>:
 100:\tittt\tne
 102:\taddne\tr1, r3, #1
 104:\tstrne.w\tr1, [r2, #248]
 106:\tdmbne\tsy
 108:\tmoveq\tr0, #1
 10a:\tpop\t{r7, pc}
";
        let listing = Listing::parse(text);
        let code = with_branches("bury", listing.function("bury").expect("it is there"));
        let names: Vec<_> = code.iter().map(|i| i.name.as_str()).collect();
        assert_eq!(names, ["ittt", "bne", "addne", "str", "dmb", "moveq", "pop"]);
        assert_eq!(code[1].target(), Some((0x108, "bury")));
    }
}
