#!/usr/bin/env bash
# Proves: some seconds of hostile input for each target of fuzz/ (9, or the first argument) find no
# panic, no broken promise, no hang and no memory error (AddressSanitizer). Inputs that reach new
# code are kept in the cache for the next run. A finding is printed with the command that reproduces
# it.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

host=$(rustc -vV | sed -n 's/^host: //p')
seconds=${1:-9}
PATH=$PATH:$cache/tools/bin
command -v rustup >/dev/null || skip "fuzzing needs a nightly Rust from rustup; install rustup"
rustup run nightly rustc --version 2>/dev/null ||
    RUST_BACKTRACE=0 timeout 300 rustup --quiet toolchain install nightly --profile minimal \
        --no-self-update || skip "no nightly Rust: run rustup toolchain install nightly"
# Built without optimisation: it only starts cargo.
command -v cargo-fuzz >/dev/null ||
    cargo install --quiet --locked --debug --root "$cache/tools" cargo-fuzz ||
    skip "cargo-fuzz is neither installed nor installable"

cargo fmt --check --manifest-path fuzz/Cargo.toml
built=$(realpath -m "${CARGO_TARGET_DIR:-target}")/fuzz
CARGO_TARGET_DIR=$built/lint cargo clippy --quiet --locked --manifest-path fuzz/Cargo.toml \
    --lib --bins -- -D warnings
cargo +nightly fuzz build --target-dir "$built"

# The targets create their files in TMPDIR, which is fastest on tmpfs. Files that a crash leaves are
# removed with it.
TMPDIR=$(mktemp -d /dev/shm/shmlock-fuzz.XXXXXX 2>/dev/null || mktemp -d)
export TMPDIR RUST_BACKTRACE=0 # libFuzzer prints a stack of its own
trap 'rm -r "$TMPDIR"' EXIT

found=$cache/fuzz/findings
mkdir -p "$found"
limits=(
    -timeout=30         # a story takes milliseconds
    -rss_limit_mb=1024  # about 200 are used
    -max_len=400        # 128 bytes and about twenty calls
    -print_final_stats=1
)
table='' failed=0
for target in region scribble ticket boots shell name c; do
    corpus=$cache/fuzz/corpus/$target
    mkdir -p "$corpus"
    printf '\n=== %s\n' "$target"
    log=$TMPDIR/$target.log status=0
    # Their stories are long. libFuzzer begins with short inputs, and would not get beyond them.
    growth=()
    case $target in ticket | boots) growth=(-len_control=0) ;; esac
    timeout --kill-after=10 "$((seconds + 120))" "$built/$host/release/$target" \
        "${limits[@]}" "${growth[@]}" "-max_total_time=$seconds" \
        "-artifact_prefix=$found/$target-" "$corpus" >"$log" 2>&1 || status=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    verdict=ok
    # Too few runs prove nothing.
    if [ "$status" != 0 ] || [ "${runs:-0}" -lt 1000 ]; then
        verdict="FAILED ($status)" failed=1
        grep -aEv '^(#[0-9]|INFO)' "$log" | head -n 80
        input=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        [ -z "$input" ] || printf 'run again: %q %q\nprint it: %s %s %q\n' \
            "$built/$host/release/$target" "$input" "cargo +nightly fuzz fmt" "$target" "$input"
    fi
    row=$(printf '%-10s %9s runs  %5s edges' "$target" "${runs:-no}" "${covered:-no}")
    table+="$row  $verdict"$'\n'
done
printf '\n%s' "$table"
exit "$failed"
