#!/usr/bin/env bash
# Proves: some seconds of hostile bytes for each target of fuzz/ (or as many seconds as the first argument says) brings
# up no panic, no broken promise, no end that does not come, and no memory error (AddressSanitizer).
# What was found to reach new code is kept in the cache and gone on from. A finding is printed, with how to see it again.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

host=$(rustc -vV | sed -n 's/^host: //p')
seconds=${1:-12}
PATH=$PATH:$cache/tools/bin
command -v rustup >/dev/null || skip "fuzzing needs a nightly Rust from rustup, and there is no rustup"
rustup run nightly rustc --version 2>/dev/null ||
    RUST_BACKTRACE=0 timeout 300 rustup --quiet toolchain install nightly --profile minimal --no-self-update ||
    skip "no nightly Rust: rustup toolchain install nightly"
# Built without optimisation: it only calls cargo.
command -v cargo-fuzz >/dev/null ||
    cargo install --quiet --locked --debug --root "$cache/tools" cargo-fuzz ||
    skip "cargo-fuzz is neither installed nor installable"

cargo fmt --check --manifest-path fuzz/Cargo.toml
built=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
CARGO_TARGET_DIR=$built/lint cargo clippy --quiet --locked --manifest-path fuzz/Cargo.toml --lib --bins -- -D warnings
cargo +nightly fuzz build --target-dir "$built"

# The targets make their files in TMPDIR: on tmpfs they are ten times as fast. What a crash leaves goes with it.
TMPDIR=$(mktemp -d /dev/shm/shmlock-fuzz.XXXXXX 2>/dev/null || mktemp -d)
export TMPDIR RUST_BACKTRACE=0 # libFuzzer prints a stack of its own
trap 'rm -r "$TMPDIR"' EXIT

found=$cache/fuzz/findings
mkdir -p "$found"
limits=(
    -timeout=30         # a story takes milliseconds, and each call in it its own patience at most
    -rss_limit_mb=1024  # some 200 are used
    -max_len=400        # 128 bytes and some twenty calls; longer stories are slower and reach hardly more
    -print_final_stats=1
)
table='' failed=0
for target in region scribble shell name; do
    corpus=$cache/fuzz/corpus/$target
    mkdir -p "$corpus"
    printf '\n=== %s\n' "$target"
    log=$TMPDIR/$target.log status=0
    timeout --kill-after=10 "$((seconds + 120))" "$built/$host/release/$target" \
        "${limits[@]}" "-max_total_time=$seconds" "-artifact_prefix=$found/$target-" "$corpus" >"$log" 2>&1 || status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    verdict=ok
    # Nothing run is nothing shown.
    if [ "$status" != 0 ] || [ "${runs:-0}" -lt 1000 ]; then
        verdict="FAILED ($status)" failed=1
        grep -aEv '^(#[0-9]|INFO)' "$log" | head -n 80
        input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        [ -z "$input" ] || printf 'again: %q %q\nas a story: cargo +nightly fuzz fmt %s %q\n' \
            "$built/$host/release/$target" "$input" "$target" "$input"
    fi
    table+=$(printf '%-10s %9s runs  %5s edges  %s' "$target" "${runs:-no}" "${covered:-no}" "$verdict")$'\n'
done
printf '\n%s' "$table"
exit "$failed"
