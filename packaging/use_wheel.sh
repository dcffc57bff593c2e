#!/usr/bin/env bash
# use_wheel.sh PYTHON DIRECTORY: what packaging/try_wheel.sh runs. DIRECTORY has the wheel, the
# tests and the old package; PYTHON has pytest.
set -euo pipefail
python=$1 directory=$2
cd "$directory"

die() {
    echo "error: $*" >&2
    exit 1
}

run_tests() { "$python" -m pytest -q -p no:cacheprovider "$@"; }

# pip refuses a wheel whose tags are not this machine's. Debian's runs from its own wheel.
pip=("$python" -m pip)
"${pip[@]}" --version >/dev/null 2>&1 ||
    pip=("$python" "$(echo /usr/share/python-wheels/pip-*.whl)/pip")
PIP_ROOT_USER_ACTION=ignore "${pip[@]}" install --quiet --no-index --no-deps --target site ./*.whl
export PYTHONPATH=$directory/site PYTHONDONTWRITEBYTECODE=1
"$python" -c 'import shmlock, sys, platform
is_free = not getattr(sys, "_is_gil_enabled", lambda: True)()
print(shmlock.__version__, "on", platform.machine(), "by Python", sys.version.split()[0],
    "without an interpreter lock" if is_free else "")'

# The import has not switched the interpreter lock of a free-threaded Python on: none of it is ours.
"$python" -c 'import sys, sysconfig, shmlock
sys.exit(bool(sysconfig.get_config_var("Py_GIL_DISABLED")) and sys._is_gil_enabled())'

olds=(shmlock-*/) left_out=()
[ "$(uname -m)" = x86_64 ] || {
    export SHMLOCK_ROUNDS=3
    olds=(shmlock-5*/)
    left_out=(--ignore python/tests/test_pages.py -k 'not count_together')
}

# As ci/python.sh says, six tests assert that there is a segment. One is for Pythons before 3.13.
for old in "${olds[@]}"; do
    for interop in 0 1; do
        expected=$((6 - 6 * interop))
        mkdir judge && cp -r "$old/tests" judge
        touch begin
        (cd judge && SHMLOCK_INTEROP=$interop run_tests --tb=line tests) >out 2>&1 || true
        rm -r judge
        # One of these tests leaves an empty file, whose name is a time.
        find /dev/shm -maxdepth 1 -size 0 -newer begin -regex '/dev/shm/[0-9]+\.[0-9]+' -delete
        echo "tests of ${old%/}, interop=$interop: $(tail -n 1 out)"
        if [ "$(grep -c '^FAILED tests/test_debug_query' out)" != $expected ] ||
            [ "$(grep -c -e '^FAILED' -e '^ERROR' out)" != $expected ] ||
            ! grep -q '[0-9] passed' out; then
            tail -n 40 out
            die "other tests failed"
        fi
    done
done

SHMLOCK_OLD=$(printf "$directory/%s:" shmlock-*/)
export SHMLOCK_OLD
run_tests --tb=short -c /dev/null --rootdir python python/tests "${left_out[@]}"
