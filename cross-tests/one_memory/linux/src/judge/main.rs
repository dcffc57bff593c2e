//! Lets Linux processes and an emulated microcontroller count in one memory, and judges the result.
//!
//! `one-memory-judge RUN OPTION=VALUE... -- QEMU ARGUMENT...`
//!
//! | run | what happens | what must hold at the end |
//! |---|---|---|
//! | `exact` | all count for `seconds` | no count is lost |
//! | `control` | all count until counts are lost | counts are lost |
//!
//! The options: `lock` (`word` or `none`), `cores` and `processes` that count, `seconds`.

mod arena;
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
        Run::Control => runs::control(&options),
    }
}
