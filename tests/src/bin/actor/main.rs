//! A process that does as it is told: one line in, one line out. See the commands in [`commands`], and
//! `Voice` in the harness.

mod blocks;
mod commands;
mod dying;
mod line;
mod locks;
mod numbers;
mod signals;
mod state;
mod work;

use line::Line;
use state::State;

fn main() {
    dying::with_parent();
    commands::serve(&mut State::new(Line::of_standard_streams()));
}
