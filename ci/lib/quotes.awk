# Proves that a page shows code as its file has it. A comment `<!-- from FILE -->` stands before
# such a block; FILE is a path from the root. Indentation does not count. A line of the block with
# only an ellipsis, with or without comment signs, stands for lines that are left out.
#
#     awk -f quotes.awk PAGE...
#
# Prints a line for each block. Ends with 1 if a block differs, or if no page has any.

FNR == 1 { inside = 0; file = "" }

/^<!-- from [^ ]+ -->$/ { file = $3; next }

file != "" && !inside {
    if ($0 !~ /^```/) { complain("no block follows"); file = ""; next }
    inside = 1; shown = 0; fresh = 1; at = 0; failed = 0
    delete lines; count = 0
    while ((status = (getline line < file)) > 0) lines[++count] = trimmed(line)
    if (status < 0) { complain("cannot be read"); failed = 1 }
    close(file)
    next
}

inside && /^```/ {
    if (!shown && !failed) complain("an empty block")
    else if (!failed) { printf "%s:%d: %d lines of %s\n", FILENAME, FNR, shown, file; blocks++ }
    inside = 0; file = ""
    next
}

inside && !failed {
    line = trimmed($0)
    if (line ~ /^(\/\/|#|\/\*)? ?(…|\.\.\.)( \*\/)?$/) { fresh = 1; next }
    # A new chunk may stand anywhere behind the last one.
    if (fresh) { first = at + 1; length_of_chunk = 0; fresh = 0 }
    chunk[++length_of_chunk] = line
    shown++
    if (!fits()) { complain("is not in the file, or not in this place: " line); failed = 1 }
}

END {
    if (!blocks && !bad) { print "error: no page quotes a file"; bad = 1 }
    exit bad
}

# Returns 1 if the chunk so far occurs at or after `first`, and moves `at` to its last line.
function fits(    start, i) {
    for (start = first; start + length_of_chunk - 1 <= count; start++) {
        for (i = 1; i <= length_of_chunk && lines[start + i - 1] == chunk[i]; i++);
        if (i > length_of_chunk) { at = start + length_of_chunk - 1; return 1 }
    }
    return 0
}

function trimmed(line) {
    gsub(/^[ \t]+|[ \t]+$/, "", line)
    return line
}

function complain(what) {
    printf "error: %s:%d: %s: %s\n", FILENAME, FNR, file, what
    bad = 1
}
