//! A process that does as it is told: one line in, one line out. See the commands in [`commands`], and
//! `Voice` in the harness.

mod blocks;
mod commands;
mod dying;
mod line;
mod locks;
mod signals;
mod work;

use line::Line;

fn main() {
    dying::with_parent();
    commands::Commands::new(Line::of_standard_streams()).serve();
}
