use shmlock_model::ticket::{cases::*, *};
fn main() {
    let large = std::env::args().nth(1).is_some();
    for case in if large { &LARGE[..] } else { &SMALL[..] } {
        let r = search(case.bounds, None);
        println!("{:40} {:>10} {:>11} {:?} steps {}", case.name, r.states, r.transitions, r.time, r.steps);
        if let Some((b, t)) = r.broken { println!("{b}\n{t}"); return; }
    }
}
