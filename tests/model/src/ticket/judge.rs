//! Checks the properties that must hold in each world.

use shmlock_core::ticket::Section;

use super::breach::Breach;
use super::flaw::Flaw;
use super::world::{Place, Rules, World, small};

/// Returns the sum of the deaths, as the owner counts it.
pub(super) fn deaths(rules: &Rules, world: &World, owner: usize) -> u8 {
    let mut sum = 0;
    for (number, party) in world.parties.iter().enumerate() {
        let counts_inside = if number == owner {
            rules.has(Flaw::CountsItself)
        } else {
            !rules.has(Flaw::CountsTheReturnedOnly)
        };
        let count = if counts_inside { Section::deaths_if_dead } else { Section::deaths };
        sum += count(party.section());
    }
    small(sum)
}

/// Checks the properties that must hold in every world.
pub(super) fn judge(rules: &Rules, world: &World) -> Option<Breach> {
    let mut owners = (0..).zip(&world.parties).filter(|(_, party)| party.is_inside());
    let (number, owner) = owners.next()?;
    if owners.next().is_some() {
        return Some(Breach::TwoInside);
    }
    if owner.at == Place::Leave {
        return None;
    }
    let sum = deaths(rules, world, number);
    match (sum != world.declared, world.torn) {
        (false, true) => Some(Breach::Untold),
        (true, false) => Some(Breach::FalseAlarm),
        _ => (sum != owner.value).then_some(Breach::Unsteady),
    }
}

/// Returns `true` if no party has anything to do: each rests, was never started, or is dead for
/// ever.
pub(super) fn is_at_rest(rules: &Rules, world: &World) -> bool {
    world.parties.iter().all(|party| match party.at {
        Place::Off | Place::Idle => true,
        Place::Dead => !rules.bounds.returns,
        _ => false,
    })
}
