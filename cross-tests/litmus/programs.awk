# Writes the programs of a litmus file to DIRECTORY, and prints a line for each: its file, the
# expected verdict, its name.
#
#   the file itself                                 Never
#   each barrier of a thread of ours removed        Sometimes; Never if a comment says `redundant`
#   all of several removed, if one is enough        Sometimes, if a comment says `either`
#   a `dmb ish` of AArch64 that only orders loads   any verdict: the table records it
#   all barriers of the full system                 Never
#
# Usage: awk -v directory=DIRECTORY -v form=FORM -f programs.awk FILE

# written CHANGE, EXPECTED, BY: writes a program. The barriers at the places of `changed` are
# replaced by nothing or by another.
function written(change, expected, by,    name, path, row, column, cells, count, line) {
    name = form "/" base (change == "" ? "" : " " change)
    path = directory "/" form "-" base (change == "" ? "" : "-" change)
    gsub(/[ :]/, "-", path)
    path = path ".litmus"
    line = $0
    for (row = 1; row <= NR; row++) {
        line = lines[row]
        if (row == 1) {
            line = kind " " base
        } else if (row in rows) {
            count = split(line, cells, /[|;]/)
            line = ""
            for (column = 1; column < count; column++)
                line = line ((row, column) in changed ? " " by " " : cells[column]) \
                    (column < count - 1 ? "|" : ";")
        }
        if (change == "full")
            gsub(/DMB ISH(LD)?/, "DMB SY", line)
        print line >path
    }
    close(path)
    delete changed
    delete rows
    print path "\t" expected "\t" name
}

# at PLACE: the next program has this barrier changed.
function at(place) {
    changed[row_of[place], column_of[place]] = 1
    rows[row_of[place]] = 1
}

FNR == 1 { kind = $1; base = $2 }
{ lines[FNR] = $0 }
# Comments.
$1 == "world" { sub(/:.*/, "", $2); world[$2] = 1; $0 = lines[FNR] }
$1 == "redundant" { sub(/:.*/, "", $3); redundant[$2 ":" $3] = 1; $0 = lines[FNR] }
$1 == "either" {
    sub(/:.*/, "")
    for (field = 3; field <= NF; field++)
        redundant[$2 ":" $field] = 1
    groups[++group_count] = $0
    $0 = lines[FNR]
}

END {
    written("", "Never")
    for (row = 1; row <= NR; row++) {
        if (lines[row] !~ /;[ ]*$/ || lines[row] ~ /^[{]/)
            continue
        count = split(lines[row], cells, /[|;]/)
        for (column = 1; column < count; column++) {
            thread = "P" (column - 1)
            if (cells[column] !~ /DMB/ || (thread in world))
                continue
            place = thread ":" ++barriers[thread]
            strict++
            row_of[place] = row
            column_of[place] = column
            at(place)
            written("without " place, (place in redundant) ? "Never" : "Sometimes", "")
            if (kind == "AArch64" && cells[column] ~ /DMB ISH *$/) {
                at(place)
                written("weaker " place, "-", "DMB ISHLD")
            }
        }
    }
    for (group = 1; group <= group_count; group++) {
        count = split(groups[group], numbers, " ")
        places = ""
        for (field = 3; field <= count; field++) {
            place = numbers[2] ":" numbers[field]
            places = places " " place
            at(place)
        }
        written("without" places, "Sometimes", "")
    }
    if (strict)
        written("full", "Never")
    else
        print "no barrier of ours: " FILENAME >"/dev/stderr"
}
