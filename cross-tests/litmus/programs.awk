# Writes the programs of a litmus file to DIRECTORY, and prints a line for each: its file, what is
# expected of it, its name.
#
#   the file itself                                 Never
#   each barrier of a thread of ours removed        Sometimes; Never if a comment says `redundant`
#   a `dmb ish` of AArch64 that only orders loads   anything: the table shows what it takes
#   all barriers of the full system                 Never
#
# Usage: awk -v directory=DIRECTORY -v form=FORM -f programs.awk FILE

# written CHANGES...: writes a program: SUFFIX for its name, EXPECTED. A barrier is replaced by
# nothing or by another.
function written(change, expected, at_row, at_column, by,    name, path, row, column, cells, count, line) {
    name = form "/" base (change == "" ? "" : " " change)
    path = directory "/" form "-" base (change == "" ? "" : "-" change)
    gsub(/[ :]/, "-", path)
    path = path ".litmus"
    line = $0
    for (row = 1; row <= NR; row++) {
        line = lines[row]
        if (row == 1) {
            line = kind " " base
        } else if (row == at_row) {
            count = split(line, cells, /[|;]/)
            line = ""
            for (column = 1; column < count; column++)
                line = line (column == at_column ? " " by " " : cells[column]) \
                    (column < count - 1 ? "|" : ";")
        }
        if (change == "full")
            gsub(/DMB ISH(LD)?/, "DMB SY", line)
        print line >path
    }
    close(path)
    print path "\t" expected "\t" name
}

FNR == 1 { kind = $1; base = $2 }
{ lines[FNR] = $0 }
# Comments.
$1 == "world" { sub(/:.*/, "", $2); world[$2] = 1; $0 = lines[FNR] }
$1 == "redundant" { sub(/:.*/, "", $3); redundant[$2 ":" $3] = 1; $0 = lines[FNR] }

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
            written("without " place, (place in redundant) ? "Never" : "Sometimes", row, column, "")
            if (kind == "AArch64" && cells[column] ~ /DMB ISH *$/)
                written("weaker " place, "-", row, column, "DMB ISHLD")
        }
    }
    if (strict)
        written("full", "Never")
    else
        print "no barrier of ours: " FILENAME >"/dev/stderr"
}
