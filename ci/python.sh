#!/usr/bin/env bash
# Proves: the wheel of python/ takes the old package's place. The old package's own tests,
# unmodified, pass: all but six in the default mode, all in the interoperation mode, those of 5.0.1
# and of 4.4.4. Our own tests pass with the oldest and the newest Python here. Types are checked by
# mypy and pyright, the rest by ruff and clippy. pip replaces the old package by the wheel and back,
# and leaves nothing. Programs in Python, Rust and C share one lock while all are killed.
# `ci/python.sh wheel` only builds the wheel, and prints its path last.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. cross-tests/lib.sh
. ci/lib/python.sh

export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/python
needs_python
oldest=${pythons[0]} newest=${pythons[-1]} judge=$newest
for python in "${pythons[@]}"; do
    # One of the old package's tests is for Pythons before 3.13.
    ! "$python" -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || judge=$python
done
builder=$(environment "$newest" 'maturin==1.16.0') ||
    skip "maturin is neither installed nor installable from PyPI"

rm -rf "$CARGO_TARGET_DIR/wheels"
"$builder/bin/maturin" build --quiet --release --locked --manifest-path python/Cargo.toml \
    --interpreter "$newest" --out "$CARGO_TARGET_DIR/wheels"
wheel=$(realpath "$CARGO_TARGET_DIR"/wheels/*.whl)
if [ "${1:-}" = wheel ]; then
    echo "$wheel"
    exit
fi
work=$(mktemp -d) root=$PWD
trap 'rm -rf "$work"' EXIT
echo "$(basename "$wheel"), $(stat -c %s "$wheel") bytes"

# The sources.
cargo fmt --manifest-path python/Cargo.toml --check
cargo clippy --quiet --manifest-path python/Cargo.toml --all-targets -- -D warnings
cargo test --quiet --manifest-path python/Cargo.toml
tools=$(environment "$newest" 'mypy==2.4.1' 'pyright[nodejs]==1.1.414' 'ruff==0.17.6' 'pytest==9.2.0' \
    'numpy==2.4.6') || skip "mypy, pyright, ruff and pytest are not installable from PyPI"
(
    cd python
    "$tools/bin/ruff" check --quiet --no-cache .
    "$tools/bin/ruff" format --quiet --no-cache --check .
    "$tools/bin/mypy" --no-error-summary --cache-dir "$work/mypy" package/shmlock
)

# try_with TOOLS DIRECTORY: makes an environment with the wheel, for this run only, which sees the
# packages of the environment TOOLS.
try_with() {
    local site='import sysconfig; print(sysconfig.get_path("purelib"))'
    "$1/bin/python" -m venv "$2"
    "$1/bin/python" -c "$site" >"$("$2/bin/python" -c "$site")/tools.pth"
    "$2/bin/pip" --quiet install --no-deps "$wheel"
}

# Its users' types: what mypy and pyright infer from the installed wheel.
try_with "$tools" "$work/new"
"$work/new/bin/python" -m mypy --strict --no-error-summary --cache-dir "$work/mypy-users" \
    --python-executable "$work/new/bin/python" python/tests/typed_user.py
"$tools/bin/pyright" --pythonpath "$work/new/bin/python" python/tests/typed_user.py >"$work/out" ||
    { cat "$work/out"; die "pyright"; }

# The old package's tests. In the default mode there is no segment /dev/shm/<name> while the lock is
# held. The `setUp` of these asserts that there is one:
without_segment="test_empty_shared_memory_file test_empty_uuid_in_created_file \
test_error_function_if_all_is_fine test_error_function_if_lock_acquired test_monkey_patch \
test_query_function"

tester=$(environment "$judge" 'pytest==9.2.0') || skip "pytest is not installable for $judge"
try_with "$tester" "$work/judge"
# judge VERSION INTEROP EXPECTED: runs the tests of this version of the old package; EXPECTED are
# those that fail.
judge() {
    local old failed
    old=$(old_package "$builder/bin/python" "$1") ||
        skip "the source distribution of shmlock $1 is not on PyPI: $1 was not judged"
    rm -rf "$work/tests" && cp -r "$old/tests" "$work/tests"
    touch "$work/begin"
    (
        cd "$work"
        # A sleep of these tests does not count the time in which other programs had the processors.
        PYTHONPATH=$root/python/tests/old SHMLOCK_INTEROP=$2 \
            timeout --kill-after=5 200 "$work/judge/bin/python" -m pytest -q --tb=line \
            -p no:cacheprovider -p patient_sleep tests >"$work/out" 2>&1
    ) || [ -n "$3" ] || { tail -n 40 "$work/out"; die "the tests of $1 failed, see above"; }
    failed=$(sed -n 's/^FAILED .*:://p' "$work/out" | sed 's/ - .*//' | sort | tr '\n' ' ')
    [ "$failed" = "${3:+$3 }" ] || { tail -n 40 "$work/out"; die "other tests failed: $failed"; }
    echo "tests of shmlock $1, interop=$2: $(tail -n 1 "$work/out")"
    # One of these tests leaves an empty file, whose name is a time.
    find /dev/shm -maxdepth 1 -size 0 -newer "$work/begin" -regex '/dev/shm/[0-9]+\.[0-9]+' -delete
}
for version in 5.0.1 4.4.4; do
    judge $version 0 "$without_segment"
    judge $version 1 ""
