#!/usr/bin/env bash
# release.sh [TAG]: makes the files of a release in target/release-files: packages, the list of what
# each contains (SBOM, in the format of CycloneDX), wheels, which have theirs inside, the source
# distribution for Python, the notes, checksums.
# Proves: with TAG, the crates, the packages and the changelog have its version; each crate can be
# published, in the order of their dependencies.
set -euo pipefail
. "$(dirname "$0")/lib/common.sh"
files=target/release-files

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
heading=Unreleased
if [ $# -gt 0 ]; then
    [ "$1" = "v$version" ] || die "the tag is $1, but Cargo.toml has version $version"
    heading=$version
    grep -q "^## \[$version\] - [0-9-]*$" CHANGELOG.md ||
        die "CHANGELOG.md has no section [$version] with a date"
fi
notes=$(awk -v begin="## [$heading]" \
    'index($0, "## [") == 1 { on = index($0, begin) == 1; next } on' CHANGELOG.md)
[ -n "$notes" ] || die "CHANGELOG.md has no section [$heading]"

# contents FOLDER CRATE TARGET FILE: writes the SBOM of the crate's binaries. In a copy, because the
# tool writes beside each Cargo.toml, and without what tests need, because it would count their
# features.
contents() {
    local copy manifest missing folders=(core std-shell "$1")
    [ "$1" != cli ] || folders+=(fleet) # of its feature
    copy=$(mktemp -d)
    git archive HEAD -- Cargo.toml Cargo.lock "${folders[@]}" | tar -x -C "$copy"
    for manifest in "${folders[@]/%//Cargo.toml}"; do
        git show "HEAD:$manifest" |
            awk '/^\[/ { skip = /dev-dependencies/ } !skip' >"$copy/$manifest"
    done
    sed -i "/^members = \[/,/^\]/c members = [$(printf '"%s",' "${folders[@]}")]" "$copy/Cargo.toml"
    (
        cd "$copy"
        cargo update --quiet --offline --workspace
        cargo cyclonedx --quiet --format json --spec-version 1.5 --target "$3"
    )
    mv "$copy/$1/$2.cdx.json" "$4"
    rm -rf "$copy"
    # It may list more than cargo builds, where a feature names an optional dependency
    # (`errno?/std`).
    missing=$(comm -23 <(built "$2" "$3" | sort -u) \
        <(python3 -c 'import json, sys
for part in json.load(open(sys.argv[1]))["components"]:
    print(part["name"], part["version"])' "$4" | sort -u))
    [ -z "$missing" ] || die "$4 lacks what cargo builds: $missing"
}

# built CRATE TARGET: prints the crates that cargo builds for it.
built() {
    cargo tree --locked -p "$1" -e normal,build --target "$2" --prefix none |
        awk -v crate="$1" '$1 != crate { sub("^v", "", $2); print $1, $2 }'
}

bash ci/packages.sh
bash ci/wheels.sh
rm -rf "$files"
mkdir -p "$files"
cp "${CARGO_TARGET_DIR:-target}"/packages/{deb/*.deb,wheels/*.whl,wheels/*.tar.gz} "$files/"

PATH=$PATH:$cache/tools/bin
command -v cargo-cyclonedx >/dev/null ||
    cargo install --quiet --locked --debug --root "$cache/tools" --version 0.5.9 cargo-cyclonedx ||
    skip "cargo-cyclonedx is neither installed nor installable"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
for target in amd64:x86_64-unknown-linux-gnu arm64:aarch64-unknown-linux-gnu \
    armhf:armv7-unknown-linux-gnueabihf; do
    file=_${version}_${target%%:*}.cdx.json
    contents cli shmlock-cli "${target#*:}" "$files/shmlock$file"
    [ ! -d ffi/shell ] ||
        contents ffi/shell shmlock-ffi "${target#*:}" "$files/libshmlock1$file"
done
printf '%s\n' "$notes" >"$files/NOTES.md"

# One call for all: cargo orders the crates, and each builds with the packed others.
dirty=()
[ -n "${CI:-}" ] || [ -z "$(git status --porcelain)" ] || dirty=(--allow-dirty)
rm -rf "${CARGO_HOME:-$HOME/.cargo}"/registry/src/-*/shmlock-{,core-,fleet-}[0-9]*
cargo publish --dry-run --locked --target-dir target/packed "${dirty[@]}" \
    -p shmlock-core -p shmlock -p shmlock-fleet -p shmlock-cli

(cd "$files" && sha256sum -- * >SHA256SUMS && cat SHA256SUMS)
