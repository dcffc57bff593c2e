//! Lists the moves of the model: what may happen next.

use super::flaw::Flaw;
use super::server::{Answer, Key, Request, TTL};
use super::world::{Breach, CONTENDERS, GRANTS, PROMPT, Pending, Phase, World, instant};
use crate::hold::LeaseState;
use crate::protocol::{Place, Renewal, Verdict, judge, place};

/// Returns every state that may follow.
pub(super) fn all(world: &World) -> Result<Vec<World>, Breach> {
    let mut next = Vec::new();
    let mut add = |world: World| world.check().map(|()| next.push(world));
    for who in 0..CONTENDERS {
        for request in requests(world, who) {
            if request == Request::Grant && world.server.granted() >= GRANTS {
                continue; // or lost answers would make leases without end
            }
            let sent = send(world, who, request, None);
            add(if who == PROMPT { at_once(sent)? } else { sent })?;
        }
        if let Some(world) = deliver(world, who) {
            add(world)?;
        }
        if let Some(world) = deliver_to_former_leader(world, who) {
            add(world)?;
        }
        if let Some(world) = receive(world, who)? {
            add(world)?;
        }
        for world in faults(world, who) {
            add(world)?;
        }
        if let Some(world) = write(world, who) {
            add(world)?;
        }
        if let Some(world) = notice(world, who) {
            add(if who == PROMPT { at_once(world)? } else { world })?;
        }
    }
    if let Some((who, request)) = world.stray {
        let mut world = World { stray: None, ..world.clone() };
        world.server.handle(who, request, world.flaw);
        add(world)?;
    }
    for index in 0..world.writes.len() {
        add(arrive(world, index)?)?;
    }
    for lease in world.server.leases.iter().filter(|lease| lease.expires <= world.server.now) {
        let mut world = world.clone();
        world.server.end(lease.number);
        add(world)?;
    }
    if world.server.term == 0 && world.acquisitions > 0 && world.faults > 0 {
        let mut world = world.clone();
        world.faults -= 1;
        world.server.elect();
        add(world)?;
    }
    if world.server.now < world.end {
        for missed in 0..1 << PROMPT {
            if let Some(world) = tick(world, missed) {
                add(world)?;
            }
        }
    }
    Ok(next)
}

/// Ends the request of the prompt contender, and the reading that follows a keep-alive.
fn at_once(mut world: World) -> Result<World, Breach> {
    while world.contenders[PROMPT].pending.is_some() {
        world = deliver(&world, PROMPT).unwrap_or(world);
        world = receive(&world, PROMPT)?.unwrap_or(world);
    }
    Ok(world)
}

/// Returns what this contender may ask for.
pub(super) fn requests(world: &World, who: usize) -> Vec<Request> {
    let contender = &world.contenders[who];
    if contender.pending.is_some() {
        return Vec::new();
    }
    let lease = contender.lease;
    let keep = Request::KeepAlive { lease };
    match contender.phase {
        Phase::Idle => vec![Request::Grant],
        Phase::HasLease => vec![Request::Put { lease }],
        Phase::Queued { .. } => vec![Request::Look, keep],
        Phase::Critical { token, .. } => {
            vec![Request::Release { lease, revision: token }, keep]
        }
        Phase::Done | Phase::Dead => Vec::new(),
    }
}

/// Sends a request. A reading that follows a keep-alive takes its answer along.
pub(super) fn send(
    world: &World,
    who: usize,
    request: Request,
    renewal: Option<(u8, bool, u8)>,
) -> World {
    let mut world = world.clone();
    let contender = &mut world.contenders[who];
    if matches!(request, Request::Release { .. }) {
        contender.phase = Phase::Done;
        contender.state = None;
    }
    let sent = contender.clock;
    contender.pending = Some(Pending { request, sent, answer: None, renewal });
    world
}

/// Delivers the request under way to the leader.
pub(super) fn deliver(world: &World, who: usize) -> Option<World> {
    let pending = world.contenders[who].pending.clone().filter(|one| one.answer.is_none())?;
    let mut world = world.clone();
    let answer = world.server.handle(who, pending.request, world.flaw);
    let token = match world.contenders[who].phase {
        Phase::Queued { token } | Phase::Critical { token, .. } => Some(token),
        _ => None,
    };
    let stands = world.server.keys.iter().any(|key| Some(key.revision) == token);
    world.contenders[who].pending = Some(Pending { answer: Some((answer, stands)), ..pending });
    Some(world)
}

