#!/usr/bin/env bash
# Proves: the tests and the torture of the fleet lock detect broken rules of its protocol. Each
# mutant breaks one rule in a copy of the tree; of the tests named with it, one must fail. The
# torture runs for a minute. All take a quarter of an hour, so they are no part of every change.
# Arguments: the mutants, if not all. `--list` only applies each.
#
# The model has mutants of its own (fleet/src/model). Some rules only the model can break: a margin
# of zero needs clocks that differ, and a clock that stands still needs a suspended machine.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. ci/lib/etcd.sh

# mutants: prints a line with the name of each mutant, its file, and the tests that detect it; then
# its sed commands, which must change that file.
mutants() {
    cat <<'MUTANTS'
every_key_is_first protocol.rs torture
    /^pub\(crate\) fn place/,/^}/s/Place::Behind\(before.clone\(\)\)/Place::First/
no_own_deadline hold.rs torture
    s/now >= self.deadline \{/now >= self.deadline.after(Duration::from_secs(3600)) {/
no_own_deadline_2 hold.rs partitions::a_holder
    s/now >= self.deadline \{/now >= self.deadline.after(Duration::from_secs(3600)) {/
deadline_from_the_grants_answer contend.rs partitions::a_deadline
    s/own_deadline\(sent, ttl, margin\)/own_deadline(BootInstant::now(), ttl, margin)/
deadline_from_a_renewals_answer keeper.rs partitions::a_deadline
    s/own_deadline\(sent, ttl, self.lease.margin\)/own_deadline(BootInstant::now(), ttl, self.lease.margin)/
no_confirming_reading keeper.rs members::a_former_leader
    s/let look = etcd.look\(lease.token, (.*)\)\?;/let look = etcd.look(lease.token, \1).unwrap_or(crate::etcd::Look { newest_first: vec![(etcd.key_of(lease.id), lease.token)], revision: 0, term: kept.term });/
no_comparison_of_clusters etcd/cluster.rs clusters::endpoints_of_two
    s/Some\(first\) => return Err\(contradiction\(first, &named\(\)\)\)/Some(_) => {}/; s/Ok\(false\) if lacks/Ok(false) if lacks \&\& false/
no_comparison_of_keys etcd/cluster.rs clusters::two_clusters_of
    s/Ok\(false\) if lacks/Ok(false) if lacks \&\& false/
no_comparison_of_tokens etcd/cluster.rs clusters::a_handle_stays_with
    s/newest >= token/newest >= token \&\& false/
no_comparison_at_renewals keeper.rs clusters::a_holder_loses
    s/self.etcd.remind_endpoints\(.*/let _ = look.member;/
no_look_at_the_own_key contend.rs losses::a_waiter_whose_key
    s/Place::Gone => return Ok\(.*/Place::Gone => return Ok(End::First),/
no_revoke session.rs exclusion::a_release_and
    s/let _ = etcd.revoke\(.*/let _ = begin;/
no_watch contend.rs exclusion::a_waiter_is_woken
    s/let _ = inform.send\(Message::Watched\(number, end\)\);/let _ = (\&inform, number, end);/
MUTANTS
}

# copy SOURCES: copies the tree without what is not built.
copy() {
    rm -rf "$1" && mkdir -p "$1"
    cp -r Cargo.toml Cargo.lock clippy.toml core std-shell tests fleet ci "$1"
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

list=''
[ "${1:-}" != --list ] || { list=yes && shift; }
wanted=" $* "
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}
CARGO_TARGET_DIR=$(realpath -m "$CARGO_TARGET_DIR")/mutants
mutant=$(mktemp -d)/mutant
trap 'rm -rf "${mutant%/mutant}"' EXIT
table='' failed=0
while read -r name file tests <&3; do
    [[ $wanted != *[a-z]* || $wanted == *" $name "* ]] || continue
    copy "$mutant"
    mutate "$name" "$file" "$(mutants | sed -n "/^$name /,/^[a-z]/s/^    //p")" "$mutant"
    [ -z "$list" ] || { printf '%-32s %s\n' "$name" "$file" && continue; }
    seconds=$SECONDS
    found=$(failing_test "$mutant" "$tests") || die "$name does not compile"
    [ -n "$found" ] || { found='NOT DETECTED' && failed=1; }
    line=$(printf '%-32s %5s s  %s' "$name" $((SECONDS - seconds)) "$found")
    printf '%s\n' "$line"
    table+=$line$'\n'
done 3< <(mutants | grep '^[a-z]')
printf '\n%s' "$table"
exit "$failed"
