//! Tests members that are killed, stopped or cut off from the others, and a cluster that is gone.

use std::time::Duration;

use rustix::process::Signal;
use shmlock_tests::etcd::{Member, restart_all};

use crate::driver::Actor;
use crate::scene::{LONG, RENEWED, SHORT, Scene};

/// Returns the members other than this one.
fn others(member: usize) -> [usize; 2] {
    [(member + 1) % 3, (member + 2) % 3]
}

/// Waits until the members other than `former` have a leader among them.
fn until_another_leads(scene: &Scene, former: usize) {
    scene.until_healthy(&others(former));
    let leads = |&index: &usize| scene.members[index].is_leader();
    shmlock_tests::until(|| others(former).iter().any(leads));
}

/// Starts a contender on each of three machines.
fn contenders(scene: &Scene) -> [Actor; 3] {
    ["a", "b", "c"].map(|machine| scene.actor_with(RENEWED, machine))
}

/// Begins with a holder and two waiters in the queue. Returns the holder's token.
fn queue_up(scene: &Scene, holder: &mut Actor, waiters: [&mut Actor; 2]) -> u64 {
    let token = holder.locks("lock");
    for (waiter, contenders) in waiters.into_iter().zip(2..) {
        waiter.tell("lock");
        scene.until_queue_has(contenders);
    }
    token
}

/// Ends with the fault over: the holder writes, as far as its token is the greatest, and releases;
/// each waiter gets in, in the order of their keys, which a fault may change.
fn drain(scene: &Scene, token: u64, holder: &mut Actor, waiters: [&mut Actor; 2]) {
    writes_or_loses(holder);
    holder.releases_if_held();
    let [second, third] = waiters;
    std::thread::scope(|scope| {
        for waiter in [&mut *second, &mut *third] {
            scope.spawn(move || {
                assert!(waiter.gets_in() > token, "tokens rise");
                writes_or_loses(waiter);
                waiter.releases_if_held();
            });
        }
    });
    scene.settle(&mut [("a", holder), ("b", second), ("c", third)]);
}

/// Writes. A holder that the store refuses has lost, or learns so by its next renewal: a leader of
/// etcd 3.4 that hung, on a busy machine for example, may revoke living leases when it goes on.
fn writes_or_loses(holder: &mut Actor) {
    if holder.ask("write") != "accepted" {
        holder.until_lost();
    }
}

#[test]
fn a_killed_leader_comes_back_from_its_disk() {
    let Some(mut scene) = Scene::new(3) else { return };
    let [mut holder, mut second, mut third] = contenders(&scene);
    let token = queue_up(&scene, &mut holder, [&mut second, &mut third]);
    let leader = scene.leader();
    scene.members[leader].kill();
    until_another_leads(&scene, leader);
    scene.members[leader].restart();
    drain(&scene, token, &mut holder, [&mut second, &mut third]);
}

#[test]
fn a_killed_follower_does_not_stop_renewals() {
    let Some(mut scene) = Scene::new(3) else { return };
    let [mut holder, mut second, mut third] = contenders(&scene);
    let token = queue_up(&scene, &mut holder, [&mut second, &mut third]);
    let follower = others(scene.leader())[0];
    scene.members[follower].kill();
    holder.until_renewed();
    scene.members[follower].restart();
    drain(&scene, token, &mut holder, [&mut second, &mut third]);
}

#[test]
fn a_stopped_leader_goes_on_after_an_election() {
    let Some(scene) = Scene::new(3) else { return };
    let [mut holder, mut second, mut third] = contenders(&scene);
    let token = queue_up(&scene, &mut holder, [&mut second, &mut third]);
    let leader = scene.leader();
    scene.members[leader].signal(Signal::STOP);
    until_another_leads(&scene, leader);
    scene.members[leader].signal(Signal::CONT);
    scene.until_healthy(&[0, 1, 2]);
    drain(&scene, token, &mut holder, [&mut second, &mut third]);
}

