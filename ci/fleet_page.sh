#!/usr/bin/env bash
# Proves: the commands of docs/fleet.md work as they stand there, with a real etcd in a network of
# its own: the quick start, looking, freeing, rights, backup, TLS; and the checks of a token in SQL
# and for a file accept and refuse as the page says. Installs etcd from Debian.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. ci/lib/etcd.sh
for tool in unshare ip openssl python3 flock; do
    command -v "$tool" >/dev/null || skip "the page's commands need $tool"
done

# A network namespace has the page's own ports free, whatever else runs here.
if [ "${1-}" != inside ]; then
    cargo build -q -p shmlock-cli --features fleet
    own=(unshare --net)
    [ "$(id -u)" = 0 ] || own=(unshare --map-root-user --net)
    "${own[@]}" true || skip "a network namespace cannot be made"
    exec "${own[@]}" bash "$0" inside
fi
ip link set lo up

root=$PWD
page=$root/docs/fleet.md
PATH=$(cargo metadata --format-version 1 --no-deps --offline |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/debug:$PATH
work=$(mktemp -d)
server=
# `etcd &` in a block is a child of this shell.
end() {
    [ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
    server=
}
trap 'end; rm -rf "$work"' EXIT
cd "$work"

# block NAME: the block of the page behind `<!-- run NAME -->`.
block() {
    awk -v mark="<!-- run $1 -->" '
        $0 == mark { marked = 1; next }
        marked && /^```/ { if (inside) exit; inside = 1; next }
        inside' "$page" | grep . || die "the page has no block $1"
}

# run NAME: runs the block in this shell, and keeps its output in $work/out.
run() {
    block "$1" >"$work/block"
    # shellcheck disable=SC1091
    . "$work/block" >"$work/out" 2>"$work/err" ||
        { cat "$work/out" "$work/err"; die "$1"; }
}

# has TEXT: the output of the last block has it.
has() { grep -qE -- "$1" "$work/out" || { cat "$work/out" "$work/err"; die "no line has: $1"; }; }

# start FILE URL: starts a server by the commands of the file, and waits until it answers.
start() {
    end
    # shellcheck disable=SC1090
    . "$1" >>server.log 2>&1
    server=$!
    local tries=0
    until curl -sf --cacert ca.pem --cert client.pem --key client.key "$2/health" >/dev/null ||
        curl -sf "$2/health" >/dev/null; do
        kill -0 "$server" || die "etcd of $1 has ended"
        [ $((tries += 1)) -lt 600 ] || die "etcd of $1 does not answer"
        sleep 0.1
    done
}

# --- checks of a token

block sql >table.sql
block sql-write >update.sql
python3 - <<'EOF'
import sqlite3
base = sqlite3.connect(":memory:")
base.executescript(open("table.sql").read())
write = open("update.sql").read()
changed = [base.execute(write, {"token": t, "speed": s}).rowcount for t, s in
           [(41, 1), (41, 2), (57, 5), (41, 9), (57, 6)]]
assert changed == [1, 1, 1, 0, 1], changed
assert base.execute("SELECT token, speed FROM belt").fetchall() == [(57, 6)]
EOF

block fenced-write >tool
chmod +x tool
for request in "41 a" "57 b" "57 c"; do
    echo "${request#* }" | ./tool "${request% *}" belt.conf
done
! echo late | ./tool 41 belt.conf 2>err || die "a late write was accepted"
grep -qx "refused: the greatest token is 57" err || die "$(cat err)"
! echo odd | ./tool x belt.conf 2>err || die "a token that is no number was accepted"
[ "$(cat belt.conf)" = c ] || die "the file is $(cat belt.conf)"
[ "$(echo belt.conf*)" = "belt.conf belt.conf.fence belt.conf.lock" ] || die "files: $(echo belt*)"

# --- quick start

block start >member.sh
start ./member.sh http://127.0.0.1:2379
# The last command says that the lock is held, and so ends with 1.
block quick >quick.sh
! sh -e quick.sh >out 2>err || die "another machine got a lock that is held: $(cat out err)"
has '^the token is [0-9]+$'
has '^conveyor: held$'
has '^  description +belt 7$'
grep -qE '^shmlock: fleet lock "conveyor" is not free: held by pid ' err || die "$(cat err)"
[ -z "$(etcdctl get --prefix shmlock/)" ] || die "a free lock has keys"

# --- looking, freeing

# Two contenders, the first of which has the name that is last.
holder=shmlock/conveyor/0000000000000009 waiter=shmlock/conveyor/0000000000000001
for key in $holder $waiter; do
    lease=$(etcdctl lease grant 600 | awk '{ print $2 }')
    etcdctl put --lease="$lease" "$key" '{"host":"gw-1","pid":4711}' >/dev/null
done
run look
has '"create_revision":'
has '^  holder +pid 4711 on gw-1$'
has '^  waiters +1$'
has '^gw-1 .* conveyor'
[ "$(grep -m 1 ^shmlock/ out)" = $holder ] || die "the first key is not the holder's: $(cat out)"
SHMLOCK_FLEET=http://127.0.0.1:2379,http://localhost:2379 run cluster
has '^"ClusterID" : [0-9]+$'
[ "$(wc -l <out)" = 1 ] || die "one cluster has several names: $(cat out)"
run free
[ "$(etcdctl get --prefix shmlock/ --keys-only | xargs)" = $waiter ] || die "the wrong key is gone"

# --- rights

run auth
as() { etcdctl --user "$@" 2>err; }
as gateway:secret put shmlock/conveyor/1 x >/dev/null || die "the right is missing: $(cat err)"
! as gateway:secret put other x >/dev/null || die "a right too much"
! as gateway:wrong get shmlock/conveyor/1 >/dev/null || die "a wrong password is accepted"
! etcdctl get shmlock/conveyor/1 >/dev/null 2>err || die "no login is needed"
etcdctl --user root:secret del --prefix shmlock/ >/dev/null
# run_by NAME STATUS: the block ends with this status.
run_by() {
    local status=0
    { [ "${3-}" = "" ] || echo "$3"; block "$1"; } >"$work/by.sh"
    sh -e "$work/by.sh" >"$work/out" 2>"$work/err" || status=$?
    [ "$status" = "$2" ] || die "$1 ends with $status: $(cat "$work/out" "$work/err")"
}
run_by auth-run 0 'export SHMLOCK_FLEET=http://127.0.0.1:2379'
status=0
shmlock run --fleet http://127.0.0.1:2379 conveyor true 2>err || status=$?
[ "$status" = 77 ] || die "without a login: $status, $(cat err)"

# --- backup and restore

etcdctl --user root:secret auth disable >/dev/null
run backup
revision() { etcdctl get x --write-out=json | sed -E 's/.*"revision":([0-9]+).*/\1/'; }
saved=$(revision)
etcdctl put x y >/dev/null
later=$(revision)
[ "$later" -gt "$saved" ] || die "a write makes no revision"
# The control: without the option, tokens repeat.
tool=etcdutl
command -v etcdutl >/dev/null || tool=etcdctl
block restore | sed "s/^etcdutl /$tool /" >restore.sh
sed -E 's/ --bump-revision [0-9]+ --mark-compacted//; s/restored$/repeated/' restore.sh >plain.sh
sh -e plain.sh >out 2>err || { cat out err; die "a plain restore"; }
sed 's/etcd\.data/repeated/' member.sh >repeated.sh
start ./repeated.sh http://127.0.0.1:2379
[ "$(revision)" = "$saved" ] || die "a plain restore has the revision $(revision), not $saved"
if "$tool" snapshot restore --help 2>&1 | grep -e --bump-revision >/dev/null; then
    sh -e restore.sh >out 2>err || { cat out err; die "a restore"; }
    sed 's/etcd\.data/restored/' member.sh >restored.sh
    start ./restored.sh http://127.0.0.1:2379
    [ "$(revision)" -gt "$later" ] || die "a token repeats: $(revision) after $later"
else
    echo "not run: $tool has no --bump-revision"
fi

# --- TLS

run tls
block tls-start >tls-member.sh
start ./tls-member.sh https://127.0.0.1:2379
gateway() { curl -sf "$@" https://localhost:2379/v3/lease/grant -d '{"TTL":5}'; }
gateway --cacert ca.pem --cert client.pem --key client.key >out || die "no answer by TLS"
has '"TTL":"5"'
! gateway --cacert ca.pem || die "no certificate is asked for"
! gateway --cert client.pem --key client.key || die "a foreign authority is trusted"
run_by tls-run 0
status=0
shmlock run --fleet https://localhost:2379 conveyor true 2>err || status=$?
[ "$status" = 77 ] || die "without certificates: $status, $(cat err)"
