# Reads QEMU's log of executed instructions (`-d exec,nochain`, one instruction per block), given
# the addresses of `cost_acquire`, `cost_release` and `cost_caller` with its end. Prints the
# instructions of the last call of each, until the caller continues; the first call may take more.
# Fails if the last two calls differ.
/^Trace 0:/ {
    split($0, part, "/")
    pc = "x" substr(part[2], length(part[2]) - 7)
    if (pc >= caller && pc < caller_end) {
        within = ""
    } else if (within == "" && (pc == acquire || pc == release)) {
        within = pc
        calls[pc]++
        before[pc] = count[pc]
        count[pc] = 0
    }
    if (within != "") count[within]++
}
END {
    settled = calls[acquire] == 100 && calls[release] == 100
    settled = settled && before[acquire] == count[acquire] && before[release] == count[release]
    print settled ? count[acquire] " + " count[release] : "unsettled"
    exit !settled
}
