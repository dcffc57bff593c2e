#!/usr/bin/env bash
# man.sh DIRECTORY: writes the manual pages of section 3 there, from the comments of shmlock.h: one
# for each function, and shmlock(3) from the head of the header.
set -euo pipefail
directory=$(realpath -m "$1")
cd "$(dirname "$0")/../.."
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml)
mkdir -p "$directory"

awk -v directory="$directory" -v version="$version" '
# The text as roff: no line is a request, and code is bold.
function shown(text) {
    gsub(/\\/, "\\e", text)
    while (match(text, /`[^`]*`/))
        text = substr(text, 1, RSTART - 1) "\\fB" substr(text, RSTART + 1, RLENGTH - 2) "\\fP" \
            substr(text, RSTART + RLENGTH)
    gsub(/\*\*/, "", text)
    gsub(/µ/, "\\[mc]", text)
    if (text ~ /^[.\x27]/) text = "\\\\&" text
    return text
}

# Writes paragraphs, lists and programs.
function body(text, file,    lines, count, i, line, is_code, is_gap) {
    count = split(text, lines, "\n")
    is_code = 0; is_gap = 1
    for (i = 1; i <= count; i++) {
        line = lines[i]
        if (is_code && line !~ /^    / && line != "") { print ".EE\n.RE" > file; is_code = 0 }
        if (line == "") {
            if (is_code) print "" > file
            is_gap = 1
        } else if (line ~ /^# /) {
            print ".SH " (line == "# Safety" ? "CAVEATS" : toupper(substr(line, 3))) > file
            is_gap = 0
        } else if (line ~ /^    / && (is_code || is_gap)) {
            if (!is_code) print ".P\n.RS 4\n.EX" > file
            is_code = 1; is_gap = 0
            print shown(substr(line, 5)) > file
        } else if (line ~ /^\* /) {
            print ".IP \\(bu 2" > file
            print shown(substr(line, 3)) > file
            is_gap = 0
        } else {
            if (is_gap && line !~ /^  /) print ".P" > file
            is_gap = 0
            sub(/^ +/, "", line)
            print shown(line) > file
        }
    }
    if (is_code) print ".EE\n.RE" > file
}

function head(name, what, file) {
    print ".\\\" Made from shmlock.h by ffi/shell/man.sh." > file
    print ".TH " toupper(name) " 3 \"\" \"shmlock " version "\" \"Library Functions Manual\"" > file
    print ".SH NAME\n" name " \\- " what > file
    print ".SH LIBRARY\nshmlock (libshmlock, \\fB\\-lshmlock\\fP)" > file
    print ".SH SYNOPSIS\n.nf\n.B #include <shmlock.h>" > file
}

# The page of a function.
function page(prototype, text,    name, file, what, returns, rest, at) {
    name = prototype
    sub(/\(.*/, "", name); sub(/.*[ *]/, "", name)
    file = directory "/" name ".3"
    what = text
    sub(/\n\n.*/, "", what); gsub(/\n/, " ", what)
    if ((at = index(what, ". ")) > 0) what = substr(what, 1, at)
    if ((at = index(what, ": ")) > 0) what = substr(what, 1, at)
    gsub(/`/, "", what); sub(/[.:]$/, "", what)
    head(name, tolower(substr(what, 1, 1)) substr(what, 2), file)
    print ".P\n.B " shown(prototype) "\n.fi\n.SH DESCRIPTION" > file
    # The paragraph about the result has a section of its own.
    returns = ""
    if (match(text, /\n\nReturns [^\n]/)) {
        returns = substr(text, RSTART + 2)
        rest = substr(text, 1, RSTART + 1)
        at = index(returns, "\n\n")
        if (at > 0) { rest = rest substr(returns, at + 1); returns = substr(returns, 1, at) }
        text = rest
    }
    at = index(text, "\n# Safety")
    body(at > 0 ? substr(text, 1, at) : text, file)
    if (returns != "") { print ".SH RETURN VALUE" > file; body(returns, file) }
    if (at > 0) body(substr(text, at + 1), file)
    print ".SH SEE ALSO\n.BR shmlock (3)" > file
    close(file)
    names = names (names == "" ? "" : ",\n") ".BR " name " (3)"
}

/^\/\*$/ { inside = 1; text = ""; next }
inside && /^ \*\/$/ { inside = 0; if (overview == "") overview = text; next }
inside { sub(/^ /, ""); text = text $0 "\n"; next }
/^[a-z].*shmlock_[a-z_]+\(/ && !/^typedef/ {
    prototype = $0
    while (prototype !~ /;$/ && (getline line) > 0) {
        sub(/^ +/, "    ", line)
        prototype = prototype "\n.B " line
    }
    page(prototype, text)
    text = ""
}
END {
    file = directory "/shmlock.3"
    head("shmlock", "a lock between processes, known only by its name", file)
    print ".fi\n.SH DESCRIPTION" > file
    sub(/^[^\n]*\n\n/, "", overview)
    sub(/\n Generated.*/, "", overview); sub(/\nGenerated.*/, "", overview)
    body(overview, file)
    print ".SH SEE ALSO" > file
    gsub(/ \(3\),/, " (3),", names)
    print names "\n.P\nThe header describes the types." > file
}
' ffi/shell/include/shmlock.h
