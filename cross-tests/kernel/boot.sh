#!/usr/bin/env bash
# boot.sh TARGET PROGRAM [ARGUMENT...]: boots Debian's kernel for TARGET in an emulated machine,
# runs the static program there, and exits with its exit code. It can be cargo's runner:
# CARGO_TARGET_..._RUNNER="bash cross-tests/kernel/boot.sh TARGET". boot.sh TARGET -: the same for a
# list of programs on standard input, one a line.
#
# The machine contains the programs, the binaries that cargo built beside them, and those in
# SHMLOCK_ACTORS, at the same paths as here; the variables RUST_* and SHMLOCK_*; and cat, true and
# sleep. It has no shell, no network and no disk.
set -euo pipefail
here=$PWD
. "$(dirname "$0")/../../ci/lib/common.sh"
. cross-tests/linux.sh
target=$1
shift
needs qemu-system-aarch64 qemu-system-arm cpio cpio

kernel=$(kernel_of "$target") || skip "Debian's kernel for $target cannot be downloaded"

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/files/{bin,dev,proc,sys,tmp}
ln -s /init "$root/files/bin/cat"
ln -s /init "$root/files/bin/true"
ln -s /init "$root/files/bin/sleep"
env | grep -E '^(RUST|SHMLOCK)_[A-Z_]*=' >"$root/files/programs" || true
lines() { if [ "$1" = - ]; then cat; else (IFS=$'\t' && echo "$*"); fi; }
lines "$@" | sed "s|^|$here\t|" >>"$root/files/programs"

# copy PROGRAM: adds it to the machine, at the same path.
copy() {
    mkdir -p "$root/files$(dirname "$1")"
    aarch64-linux-gnu-strip -o "$root/files$1" "$1" 2>/dev/null ||
        arm-linux-gnueabihf-strip -o "$root/files$1" "$1" 2>/dev/null || cp "$1" "$root/files$1"
}
while IFS=$'\t' read -r _ program _; do
    [ -n "$program" ] || continue
    copy "$program"
    for sibling in "${program%/deps/*}"/*; do
        if [ -f "$sibling" ] && [ -x "$sibling" ]; then copy "$sibling"; fi
    done
done <"$root/files/programs"
IFS=, read -ra actors <<<"${SHMLOCK_ACTORS:-}"
for actor in "${actors[@]}"; do copy "${actor#*=}"; done
mkdir -p "$root/files$here"

"${RUSTC:-rustc}" --edition 2024 --target "$target" -O \
    -C target-feature=+crt-static -C strip=symbols -C "linker=$(c_compiler "$target")" \
    -o "$root/files/init" cross-tests/kernel/init.rs
(cd "$root/files" && find . | cpio --quiet -o -H newc) >"$root/initramfs"

case $target in
    aarch64-*)
        # A core with atomic instructions but without pointer authentication, which is very slow to
        # emulate.
        machine=(qemu-system-aarch64 -M 'virt,gic-version=3'
            -cpu "${SHMLOCK_KERNEL_CPU:-neoverse-n1}")
        ;;
    *) machine=(qemu-system-arm -M virt -cpu "${SHMLOCK_KERNEL_CPU:-cortex-a15}") ;;
esac
# userspace=on: init ends the machine with an exit code. -nic none: a network card would need
# firmware. ivshmem: memory of a PCI device, for the tests of such memory.
timeout --kill-after=5 "${SHMLOCK_KERNEL_TIMEOUT:-900}" "${machine[@]}" -smp 2 -m 512 \
    -accel tcg,thread=multi -nographic -no-reboot -nic none \
    -object memory-backend-ram,id=shared,size=1M -device ivshmem-plain,memdev=shared \
    -semihosting-config enable=on,target=native,userspace=on \
    -kernel "$kernel" -initrd "$root/initramfs" \
    -append "console=ttyAMA0 loglevel=1 panic=-1 rdinit=/init" </dev/null
