# Sourced: finds Pythons, makes environments with tools from PyPI, and gets the old package.
# shellcheck shell=bash

pythons_cache=$cache/python

# all_pythons: prints the CPythons from 3.10 on that this machine has, one for each version, the
# oldest first. Free-threaded ones are not among them.
all_pythons() { pythons_where '>= (3, 10) and not free_threaded'; }

# free_threaded_pythons: prints those that PyO3 supports: from 3.14 on.
free_threaded_pythons() { pythons_where '>= (3, 14) and free_threaded'; }

# pythons_where CONDITION
pythons_where() {
    local python
    for python in $(compgen -c python3. | grep -xE 'python3\.[0-9]+t?' | sort -u) \
        "$HOME"/.pyenv/versions/*/bin/python; do
        python=$(command -v "$python") || continue
        "$python" -c "import os, sys, sysconfig
free_threaded = bool(sysconfig.get_config_var('Py_GIL_DISABLED'))
if sys.implementation.name == 'cpython' and sys.version_info $1:
    print(sys.version_info.minor, os.path.realpath(sys.executable))" 2>/dev/null || true
    done | sort -u -n -k1,1 | cut -d' ' -f2
}

# needs_python: sets `pythons` to all of them; installs Debian's if there is none. Needs
# cross-tests/lib.sh.
needs_python() {
    mapfile -t pythons < <(all_pythons)
    [ ${#pythons[@]} -gt 0 ] || needs python3 python3 && mapfile -t pythons < <(all_pythons)
    [ ${#pythons[@]} -gt 0 ] || skip "no CPython from 3.10 on"
    # Debian's has the module in a package of its own.
    "${pythons[-1]}" -c 'import ensurepip' 2>/dev/null || needs '' python3-venv
}

# environment PYTHON PACKAGE...: prints the directory of a virtual environment with these packages.
# It is kept, so that a second run needs no network.
environment() {
    local python=$1 place
    shift
    place=$pythons_cache/$(printf '%s\n' "$python" "$@" | cksum | cut -d' ' -f1)
    [ -e "$place/complete" ] || {
        rm -rf "$place"
        "$python" -m venv "$place" &&
            "$place/bin/pip" --quiet --disable-pip-version-check install "$@" >&2 &&
            touch "$place/complete"
    } || return
    echo "$place"
}

# old_package PYTHON VERSION: prints the directory of the old package's source distribution, which
# is downloaded once, unmodified.
old_package() {
    local place=$pythons_cache/old
    [ -d "$place/shmlock-$2/tests" ] || {
        mkdir -p "$place" &&
            "$1" -m pip --quiet --disable-pip-version-check download --no-deps --no-binary :all: \
                --dest "$place" "shmlock==$2" >&2 &&
            tar -xzf "$place/shmlock-$2.tar.gz" -C "$place"
    } || return
    echo "$place/shmlock-$2"
}
