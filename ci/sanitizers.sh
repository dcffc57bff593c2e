#!/usr/bin/env bash
# Proves: no test makes AddressSanitizer find an access out of bounds, a use after free or a leak, in core, in the shell,
# or in the processes the tests start; nor ThreadSanitizer a data race or an unsafe call in a signal handler, in the shell.
# What these two cannot see stands in CONTRIBUTING.md.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

target=x86_64-unknown-linux-gnu
[ "$(uname -m)" = x86_64 ] || skip "the sanitizers are run on x86-64 only"
command -v rustup >/dev/null || skip "sanitizers need a nightly Rust from rustup, and there is no rustup"
rustup component list --toolchain nightly --installed 2>/dev/null | grep -qx rust-src ||
    RUST_BACKTRACE=0 timeout 300 rustup --quiet toolchain install nightly --profile minimal --component rust-src ||
    skip "no nightly with its sources: rustup toolchain install nightly --component rust-src"

exec </dev/null # no test may wait for a terminal
built=${CARGO_TARGET_DIR:-target}/sanitizers

# Crashes by SIGSEGV and SIGBUS are left to the system: tests die by them on purpose and look at how. One that dies by
# accident fails without a report.
crashes=handle_segv=0:handle_sigbus=0

# The sweeps step through each instruction; a sanitizer's are most of them, and what it would see is in other tests as well.
sweeps=(--skip while_it_)

# tested SANITIZER ARGUMENT...
tested() {
    echo "--- $1"
    CARGO_TARGET_DIR=$built/$1 RUSTFLAGS=-Zsanitizer=$1 \
        timeout --kill-after=10 900 cargo +nightly test --quiet --target "$target" "${@:2}"
}

# In these, processes end by exit(3) while other threads are at work, panic in foreign code that keeps what it has, and fork
# in a handler or a waker, where a search for leaks stops the wrong threads. They are run without that search.
unfinished=(exit_handlers_and_libraries exit_handlers_forked exit_handlers_replaced
    foreign_block_code foreign_loggers foreign_logger_forks foreign_wakers)
others=() without_leaks=()
for file in tests/tests/*.rs; do
    test=$(basename "$file" .rs)
    if [[ " ${unfinished[*]} " == *" $test "* ]]; then without_leaks+=(--test "$test"); else others+=(--test "$test"); fi
done

# Leaks are looked for as each process ends, except in those that a test kills or that end by _exit(2). The registry's slots
# are leaked on purpose, but can be reached from a static, and so are no leak.
export ASAN_OPTIONS=$crashes:detect_leaks=1:detect_stack_use_after_return=1
tested address -p shmlock-core -p shmlock --all-features --lib --bins --tests
tested address -p shmlock-tests --lib --bins "${others[@]}" -- "${sweeps[@]}"
ASAN_OPTIONS=${ASAN_OPTIONS/detect_leaks=1/detect_leaks=0} tested address -p shmlock-tests "${without_leaks[@]}"

# The standard library is built along: without its own atomics being seen, every channel and every Arc would be a race.
#
# Not core: it has no plain data of its own. What its tests put between the fences would be reported, for ThreadSanitizer
# does not know fences. Here the data between them is atomic.
#
# It delivers a signal at the next system call, so it skips the tests that send signals into code that makes none.
#
# A fork with several threads (die_after_fork) is what some of these tests are about.
#
# It puts handlers of its own before those of the program, and so the tests of which handler is installed cannot be run. The
# others that are left out are about single system calls and descriptors; its own are among them.
elsewhere=(exit_handlers_and_libraries exit_handlers_forked exit_handlers_replaced interrupted refused_futex signal_masks
    overwritten_word starting_programs stray_closes thread_ids working_directory)
seen=()
for file in tests/tests/*.rs; do
    test=$(basename "$file" .rs)
    [[ " ${elsewhere[*]} " == *" $test "* ]] || seen+=(--test "$test")
done
skipped=(--skip with_block_)
export TSAN_OPTIONS=$crashes:die_after_fork=0
tested thread -Zbuild-std -p shmlock --lib --bins --tests -- "${sweeps[@]}"
tested thread -Zbuild-std -p shmlock-tests --lib --bins "${seen[@]}" -- "${sweeps[@]}" "${skipped[@]}"
