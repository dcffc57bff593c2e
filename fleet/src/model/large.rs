//! Searches more events at once than the tests have time for: `ci/model.sh`.

use super::scope::{SLOW, Scope};
use super::{THREE, TWO, keeps_its_promises};

#[test]
#[ignore = "too long for every change"]
fn deletions_and_late_puts_with_renewals() {
    keeps_its_promises(&Scope { deletions: true, strays: true, ..TWO });
}

#[test]
#[ignore = "too long for every change"]
fn a_longer_ttl_with_deaths_elections_and_a_key_of_a_dead_one() {
    keeps_its_promises(&Scope { deaths: true, elections: true, keys: 3, ttl: 3, ..TWO });
}

#[test]
#[ignore = "too long for every change"]
fn late_and_doubled_requests_elections_and_deaths() {
    let (elections, strays, deaths) = (true, true, true);
    keeps_its_promises(&Scope { elections, strays, deaths, ..TWO });
}

#[test]
#[ignore = "too long for every change"]
fn deaths_elections_and_clocks_that_change() {
    let rates = &[SLOW, 110];
    keeps_its_promises(&Scope { deaths: true, elections: true, rates, ..TWO });
}

#[test]
#[ignore = "too long for every change"]
fn three_contenders_and_a_key_of_a_dead_one() {
    keeps_its_promises(&Scope { deaths: true, silence: true, keys: 4, ..THREE });
}
