#!/usr/bin/env bash
# packages.sh [ARCHITECTURE...]: makes the Debian packages of amd64, arm64 and armhf, or of these
# architectures.
# Proves: lintian has no remark on them; those of the library can be installed for several
# architectures at once; each can be installed into a fresh Debian, used there, and removed without
# a trace: amd64 on this processor, the others under an emulator.
# shellcheck disable=SC2317 # `step` calls the functions
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
. cross-tests/lib.sh
architectures=("$@")
[ $# -gt 0 ] || architectures=(amd64 arm64 armhf)
packages=${CARGO_TARGET_DIR:-target}/packages/deb

# Remarks that are wrong here have an override with its reason, in packaging/debian.
remarks() (
    needs lintian lintian
    # It leaves files in its temporary directory.
    TMPDIR=$(mktemp -d)
    trap 'rm -rf "$TMPDIR"' EXIT
    export TMPDIR
    lintian --allow-root --profile debian --display-info --pedantic \
        --fail-on error,warning,info,pedantic "$packages"/*.deb
)

# Packages that say `Multi-Arch: same` can be installed for several architectures at once: dpkg(1)
# refuses them if files of one path differ.
same_files() {
    local package
    # shellcheck disable=SC2016 # tar runs the command, once for each file
    for package in "$packages"/*.deb; do
        [ "$(dpkg-deb --field "$package" Multi-Arch)" != same ] ||
            dpkg-deb --fsys-tarfile "$package" |
            tar -x --to-command='echo "$(md5sum | cut -d" " -f1) $TAR_FILENAME"'
    done | sort -u | awk '
        $2 in sum { print "differs between architectures: " $2; differs = 1 }
        { sum[$2] = $1 }
        END { if (!NR) print "there is no such package"; exit differs || !NR }'
}

[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] ||
    skip "packages are made on a Debian or Ubuntu for amd64"
step "build and pack" bash packaging/build.sh "${architectures[@]}"
[ "$failed$skipped" = 00 ] || end
step "lintian" remarks
step "installable beside each other" same_files
for architecture in "${architectures[@]}"; do
    # An older kernel cannot register an emulator, see packaging/lib/roots.sh.
    step "$architecture: installed, used, removed" bash packaging/try.sh "$architecture"
done
end
