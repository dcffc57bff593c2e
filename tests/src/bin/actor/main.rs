//! A process that does as it is told: one line in, one line out. See the commands in [`desk`], and
//! `Voice` in the harness.

mod blocks;
mod desk;
mod dying;
mod line;
mod locks;
mod signals;
mod work;

use line::Line;

fn main() {
    dying::with_parent();
    desk::Desk::new(Line::of_standard_streams()).serve();
}
