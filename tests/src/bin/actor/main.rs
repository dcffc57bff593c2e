//! A process that follows commands: one line in, one line out. `commands` lists them; the test's
//! side is `Voice` in the harness.

mod blocks;
mod commands;
mod dying;
mod line;
mod locks;
mod numbers;
mod parse;
mod signals;
mod state;
mod work;

use line::Line;
use state::State;

fn main() {
    dying::with_parent();
    commands::serve(&mut State::new(Line::of_standard_streams()));
}
