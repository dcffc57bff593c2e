#!/usr/bin/env bash
# Proves: in the tests, AddressSanitizer finds no access out of bounds, no use after free and no
# leak in core, in the shell, in the interface for C, or in the processes that the tests start;
# ThreadSanitizer finds no data race and no unsafe call in a signal handler in the shell.
# CONTRIBUTING.md lists what they cannot detect.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

target=x86_64-unknown-linux-gnu
[ "$(uname -m)" = x86_64 ] || skip "the sanitizers run on x86-64 only"
command -v rustup >/dev/null || skip "sanitizers need a nightly Rust from rustup; install rustup"
# Not -q: rustup would fail if grep stopped reading.
rustup component list --toolchain nightly --installed 2>/dev/null | grep -x rust-src >/dev/null ||
    RUST_BACKTRACE=0 timeout 300 rustup --quiet toolchain install nightly --profile minimal \
        --component rust-src ||
    skip "no nightly with sources: run rustup toolchain install nightly --component rust-src"

exec </dev/null # no test may read from a terminal
# Tests panic on purpose. To print one stack takes an instrumented program many seconds.
export RUST_BACKTRACE=0
built=${CARGO_TARGET_DIR:-target}/sanitizers

# The system handles SIGSEGV and SIGBUS: tests die by them on purpose and check the signal. An
# accidental crash fails without a report.
crashes=handle_segv=0:handle_sigbus=0

# The sweeps step through each instruction, of which most would be the sanitizer's. Other tests
# cover the same code.
sweeps=(--skip while_it_ --skip a_core_is_reset_anywhere)

# tested SANITIZER ARGUMENT...
tested() {
    echo "--- $1"
    CARGO_TARGET_DIR=$built/$1 RUSTFLAGS=-Zsanitizer=$1 \
        timeout --kill-after=10 1800 cargo +nightly test --quiet --no-fail-fast --target "$target" "${@:2}"
}

# These run without leak detection: their processes end by exit(3) while other threads run, leak on
# purpose in foreign code that panics, or fork in a handler or a waker, where the detection stops
# the wrong threads.
unfinished=(exit_handlers_and_libraries exit_handlers_forked exit_handlers_replaced
    foreign_block_code foreign_loggers foreign_logger_forks foreign_wakers
    interrupt_callback_foreign overwritten_word)
# Not run under either sanitizer:
# * refused_futex: the kernel refuses futexes, on which a sanitizer's own threads sleep;
# * fork_during_open: AddressSanitizer has a fork handler. While it runs, the first opening
#   registers ours, too late for that fork (Builder::open, "Races"). ThreadSanitizer leaves its
#   allocator locked in a child, which then cannot start a thread;
# * foreign_close: it replaces close(3), as a sanitizer does.
not_run=(refused_futex fork_during_open foreign_close)
others=() without_leaks=()
for file in tests/tests/*.rs; do
    test=$(basename "$file" .rs)
    [[ " ${not_run[*]} " != *" $test "* ]] || continue
    if [[ " ${unfinished[*]} " == *" $test "* ]]; then
        without_leaks+=(--test "$test")
    else
        others+=(--test "$test")
    fi
done

# Leaks are detected at the end of each process, unless a test kills it or it ends by _exit(2). The
# registry's slots are never freed, but reachable from a static, so they are no leak.
export ASAN_OPTIONS=$crashes:detect_leaks=1:detect_stack_use_after_return=1
for test in "${not_run[@]}" "${unfinished[@]}"; do
    [ -e "tests/tests/$test.rs" ] || die "there is no test $test: correct the list"
done
# The first process of a pid namespace cannot stop its other threads for the detection: the numbers
# in /proc are of another namespace. It would report what the watch thread has.
first_process=the_first_process_of_a_namespace
# The sanitizer itself reads /proc, and ends a program that has none.
without_proc=the_command_ends_without_a_proc_file_system
tested address -p shmlock-core -p shmlock -p shmlock-cli --all-features --lib --bins --tests -- \
    --skip "$first_process" --skip "$without_proc"
tested address -p shmlock-tests --lib --bins "${others[@]}" -- "${sweeps[@]}"
# Of the interface for C, one test ends a child by exit(3), and one forgets a panic.
unfinished_c=(an_owner_that_exits_with_ a_panic_and_one_whose_)
tested address -p shmlock-ffi --lib --tests -- "${unfinished_c[@]/#/--skip=}"
export ASAN_OPTIONS=${ASAN_OPTIONS/detect_leaks=1/detect_leaks=0}
tested address -p shmlock-tests "${without_leaks[@]}"
tested address -p shmlock-ffi --lib --tests -- "${unfinished_c[@]}"
tested address -p shmlock-cli --all-features --test cli "$first_process"

# The standard library is instrumented as well. Otherwise every channel and every Arc would be a
# race.
#
# Core is not tested: it has no plain data of its own, and ThreadSanitizer, which ignores fences,
# would report the plain data of its tests. The data of the tests here is atomic.
#
# ThreadSanitizer delivers a signal at the next system call or atomic access, so tests that send
# signals into other code are skipped. A fork right before an access to the region is one of them:
# the child may end by SIGSEGV, seldom natively (PROTOCOL.md 14), often here.
#
# die_after_fork=0: some tests fork with several threads on purpose.
#
# These cannot run under it:
# * tests of exit and signal handlers, before which it installs handlers of its own;
# * stray_closes: it reports that a thread closes a descriptor of another, which is the test.
excluded=(exit_handlers_and_libraries exit_handlers_forked exit_handlers_replaced interrupted
    stray_closes "${not_run[@]}")
for test in "${excluded[@]}"; do
    [ -e "tests/tests/$test.rs" ] || die "there is no test $test: correct the list"
done
included=()
for file in tests/tests/*.rs; do
    test=$(basename "$file" .rs)
    [[ " ${excluded[*]} " == *" $test "* ]] || included+=(--test "$test")
done
#
# A child whose last thread ends calls exit(3) in it, when ThreadSanitizer has already finished the
# thread: the first instrumented function that runs then ends the child by SIGSEGV.
skipped=(--skip with_block_ --skip a_child_forked_while_the_interrupted_code_opens_or_closes
    --skip a_waker_that_forks_when_it_is_woken_leaves_the_child_without_the_sleeping_thread)
export TSAN_OPTIONS=$crashes:die_after_fork=0
tested thread -Zbuild-std -p shmlock --lib --bins --tests -- "${sweeps[@]}"
tested thread -Zbuild-std -p shmlock-tests --lib --bins "${included[@]}" -- \
    "${sweeps[@]}" "${skipped[@]}"
