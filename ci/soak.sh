#!/usr/bin/env bash
# Proves: the suite passes in every run: on a quiet machine, on a busy one, and beside thousands of
# other locks.
#   bash ci/soak.sh [--log FILE] [--busy-loops N] [--other-locks N] [RUNS [MODE...]]
#
# Builds the tests of `cargo test --workspace`, and those of the optional features, once. Runs all
# of them RUNS times (10) in each MODE:
#   plain    alone
#   busy     beside busy loops (2)
#   crowded  beside other locks in /dev/shm (5000): free ones, whose files the library can open
# Each run includes the examples in the documentation.
#
# Each run appends one line to the log (target/soak.log): date, mode, number, version, result,
# seconds, the failed tests, and the file with the output of a failed run. Started again with the
# same log, it continues after the runs of this version. It ends with a summary of this version, and
# fails if a run of it has failed. On a machine in use, run `nice bash ci/soak.sh`.
#
# As root it mounts a private /dev/shm, and reports files that the tests leave behind.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"

usage() {
    die "$1; usage: soak.sh [--log FILE] [--busy-loops N] [--other-locks N]" \
        "[RUNS [plain|busy|crowded]...]"
}
number() { [[ $1 =~ ^[1-9][0-9]{0,5}$ ]] || usage "not a number from 1 to 999999: '$1'"; }

all=("$@") # for the second start, in a private /dev/shm
log=${CARGO_TARGET_DIR:-target}/soak.log busy_loops=2 other_locks=5000
while [[ ${1:-} == --* ]]; do
    [ $# -ge 2 ] || usage "$1 needs a value"
    case $1 in
        --log) log=$2 ;;
        --busy-loops) number "$2" && busy_loops=$2 ;;
        --other-locks) number "$2" && other_locks=$2 ;;
        *) usage "no such option: $1" ;;
    esac
    shift 2
