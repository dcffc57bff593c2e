"""Counts beside the frozen peer and the Rust implementation, by the rule at the head of
tests/peer/main.c. tests/tests/frozen_peer.rs starts it, see ci/python.sh.

    mate.py (count|churn) DIRECTORY NAME FILE TIMES

TIMES 0 goes on until it is killed. `churn` makes a new object for each critical section. Exit
status 3: two owners were in a critical section at one time.
"""

import ctypes
import mmap
import sys

import shmlock

VIOLATION = 3


def violation(what):
    print(f"two owners at one time: {what}", file=sys.stderr)
    sys.exit(VIOLATION)


def count(lock, cell):
    """One critical section, in the lock."""
    counter, shadow = cell[0], cell[1]
    if lock.recovered is not None:
        counter = max(counter, shadow)
        cell[1] = counter
        cell[0] = counter
        cell[2] += 1
        lock.declare_consistent()
    elif counter != shadow:
        violation("counter and shadow differ")
    cell[1] = counter + 1
    cell[0] = counter + 1
    if cell[0] != counter + 1 or cell[1] != counter + 1:
        violation("another wrote")


def main():
    verb, directory, name, path, times = sys.argv[1:]
    with open(path, "r+b") as file:
        memory = mmap.mmap(file.fileno(), 4096)
    cell = (ctypes.c_uint64 * 3).from_buffer(memory)
    lock = shmlock.ShmLock(name, directory=directory)
    former = done = 0
    while int(times) == 0 or done < int(times):
        if verb == "churn":
            lock = None  # the old object is closed before the new one is opened
            lock = shmlock.ShmLock(name, directory=directory)
        with lock:
            token = lock.fencing_token
            if verb != "churn" and token <= former:
                violation("the fencing token went back")
            former = token
            count(lock, cell)
        done += 1
    print(done)


main()