done

# Our own tests, beside the program `shmlock`, and old programs of both versions.
target=${CARGO_TARGET_DIR%/python}
CARGO_TARGET_DIR=$target cargo build --quiet --release -p shmlock-cli
export SHMLOCK_PROGRAM=$target/release/shmlock
SHMLOCK_OLD=$(old_package "$builder/bin/python" 5.0.1):$(old_package "$builder/bin/python" 4.4.4)
export SHMLOCK_OLD
ours() {
    # Against hangs only: each test, and each step of a long one, has a watchdog of its own.
    timeout --kill-after=5 900 "$1/bin/python" -m pytest -q --tb=short python/tests "${@:2}" ||
        die "our tests failed, or took longer than 900 s (status $?)"
}
ours "$work/new"
if [ "$oldest" != "$newest" ]; then
    pytest=$(environment "$oldest" 'pytest==9.2.0') || skip "pytest is not installable for $oldest"
    try_with "$pytest" "$work/old"
    ours "$work/old" -k "not interrupt and not count_together"
fi

# pip: one package takes the place of the other, and says so; nothing is left.
"$oldest" -m venv "$work/pip"
pip=("$work/pip/bin/pip")
"${pip[@]}" --quiet install "$(old_package "$builder/bin/python" 5.0.1)" ||
    skip "the old package cannot be installed: pip was not tried"
"${pip[@]}" install "$wheel" >"$work/out"
grep -q 'Uninstalling shmlock-5.0.1:' "$work/out" || die "pip did not replace the old package"
"${pip[@]}" --quiet install --no-index 'shmlock>=4.4,<6' 'shmlock==5.0.1' ||
    die "pip does not accept the wheel for requirements of the old package"
"$work/pip/bin/python" -I -c 'import shmlock._native'
"${pip[@]}" --quiet uninstall --yes shmlock
! "$work/pip/bin/python" -I -c 'import shmlock' 2>/dev/null || die "something is left"
left=$(find "$work/pip" -path '*shmlock*')
[ -z "$left" ] || die "left: $left"
on_windows=$(cd python/backend && "$oldest" -c 'import sys; sys.platform = "win32"
import linux_only' 2>&1) && die "it can be built on Windows"
[[ $on_windows = *"is for Linux"* ]] || die "on Windows: $on_windows"

# Beside Rust, the frozen peer and itself, under kills.
cat >"$work/mate" <<MATE
#!/bin/sh
exec "$work/new/bin/python" -I "$PWD/python/tests/mate.py" "\$@"
MATE
chmod +x "$work/mate"
export CARGO_TARGET_DIR=$target
SHMLOCK_MATE_IN_PYTHON=$work/mate SHMLOCK_PEER_SECONDS=${SHMLOCK_PEER_SECONDS:-15} \
    cargo test --quiet --release -p shmlock-tests --test frozen_peer -- --nocapture