fn deliver_to_former_leader(world: &World, who: usize) -> Option<World> {
    let pending = world.contenders[who].pending.clone().filter(|one| one.answer.is_none())?;
    let answer = world.server.handle_as_former_leader(pending.request)?;
    let mut world = world.clone();
    world.contenders[who].pending = Some(Pending { answer: Some((answer, true)), ..pending });
    Some(world)
}

/// The contender reads the answer and goes on.
pub(super) fn receive(world: &World, who: usize) -> Result<Option<World>, Breach> {
    let Some(pending) = world.contenders[who].pending.clone() else { return Ok(None) };
    let Some((answer, stands)) = pending.answer else { return Ok(None) };
    let mut world = world.clone();
    let deadline = world.deadline(who, pending.sent);
    let contender = &mut world.contenders[who];
    contender.pending = None;
    match (contender.phase, answer) {
        (Phase::Idle, Answer::Granted { lease }) => {
            contender.lease = lease;
            contender.state = Some(LeaseState::new(deadline));
            contender.phase = Phase::HasLease;
        }
        (Phase::HasLease, Answer::NoLease) => contender.phase = Phase::Idle,
        (Phase::HasLease, Answer::Keys { keys, .. }) => {
            let name = (who, contender.lease);
            if let Some(own) = keys.iter().find(|key| key.name == name) {
                contender.phase = Phase::Queued { token: own.revision };
                enter_if_first(&mut world, who, own.revision, &keys);
            }
        }
        (Phase::Queued { token }, Answer::Keys { keys, .. }) if pending.renewal.is_none() => {
            enter_if_first(&mut world, who, token, &keys);
        }
        (Phase::Queued { .. } | Phase::Critical { .. }, Answer::Kept { is_alive, term }) => {
            let renewal = Some((pending.sent, is_alive, term));
            return Ok(Some(send(&world, who, Request::Look, renewal)));
        }
        (Phase::Queued { token } | Phase::Critical { token, .. }, Answer::Keys { keys, term }) => {
            let (sent, is_alive, renewed_in) = pending.renewal.unwrap_or_default();
            let flaw = world.flaw;
            let name = (who, contender.lease);
            let own = keys.iter().find(|key| key.name == name).map(|key| match flaw {
                Some(Flaw::NoRevisionCheck) => token,
                _ => key.revision,
            });
            let read_in = if flaw == Some(Flaw::NoTermCheck) { renewed_in } else { term };
            let verdict = judge(
                token,
                Renewal {
                    ttl: i64::from(is_alive) * i64::from(TTL),
                    renewed_in: u64::from(renewed_in),
                    own_revision: own,
                    read_in: u64::from(read_in),
                },
            );
            renewed(&mut world, who, verdict, sent, stands)?;
        }
        _ => {}
    }
    Ok(Some(world))
}

/// Acts on a renewal.
fn renewed(
    world: &mut World,
    who: usize,
    verdict: Verdict,
    sent: u8,
    stands: bool,
) -> Result<(), Breach> {
    let deadline = world.deadline(who, sent);
    let flaw = world.flaw;
    let contender = &mut world.contenders[who];
    let now = instant(contender.clock);
    let Some(state) = &mut contender.state else { return Ok(()) };
    match verdict {
        Verdict::Renewed if !stands => return Err(Breach::RenewedWithoutKey),
        Verdict::Renewed if flaw == Some(Flaw::LossUndone) => *state = LeaseState::new(deadline),
        Verdict::Renewed => state.extend(now, deadline),
        Verdict::Unconfirmed => {}
        Verdict::Expired | Verdict::KeyGone => {
            contender.state = None;
            contender.phase = match contender.phase {
                Phase::Queued { .. } => Phase::Idle,
                _ => Phase::Done,
            };
        }
    }
    Ok(())
}

