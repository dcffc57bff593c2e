//! Tests that `defmt` can log the values of a firmware. Compiling it is the test.

use shmlock_core::fence::{FullSystem, InnerShareable};
use shmlock_core::layout::Magic;
use shmlock_core::protocol::{Acquisition, Attempt, Wake};
use shmlock_core::token::{InvalidToken, TokenRange};
use shmlock_core::wait::WaitAction;
use shmlock_core::{Error, FenceScope, Holder, Record, Token, Word};

const fn is_logged<T: defmt::Format>() {}

#[test]
fn what_a_firmware_logs_can_be_logged() {
    const {
        is_logged::<Error>();
        is_logged::<Result<(), Error>>();
        is_logged::<Word>();
        is_logged::<Token>();
        is_logged::<TokenRange>();
        is_logged::<InvalidToken>();
        is_logged::<Option<Holder>>();
        is_logged::<Record>();
        is_logged::<WaitAction>();
        is_logged::<Acquisition>();
        is_logged::<Attempt>();
        is_logged::<Wake>();
        is_logged::<Magic>();
        is_logged::<FenceScope>();
        is_logged::<(InnerShareable, FullSystem)>();
    }
}