done
runs=${1:-10}
number "$runs"
[ $# = 0 ] || shift
modes=("$@")
[ $# -gt 0 ] || modes=(plain busy crowded)
for mode in "${modes[@]}"; do
    [[ $mode =~ ^(plain|busy|crowded)$ ]] || usage "no such mode: '$mode'"
done

if [ -z "${SHMLOCK_SOAK_APART:-}" ]; then
    export SHMLOCK_SOAK_APART=no
    # shellcheck disable=SC2016 # expanded by the shell within
    apart=(unshare --mount bash -c 'mount -t tmpfs tmpfs /dev/shm && exec "$@"' -)
    if [ "$(id -u)" = 0 ] && "${apart[@]}" true 2>/dev/null; then
        SHMLOCK_SOAK_APART=yes exec "${apart[@]}" bash ci/soak.sh "${all[@]}"
    fi
    echo "cannot mount a private /dev/shm: files left behind are not reported"
fi

set -m # each background process leads a group, and is ended with it
work=$(mktemp -d)
test_group='' loops=() ours=soak-$$-

# Ends all background processes and removes all files, however this script ends.
clean_up() {
    trap '' INT TERM HUP
    if [ -n "$test_group" ]; then
        kill -KILL -- "-$test_group" 2>/dev/null || true
        wait "$test_group" 2>/dev/null || true
        rm -rf "/dev/shm/test-$test_group-"*
    fi
    end_surroundings
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

begin_surroundings() {
    local n
    case $1 in
        busy)
            for ((n = 0; n < busy_loops; n++)); do
                busy_loop &
                loops+=($!)
            done
            ;;
        crowded) crowd ;;
    esac
}

# Ends if this script is killed.
busy_loop() {
    local n
    while kill -0 $$ 2>/dev/null; do
        for ((n = 0; n < 100000; n++)); do :; done
    done
}

# Creates one lock by the library, and copies its file.
crowd() {
    local answer orders answers pid n
    coproc actor { exec "$actor_program"; }
    # shellcheck disable=SC2154 # coproc sets them
    orders=${actor[1]} answers=${actor[0]} pid=$actor_PID
    echo "open l ${ours}0" >&"$orders"
    read -r answer <&"$answers"
    [[ $answer == ok* ]] || die "the actor cannot open a lock: $answer"
    for ((n = 1; n <= other_locks; n++)); do echo "/dev/shm/$ours$n.shmlock"; done >"$work/others"
    # shellcheck disable=SC2016 # expanded by the shell within
    (
        umask 077 # as the library has it
        xargs -a "$work/others" sh -c 'tee "$@" <"$0" >/dev/null' "/dev/shm/${ours}0.shmlock"
    )
    exec {orders}>&-
    wait "$pid" || die "the actor failed"
}

end_surroundings() {
    if [ ${#loops[@]} -gt 0 ]; then
        kill "${loops[@]}" 2>/dev/null || true
        wait "${loops[@]}" 2>/dev/null || true
        loops=()
    fi
    find /dev/shm -maxdepth 1 -name "$ours*" -delete
}

# Prints the version under test: the commit, and a digest of what differs from it.
version() {
    local differs
    differs=$(git diff HEAD | sha1sum | head -c 7)
    echo "$(git rev-parse --short HEAD)$(git diff --quiet HEAD || echo "+$differs")"
}

# build OPTION...: builds tests; prints the package's folder and the path of each test program.
build() {
    local folder='"manifest_path":"([^"]*)/Cargo.toml"'
    local is_test='"profile":\{[^}]*"test":true[^}]*\}'
    cargo test --no-run --message-format=json "$@" |
        sed -nE "s|.*$folder.*$is_test.*\"executable\":\"([^\"]*)\".*|\\1 \\2|p"
}

# run_one OUTPUT FOLDER COMMAND...: runs the command in the folder, as cargo does.
run_one() {
    local status=0
    (cd "$2" && exec "${@:3}") >"$1" 2>&1 </dev/null &
    test_group=$!
    wait "$test_group" || status=$?
    test_group=''
    return "$status"
}

# Runs every test. Puts the names of failed tests into `failed`, and all output into $work/output.
run_all() {
    local folder program name one=$work/one
    failed=()
    : >"$work/output"
    while read -r folder program <&3; do
        name=$(basename "$program")
        run_one "$one" "$folder" "$program" || failed+=("${name%-*}::$(failed_in "$one")")
        { echo "--- $program" && cat "$one"; } >>"$work/output"
    done 3<"$work/programs"
    run_one "$one" . cargo test --quiet --workspace --doc || failed+=("documentation")
    cat "$one" >>"$work/output"
    [ "$SHMLOCK_SOAK_APART" = yes ] || return 0
    while read -r name; do
        failed+=("left-behind:$name")
        rm -rf "/dev/shm/$name"
    done < <(find /dev/shm -mindepth 1 -maxdepth 1 ! -name "$ours*" -printf '%f\n')
}

# failed_in OUTPUT: prints the tests that failed or hung, or "ended-badly".
failed_in() {
    sed -nE 's/^test (.*) \.\.\. FAILED$/\1/p; s/^watchdog: (.*) has not ended.*/\1-hung/p' "$1" |
        sort -u | paste -sd+ | tr ' ' _ | grep . || echo "ended-badly"
}

mkdir -p "$log.outputs"
touch "$log"
version=$(version)
echo "building $version"
for features in --workspace "-p shmlock-core -p shmlock --all-features"; do
    # shellcheck disable=SC2086 # several words
    build $features >>"$work/built" &
    test_group=$!
    wait "$test_group" || die "the tests cannot be built, see above"
    test_group=''
done
sort -u "$work/built" >"$work/programs"
programs=$(wc -l <"$work/programs")
[ "$programs" -ge 50 ] || die "cargo named only $programs test programs"
actor_program=$(realpath "${CARGO_TARGET_DIR:-target}/debug/actor")
echo "$programs test programs, $runs runs each: ${modes[*]}; log: $log"

for mode in "${modes[@]}"; do
    for ((run = 1; run <= runs; run++)); do
        ! cut -d' ' -f2-4 "$log" | grep -qxF "$mode $run $version" || continue
        [ "$(version)" = "$version" ] || die "the sources have changed: start again"
        begin_surroundings "$mode"
        start=$(date +%s)
        run_all
        seconds=$(($(date +%s) - start))
        end_surroundings
        result=ok names=- kept=-
        if [ ${#failed[@]} -gt 0 ]; then
            result=FAILED
            names=$(IFS=, && echo "${failed[*]}")
            kept=$log.outputs/$mode-$run-$version.txt
            cp "$work/output" "$kept"
        fi
        echo "$(date -Iseconds) $mode $run $version $result $seconds $names $kept" | tee -a "$log"
    done
done

awk -v version="$version" '
    $4 == version {
        runs[$2]++
        seconds[$2] += $6
        if ($6 > longest[$2]) longest[$2] = $6
        if ($5 != "ok") { failed[$2]++; sum++ }
    }
    END {
        for (mode in runs)
            printf "%-8s %3d runs, %d failed, %d s on average, %d s at most\n",
                mode, runs[mode], failed[mode], seconds[mode] / runs[mode], longest[mode]
        exit sum > 0
    }' "$log" || die "runs of $version have failed, see: grep FAILED $log"
