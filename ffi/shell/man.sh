#!/usr/bin/env bash
# man.sh DIRECTORY: writes the manual pages of section 3 there, from the comments of shmlock.h: one
# for each function and each type, and shmlock(3) from the head of the header.
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
        if (is_code && line !~ /^    / && line != "") { print ".EE\n.nh\n.RE" > file; is_code = 0 }
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
    if (is_code) print ".EE\n.nh\n.RE" > file
}

function head(name, what, file) {
    print ".\\\" Made from shmlock.h by ffi/shell/man.sh." > file
    print ".TH " toupper(name) " 3 \"\" \"shmlock " version "\" \"Library Functions Manual\"" > file
    # A name that is broken by a hyphen is another name.
    print ".nh\n.ad l" > file
    print ".SH NAME\n" name " \\- " what > file
    print ".SH LIBRARY\nshmlock (libshmlock, \\fB\\-lshmlock\\fP)" > file
    print ".SH SYNOPSIS\n.nf\n.B #include <shmlock.h>" > file
}

# The first sentence, as the line that apropos(1) shows.
function summary(text,    at) {
    sub(/\n\n.*/, "", text); gsub(/\n/, " ", text)
    if ((at = index(text, ". ")) > 0) text = substr(text, 1, at)
    if ((at = index(text, ": ")) > 0) text = substr(text, 1, at)
    gsub(/[`*]/, "", text); sub(/[.:]$/, "", text)
    return tolower(substr(text, 1, 1)) substr(text, 2)
}

# Ends a page: the types that the declaration names, beside itself.
function see_also(declaration, name, file,    type, is_listed, list) {
    list = ".SH SEE ALSO\n.BR shmlock (3)"
    while (match(declaration, /shmlock_[a-z_]+/)) {
        type = substr(declaration, RSTART, RLENGTH)
        declaration = substr(declaration, RSTART + RLENGTH)
        if (type == name || (type in is_listed)) continue
        is_listed[type] = 1
        list = list ",\n.BR " type " (3)"
    }
    print list > file
    close(file)
    names = names (names == "" ? "" : ",\n") ".BR " name " (3)"
}

# The declaration in the synopsis: each line bold, with its indentation.
function declared(declaration, file,    lines, count, i) {
    count = split(declaration, lines, "\n")
    print ".P" > file
    for (i = 1; i <= count; i++) print ".B \"" lines[i] "\"" > file
    print ".fi\n.SH DESCRIPTION" > file
}

# The page of a function.
function page(prototype, text,    name, file, returns, rest, at) {
    name = prototype
    sub(/\(.*/, "", name); sub(/.*[ *]/, "", name)
    file = directory "/" name ".3"
    head(name, summary(text), file)
    declared(prototype, file)
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
    constants("Exit handlers", "values", name == "shmlock_install_exit_handlers", file)
    if (returns != "") { print ".SH RETURN VALUE" > file; body(returns, file) }
    if (at > 0) body(substr(text, at + 1), file)
    see_also(prototype, name, file)
}

# The page of a type. `members` has its fields or values.
function type_page(name, declaration, text, members,    file) {
    file = directory "/" name ".3"
    head(name, summary(text), file)
    declared(declaration, file)
    body(text, file)
    if (members != "") print (declaration ~ /^enum/ ? ".SH VALUES" : ".SH MEMBERS") members > file
    constants("Flag", "flags", name == "shmlock_options", file)
    see_also(declaration, name, file)
}

# The constants whose descriptions begin with `kind`, on the page that they belong to.
function constants(kind, title, is_here, file) {
    if (is_here) print ".SH " toupper(title) constants_of[kind] > file
}

# One field, value or constant.
function item(term, text) {
    sub(/\n+$/, "", text)
    return "\n.TP\n.B " term "\n" shown(text)
}

{ gsub(/\t/, "    ") }
/^\/\*$/ { inside = 1; text = ""; next }
inside && /^ \*\/$/ {
    inside = 0
    if (overview == "") overview = text
    # The head of the header is shmlock(3).
    gsub(/at the head[ \n]of[ \n]this[ \n]file/, "in shmlock(3)", text)
    next
}
inside { sub(/^ /, ""); text = text $0 "\n"; next }

# Fields and values, each with its comment.
/^    \/\*$/ { in_member = 1; member = ""; next }
in_member && /^     \*\/$/ { in_member = 0; next }
in_member { sub(/^ +/, ""); member = member $0 "\n"; next }
is_type && /^    [A-Za-z].*[;,]$/ {
    line = $0
    sub(/^ +/, "", line)
    declaration = declaration "\n    " line
    if (member != "") members = members item(substr(line, 1, length(line) - 1), member)
    member = ""
    next
}

/^#define SHMLOCK_[A-Z_]+ [0-9]+$/ {
    kind = text
    if (sub(/: .*/, "", kind)) {
        sub(/^[^:]*: /, "", text)
        text = toupper(substr(text, 1, 1)) substr(text, 2)
        constants_of[kind] = constants_of[kind] item($2, text)
    }
    next
}
/^typedef struct \{$/ { is_type = 1; declaration = $0; members = member = ""; next }
/^enum shmlock_[a-z_]+$/ {
    is_type = 1; declaration = $0 " {"; members = member = ""; name = $2
    next
}
is_type && /^\}.*;$/ {
    if ($2 != "") { name = $2; sub(/;/, "", name) }
    type_page(name, declaration "\n" $0, text, members)
    is_type = 0; text = ""
    next
}
/^typedef [a-z]+ \(\*shmlock_[a-z_]+\)\(.*;$/ {
    name = $0
    sub(/^[^*]*\*/, "", name); sub(/\).*/, "", name)
    type_page(name, $0, text, "")
    text = ""
    next
}
/^[a-z].*shmlock_[a-z_]+\(/ && !/^typedef/ {
    prototype = $0
    while (prototype !~ /;$/ && (getline line) > 0) {
        sub(/^ +/, "    ", line)
        prototype = prototype "\n" line
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
    print names > file
}
' ffi/shell/include/shmlock.h
