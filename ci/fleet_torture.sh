#!/usr/bin/env bash
# Proves: processes of three machines that use a fleet lock at random never share it within their
# own deadlines, and get it once more after the last of many disturbances: deaths and stops of
# processes and of members, partitions, delays. The machines are directories, the network is a
# relay in the test. Arguments: seconds (60), and a seed to repeat its choices. See
# fleet/tests/fleet/torture/mod.rs.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. ci/lib/etcd.sh

seconds=${1:-60}
export SHMLOCK_FLEET_TORTURE="$seconds${2:+ $2}" SHMLOCK_TESTS_BOUND=$((4 * seconds + 180))
exec cargo test --quiet -p shmlock-fleet --test fleet torture -- --ignored --nocapture </dev/null
