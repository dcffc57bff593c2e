//! Searches more at once, for some minutes and some gigabytes: `ci/model.sh`.

use super::scope::{SLOW, Scope};
use super::{THREE, TWO, keeps_its_promises};

/// Two contenders with every kind of event together.
const ALL: Scope = Scope {
    elections: true,
    strays: true,
    deletions: true,
    deaths: true,
    silence: true,
    tries: true,
    keys: 3,
    ..TWO
};

#[test]
#[ignore = "takes minutes"]
fn every_kind_of_event_together() {
    keeps_its_promises(&Scope { tries: false, ..ALL });
}

#[test]
#[ignore = "takes minutes"]
fn every_kind_of_event_without_renewals() {
    keeps_its_promises(&Scope { renewals: false, ..ALL });
}

#[test]
#[ignore = "takes minutes"]
fn a_longer_ttl_with_deaths_and_elections() {
    keeps_its_promises(&Scope { deaths: true, elections: true, keys: 3, ttl: 3, ..TWO });
}

#[test]
#[ignore = "takes minutes"]
fn late_and_doubled_requests_elections_and_deaths() {
    let (elections, deaths, strays) = (true, true, true);
    keeps_its_promises(&Scope { elections, deaths, strays, keys: 3, ..TWO });
}

#[test]
#[ignore = "takes minutes"]
fn deaths_elections_and_clocks_that_change() {
    let rates = &[SLOW, 110];
    keeps_its_promises(&Scope { deaths: true, elections: true, rates, ..TWO });
}

#[test]
#[ignore = "takes minutes"]
fn three_contenders_that_renew() {
    keeps_its_promises(&Scope { renewals: true, deaths: true, ..THREE });
}

#[test]
#[ignore = "takes minutes"]
fn three_contenders_with_late_requests() {
    let scope = Scope { deaths: true, silence: true, strays: true, keys: 4, ..THREE };
    keeps_its_promises(&scope);
}
