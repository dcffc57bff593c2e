//! Lets Linux processes and emulated microcontrollers count in one memory, and judges the result.
//!
//! `one-memory-judge RUN OPTION=VALUE... -- QEMU ARGUMENT...`
//!
//! | run | what happens | what must hold at the end |
//! |---|---|---|
//! | `exact` | all count for `seconds` | no count is lost |
//! | `deaths` | the same, while all are reset and killed at arbitrary moments | the same |
//! | `control` | all count until counts are lost | counts are lost |
//!
//! The options: `lock` (`word`, `ticket` or `none`), `machines`, `cores` of each machine that
//! count, `processes`, `seconds`, `pauses` in each critical section, `seed`, `directory` for the
//! files.

mod arena;
mod deaths;
mod machine;
mod options;
mod processes;
mod runs;

use options::{Options, Run};

fn main() {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("one-memory-judge: {error}");
            std::process::exit(2);
        }
    };
    match options.run {
        Run::Exact => runs::exact(&options),
        Run::Deaths => deaths::deaths(&options),
        Run::Control => runs::control(&options),
    }
}