#[test]
fn a_leader_cut_off_from_the_others_loses_its_office() {
    let Some(scene) = Scene::networked() else { return };
    let [mut holder, mut second, mut third] = contenders(&scene);
    let token = queue_up(&scene, &mut holder, [&mut second, &mut third]);
    let leader = scene.leader();
    scene.network.isolate(leader);
    until_another_leads(&scene, leader);
    assert!(!scene.members[leader].is_healthy(), "it is cut off");
    scene.network.heal();
    scene.until_healthy(&[0, 1, 2]);
    drain(&scene, token, &mut holder, [&mut second, &mut third]);
}

#[test]
fn a_leader_whose_messages_are_lost_is_replaced() {
    let Some(scene) = Scene::networked() else { return };
    let [mut holder, mut second, mut third] = contenders(&scene);
    let token = queue_up(&scene, &mut holder, [&mut second, &mut third]);
    let leader = scene.leader();
    for other in others(leader) {
        scene.network.hold(leader, other); // it still hears the others
    }
    until_another_leads(&scene, leader);
    scene.network.heal();
    scene.until_healthy(&[0, 1, 2]);
    drain(&scene, token, &mut holder, [&mut second, &mut third]);
}

/// The former leader of etcd's issue 15247: it does not know of its fall, and answers keep-alives
/// out of its own memory. It runs for moments only, so that it does not count its election timeout.
#[test]
fn a_former_leader_prolongs_no_hold() {
    let Some(scene) = Scene::networked() else { return };
    let former = scene.leader();
    let mut holder = {
        let way = [shmlock_tests::network::Way::to(scene.members[former].socket())];
        // Open for good, and to the former leader alone.
        scene.actor_by(SHORT, "a", &way)
    };
    let first = holder.locks("lock");
    assert_eq!(holder.ask("write"), "accepted");
    let others = others(former).map(|index| scene.members[index].endpoint());
    let mut successor = scene.actor_at(LONG, "b", &others);
    successor.tell("lock");
    scene.until_queued(&successor);
    scene.network.isolate(former);
    let (second, overlap) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            // The others have no leader at first.
            loop {
                match successor.answer().strip_prefix("locked ") {
                    Some(token) => return token.parse::<u64>().expect("a number"),
                    None => successor.tell("lock"),
                }
            }
        });
        while !waiting.is_finished() {
            scene.members[former].signal(Signal::STOP);
            std::thread::sleep(Duration::from_millis(350)); // the disturbance
            scene.members[former].signal(Signal::CONT);
            std::thread::sleep(Duration::from_millis(50));
        }
        let overlap = holder.ask("lost") == "false";
        (waiting.join().expect("no panic"), overlap)
    });
    assert!(second > first);
    assert!(!overlap, "the former leader has prolonged a hold that has ended");
    assert_eq!(successor.ask("write"), "accepted");
    assert_eq!(holder.ask("write"), "refused");
    scene.network.heal();
    scene.until_healthy(&[0, 1, 2]);
    assert!(!holder.releases_if_held());
    assert_eq!(successor.ask("release"), "released");
    scene.settle(&mut [("a", &mut holder), ("b", &mut successor)]);
}

#[test]
fn a_whole_cluster_is_killed_and_comes_back_from_its_disks() {
    let Some(mut scene) = Scene::new(3) else { return };
    let [mut holder, mut second, mut third] = contenders(&scene);
    let token = queue_up(&scene, &mut holder, [&mut second, &mut third]);
    scene.members.iter_mut().for_each(Member::kill);
    restart_all(&mut scene.members);
    scene.until_healthy(&[0, 1, 2]);
    drain(&scene, token, &mut holder, [&mut second, &mut third]);
}

#[test]
fn a_cluster_is_gone_for_longer_than_a_lease() {
    let Some(mut scene) = Scene::new(3) else { return };
    let [mut holder, mut second, mut third] = contenders(&scene);
    let token = queue_up(&scene, &mut holder, [&mut second, &mut third]);
    scene.members.iter_mut().for_each(Member::kill);
    holder.until_lost();
    restart_all(&mut scene.members);
    scene.until_healthy(&[0, 1, 2]);
    // The key of the holder is on the disks, and its lease begins anew: the loss stays a loss.
    assert_eq!(holder.ask("lost"), "true");
    drain(&scene, token, &mut holder, [&mut second, &mut third]);
}
