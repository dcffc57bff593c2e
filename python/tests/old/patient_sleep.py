"""A plugin of pytest for the old package's tests, which `ci/python.sh` runs unmodified.

They give a process that they have started one second by `time.sleep(1)`, and then expect that it
has acquired the lock. On a busy machine such a process may be ready and without a processor for
most of that second. That time does not count here: the sleep is longer by as much.
"""

import multiprocessing
import pathlib
import time

_sleep = time.sleep


def _kept_waiting(process):
    """Returns for how long a process was ready, and waited for a processor, in seconds."""
    try:
        return int(pathlib.Path(f"/proc/{process.pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0  # it has ended, or the kernel does not count


def _patient(seconds):
    begin = time.monotonic()
    before = [(child, _kept_waiting(child)) for child in multiprocessing.active_children()]
    _sleep(seconds)
    for child, kept in before:
        while (left := begin + seconds + _kept_waiting(child) - kept - time.monotonic()) > 0:
            _sleep(left)


time.sleep = _patient
