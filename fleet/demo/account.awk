# Compares the store's journal with what the processes say, and fails if they differ.
#
#   awk -f account.awk [-v refused=TOKEN] JOURNAL REFUSALS FAULTS LOG…
#
# A journal has `read TOKEN N` and `write TOKEN N`; the refusals `refused write TOKEN N, …`; the
# faults `PID what happened`; a log, whose name is MACHINE.PID, the output of fenced_counter. The
# write with the token `refused` must have been refused.

function wrong(text) { print "WRONG: " text; faulty = 1 }

FILENAME == ARGV[1] && $1 == "read" {
    if ($2 <= read_token) wrong("token " $2 " was acquired after token " read_token)
    read_token = $2
}
FILENAME == ARGV[1] && $1 == "write" {
    if ($2 <= token) wrong("a write with token " $2 " was accepted after one with " token)
    if ($3 != value + 1) wrong("token " $2 " wrote " $3 " over " value)
    token = $2; value = $3; writes++
    journal[$2] = $3
}
FILENAME == ARGV[2] && $1 == "refused" { store_refused[$3 + 0] = 1 }
FILENAME == ARGV[3] { pid = $1; sub(/^[^ ]* /, ""); reason[pid] = reason[pid] "; " $0 }
FILENAME == ARGV[1] || FILENAME == ARGV[2] || FILENAME == ARGV[3] { next }

{
    name = FILENAME; sub(/.*\//, "", name)
    machine = name; sub(/\..*/, "", machine)
    if (!((machine, "seen") in number)) { machines[++count] = machine; number[machine, "seen"] = 1 }
    if (!(name in known)) { known[name] = 1; number[machine, "processes"]++ }
}
$1 == "locked" {
    if ($2 in locked) wrong("token " $2 " was given to " locked[$2] " and to " name)
    locked[$2] = name; number[machine, "acquired"]++
}
$1 == "sent" { sent[$2] = $3; sender[$2] = name }
$1 == "accepted" {
    answered[$2] = 1; number[machine, "accepted"]++; said++
    if (journal[$2] != $3) wrong(name " says that token " $2 " wrote " $3 "; the store does not")
}
$1 == "refused" {
    answered[$3] = 1; number[machine, "refused"]++
    list[++refusals] = sprintf("  process %s, token %s, after token %s; all its faults:%s", name, $3, $2,
        cause(name))
    if (!($3 in store_refused)) wrong("the store does not know the refusal of token " $3)
    if ($3 in journal) wrong("the write with token " $3 " is refused and accepted")
    is_refused[$3] = 1
}
$1 == "error" { number[machine, "errors"]++ }

function cause(name, pid) {
    pid = name; sub(/.*\./, "", pid)
    return pid in reason ? substr(reason[pid], 2) : " no fault: it was slow"
}
function row(title, key, i, sum, line) {
    for (i = 1; i <= count; i++) {
        line = line sprintf("%11d", number[machines[i], key]); sum += number[machines[i], key]
    }
    printf "%-32s%s%9d\n", title, line, sum
}

END {
    for (t in sent) if (!(t in answered)) {
        machine = sender[t]; sub(/\..*/, "", machine)
        if (t in journal) { number[machine, "unanswered"]++; unanswered++ }
        if ((t in journal) && journal[t] != sent[t]) wrong("token " t " wrote another number")
    }
    for (t in journal) if (!(t in sent)) wrong("no process says that it wrote with token " t)
    printf "%-32s", ""
    for (i = 1; i <= count; i++) printf "%11s", machines[i]
    printf "%9s\n", "all"
    row("processes", "processes")
    row("acquired the lock", "acquired")
    row("writes said to be accepted", "accepted")
    row("accepted, answer never read", "unanswered")
    row("writes refused", "refused")
    row("errors told (no server, lost)", "errors")
    printf "the store accepted %d writes, and its number is %d\n", writes, value
    if (refusals) print "refused writes:"
    for (i = 1; i <= refusals; i++) print list[i]
    if (!writes) wrong("nothing was counted")
    if (value < writes) wrong(writes - value " increments are lost")
    if (value > writes) wrong(value - writes " increments were not accepted")
    if (said + unanswered != writes) wrong("the processes say " said + unanswered)
    if (refused != "" && !(refused in is_refused))
        wrong("the late write of the stopped process, token " refused ", was not refused")
    if (faulty) print "the account is WRONG"
    else print "the account is right: no increment is lost, and the tokens rise"
    exit faulty
}