/// Enters the critical section if the own key is the first and the lease lives.
fn enter_if_first(world: &mut World, who: usize, token: i64, keys: &[Key]) {
    let mut keys: Vec<_> = keys
        .iter()
        .filter(|key| key.revision <= token)
        .map(|key| (key.name, key.revision))
        .collect();
    keys.sort_by_key(|&(_, revision)| std::cmp::Reverse(revision));
    let phase = match place(token, &keys) {
        Place::First if !world.is_lost(who) => {
            world.acquisitions += 1;
            let token = match world.flaw {
                Some(Flaw::TokenFromLease) => i64::from(world.contenders[who].lease),
                _ => token,
            };
            Phase::Critical { token, acquisition: world.acquisitions }
        }
        Place::Gone => Phase::Idle,
        Place::First | Place::Behind(_) => return,
    };
    world.contenders[who].phase = phase;
}

/// The contender sees that its lease is lost.
pub(super) fn notice(world: &World, who: usize) -> Option<World> {
    let contender = &world.contenders[who];
    if !world.is_lost(who) || contender.has_lost {
        return None;
    }
    let mut world = world.clone();
    let contender = &mut world.contenders[who];
    match contender.phase {
        // A session that ends withdraws its key.
        phase @ (Phase::HasLease | Phase::Queued { .. }) => {
            let revision = if let Phase::Queued { token } = phase { token } else { 0 };
            let request = Request::Release { lease: contender.lease, revision };
            let sent = contender.clock;
            contender.phase = Phase::Idle;
            contender.pending = Some(Pending { request, sent, answer: None, renewal: None });
        }
        Phase::Critical { .. } => contender.has_lost = true,
        _ => return None,
    }
    Some(world)
}

/// A holder that believes in its hold sends a write, which may take any time.
fn write(world: &World, who: usize) -> Option<World> {
    let Phase::Critical { token, acquisition } = world.contenders[who].phase else { return None };
    if world.contenders[who].has_written || world.is_lost(who) {
        return None;
    }
    let mut world = world.clone();
    world.contenders[who].has_written = true;
    world.writes.push((token, acquisition));
    Some(world)
}

/// A write arrives at the store.
fn arrive(world: &World, index: usize) -> Result<World, Breach> {
    let mut world = world.clone();
    let (token, acquisition) = world.writes.remove(index);
    let last = world.store.last;
    match world.store.write(token, acquisition) {
        true if acquisition < last => Err(Breach::WentBack),
        false if acquisition > last => Err(Breach::HolderRefused),
        _ => Ok(world),
    }
}

/// The faults that concern one contender.
fn faults(world: &World, who: usize) -> Vec<World> {
    let mut next = Vec::new();
    if let Some(pending) = &world.contenders[who].pending {
        // The answer, or the request, is lost; a request may arrive later all the same.
        let mut lost = World { losses: world.losses.saturating_sub(1), ..world.clone() };
        lost.contenders[who].pending = None;
        if world.faults > 0 && world.stray.is_none() {
            let mut late = lost.clone();
            (late.stray, late.faults) = (Some((who, pending.request)), world.faults - 1);
            next.push(late);
            if pending.answer.is_none() {
                let mut doubled = world.clone();
                (doubled.stray, doubled.faults) = (Some((who, pending.request)), world.faults - 1);
                next.push(doubled);
            }
        }
        if world.losses > 0 {
            next.push(lost);
        }
    }
    if world.faults > 0 && !matches!(world.contenders[who].phase, Phase::Idle | Phase::Dead) {
        let mut world = world.clone();
        world.faults -= 1;
        let contender = &mut world.contenders[who];
        (contender.phase, contender.pending, contender.state) = (Phase::Dead, None, None);
        next.push(world);
    }
    for index in 0..world.server.keys.len() {
        if world.faults > 0 && world.server.keys[index].name.0 == who {
            let mut world = world.clone();
            world.faults -= 1;
            world.server.keys.remove(index);
            world.contenders[who].is_evicted = true;
            next.push(world);
        }
    }
    next
}

/// Time goes on. The clock of a contender in the set `missed` misses the tick.
pub(super) fn tick(world: &World, missed: usize) -> Option<World> {
    let mut world = world.clone();
    world.server.now += 1;
    for (who, contender) in world.contenders.iter_mut().enumerate() {
        if missed & (1 << who) == 0 {
            contender.clock += 1;
        } else if contender.may_miss || world.flaw == Some(Flaw::ClockStandsStill) {
            contender.may_miss = false;
        } else {
            return None;
        }
    }
    Some(world)
}
