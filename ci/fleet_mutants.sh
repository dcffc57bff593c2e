#!/usr/bin/env bash
# Proves: the tests, the torture and the model of the fleet lock detect broken rules of its
# protocol. Each mutant breaks one rule in a copy of the tree; of the tests named with it, one must
# fail. The torture runs for a minute. All take half an hour, so they are no part of every change.
# Arguments: the mutants, if not all, or `model` for all of the model. `--check` only applies each,
# and has the compiler look at it.
#
# With `model`, the searches of fleet/src/model/holds.rs are the tests, and one must find the broken
# promise that is named. Some rules only the model can break: a margin of zero needs clocks that
# differ. The model has more mutants in fleet/src/model/mutants.rs, for example of the order of
# requests, of the servers and of the clocks.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. ci/lib/etcd.sh

# mutants: prints a line with the name of each mutant, its file, and the tests that detect it; then
# its sed commands, which must change that file.
mutants() {
    cat <<'MUTANTS'
every_key_is_first protocol.rs torture
    /^pub\(crate\) fn place/,/^}/s/Place::Behind\(before.clone\(\)\)/Place::First/
no_own_deadline lease_state.rs torture
    s/ && now >= self.deadline \{/ \&\& false {/
no_own_deadline_2 lease_state.rs partitions::a_holder
    s/ && now >= self.deadline \{/ \&\& false {/
deadline_from_the_grants_answer contend.rs partitions::a_deadline
    s/own_deadline\(sent, ttl, margin\)/own_deadline(BootInstant::now(), ttl, margin)/
deadline_from_a_renewals_answer keeper.rs partitions::a_deadline
    s/own_deadline\(sent, ttl, self.lease.margin\)/own_deadline(BootInstant::now(), ttl, self.lease.margin)/
no_confirming_reading keeper.rs members::a_former_leader
    s/let look = etcd.look\(lease.token, .*\)\?;/let look = crate::etcd::Look { newest_first: vec![(etcd.key_of(lease.id), lease.token)], revision: 0, term: kept.term, member: 0 };/
no_comparison_of_clusters etcd/cluster.rs clusters::endpoints_of_two
    s/Some\(first\) => return Err\(contradiction\(first, &named\(\)\)\)/Some(_) => {}/; s/Ok\(false\) if lacks/Ok(false) if lacks \&\& false/
no_comparison_of_keys etcd/cluster.rs clusters::two_clusters_of
    s/Ok\(false\) if lacks/Ok(false) if lacks \&\& false/
no_comparison_of_tokens etcd/cluster.rs clusters::a_handle_stays_with
    s/newest >= token/newest >= token \&\& false/
no_comparison_at_renewals keeper.rs clusters::a_holder_loses
    s/self.etcd.remind_endpoints\(.*/let _ = look.member;/
no_look_at_the_own_key protocol.rs losses::a_waiter_whose_key
    s/\(None, Place::Gone\) => .*/(None, Place::Gone) => Next::Hold,/
no_revoke session.rs exclusion::a_release_and
    s/let _ = etcd.revoke\(.*/let _ = begin;/
no_watch contend.rs exclusion::a_waiter_is_woken
    s/let _ = inform.send\(Message::Watched\(number, end\)\);/let _ = (\&inform, number, end);/
model_no_own_deadline lease_state.rs model TwoHolders
    s/ && now >= self.deadline \{/ \&\& false {/
model_held_at_the_deadline_itself lease_state.rs model TwoHolders
    s/ && now >= self.deadline \{/ \&\& now > self.deadline {/
model_no_margin protocol.rs model TwoHolders
    s/ttl.saturating_sub\(margin\)/ttl/
model_a_smaller_margin settings.rs model TwoHolders
    /^pub\(crate\) fn default_margin/,/^}/s/ttl \/ 10/ttl \/ 11/
model_a_late_renewal_counts lease_state.rs model LossUndone
    /fn extend/,/^    }/s/if .* \{/if true {/
model_an_unconfirmed_renewal_counts lease_state.rs model TwoHolders
    s/Verdict::Unconfirmed => \{\}/Verdict::Unconfirmed => self.extend(now, deadline),/
model_a_deleted_key_is_no_loss lease_state.rs model HeldWithoutKey
    s/Verdict::KeyGone => .*/Verdict::KeyGone => {}/
model_no_comparison_of_terms protocol.rs model TwoHolders
    s/renewal.renewed_in != renewal.read_in/false/
model_any_create_revision protocol.rs model RenewedWithoutKey
    s/renewal.own_revision != Some\(token\)/renewal.own_revision.is_none()/
model_no_key protocol.rs model RenewedWithoutKey
    s/renewal.own_revision != Some\(token\)/false/
model_every_key_is_first protocol.rs model TwoHolders
    /^pub\(crate\) fn place/,/^}/s/Place::Behind\(before.clone\(\)\)/Place::First/
model_no_key_is_first protocol.rs model Stuck
    /^pub\(crate\) fn place/,/^}/s/Place::First/Place::Gone/
model_another_key_is_the_own_one protocol.rs model AcquiredWithoutKey
    /^pub\(crate\) fn place/,/^}/s/own != token => Place::Gone/own != token => Place::First/
model_a_deleted_key_is_first protocol.rs model AcquiredWithoutKey
    s/\(None, Place::Gone\) => .*/(None, Place::Gone) => Next::Hold,/
model_first_although_lost protocol.rs model AcquiredLost
    s/match \(loss, place\)/match (None::<Loss>, place)/
model_the_youngest_key_is_the_own_one protocol.rs model TokenNotRisen
    /^pub\(crate\) fn from_own/,/^}/s/\|\(key, _\)\| key == own/|_| own == own/
model_no_watch_of_the_key_before protocol.rs model Overslept
    s/fn watch_after<K>/fn watch_after<K: Clone>/; s/\[before, own\], /[own.clone(), own], /
model_no_watch_of_the_own_key protocol.rs model Overslept
    s/fn watch_after<K>/fn watch_after<K: Clone>/; s/\[before, own\], /[before.clone(), before], /
model_a_watch_that_begins_late protocol.rs model Overslept
    s/revision.saturating_add\(1\)/revision.saturating_add(2)/
MUTANTS
}

# copy SOURCES: copies the tree without the files that no build reads. It keeps the times of the
# files, so that only the crate with the mutant is built anew: the changed file has a new time.
copy() {
    rm -rf "$1" && mkdir -p "$1"
    cp -rp Cargo.toml Cargo.lock clippy.toml core std-shell tests fleet ci "$1"
    sed -i '/^members = /,/^\]/c members = ["core", "std-shell", "tests", "fleet"]' "$1/Cargo.toml"
}

# mutate NAME FILE COMMANDS SOURCES
mutate() {
    sed -i -E "$3" "$4/fleet/src/$2"
    ! diff -q "fleet/src/$2" "$4/fleet/src/$2" >/dev/null || die "$1 does not change $2"
}

# failing_test SOURCES TESTS: prints the first that fails.
failing_test() {
    local arguments=() words
    read -ra words <<<"$2"
    cd "$1"
    export RUSTFLAGS=-Awarnings SHMLOCK_TESTS_BOUND=60
    if [ "${words[0]}" = model ]; then
        cargo test --quiet --no-run -p shmlock-fleet --lib >&2 || return
        timeout 300 cargo test -p shmlock-fleet --lib model::holds >"$1.log" 2>&1 </dev/null || true
        # The search prints the promise, and the way to where it breaks.
        awk -v promise="${words[1]}" '/^---- .* stdout ----$/ { test = $2 }
            $0 == promise " after [" { print promise " in " test; exit }' "$1.log"
        return
    fi
    cargo test --quiet --no-run -p shmlock-fleet --test fleet >&2 || return
    if [ "$2" = torture ]; then
        export SHMLOCK_FLEET_TORTURE='60 1' SHMLOCK_TESTS_BOUND=200
        arguments=(--ignored --nocapture)
    fi
    timeout 300 cargo test -p shmlock-fleet --test fleet -- "${words[@]}" "${arguments[@]}" \
        >"$1.log" 2>&1 </dev/null || true # the failure is the purpose
    # A watchdog that rings ends the run: then no test reports itself as failed.
    sed -nE 's/^FAULT (.*)/\1/p; s/^test (.*) \.\.\. FAILED$/\1/p
        s/^watchdog: (.*) has not ended.*/\1 does not end/p' "$1.log" | head -n 1
}

check=''
[ "${1:-}" != --check ] || { check=yes && shift; }
wanted=" $* "
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}
CARGO_TARGET_DIR=$(realpath -m "$CARGO_TARGET_DIR")/mutants
mutant=$(mktemp -d)/mutant
trap 'rm -rf "${mutant%/mutant}"' EXIT
table='' failed=0
while read -r name file tests <&3; do
    [[ $wanted != *[a-z]* || $wanted == *" $name "* || $wanted == *" ${tests%% *} "* ]] || continue
    copy "$mutant"
    mutate "$name" "$file" "$(mutants | sed -n "/^$name /,/^[a-z]/s/^    //p")" "$mutant"
    seconds=$SECONDS
    if [ -n "$check" ]; then
        found=compiles
        (cd "$mutant" && RUSTFLAGS=-Awarnings cargo check --quiet -p shmlock-fleet --lib) ||
            found='DOES NOT COMPILE'
    else
        found=$(failing_test "$mutant" "$tests") || found='DOES NOT COMPILE'
    fi
    found=${found:-NOT DETECTED}
    case $found in 'NOT DETECTED' | 'DOES NOT COMPILE') failed=1 ;; esac
    line=$(printf '%-38s %5s s  %s' "$name" $((SECONDS - seconds)) "$found")
    printf '%s\n' "$line"
    table+=$line$'\n'
done 3< <(mutants | grep '^[a-z]')
printf '\n%s' "$table"
exit "$failed"
