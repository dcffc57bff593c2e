"""Increments the number in a file under the named lock, through libshmlock.so.1 and ctypes.

    named_counter.py FILE [INCREMENTS]

It shares the lock with examples/c/named_counter.c and with the Rust example `counter`: they may
count in one file together. ctypes releases the interpreter's lock during a call, so other threads
run while one waits. Ctrl-C ends the wait, by the interrupt callback.
"""

import ctypes
import pathlib
import signal
import sys


class Lock(ctypes.Structure):
    """`shmlock_t`: zero before it is opened, and neither copied nor moved."""

    _fields_ = [
        ("state", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("content", ctypes.c_void_p),
        ("more", ctypes.c_uint64 * 2),
    ]


class Error(ctypes.Structure):
    """`shmlock_error`."""

    _fields_ = [
        ("status", ctypes.c_int32),
        ("errnum", ctypes.c_int32),
        ("holder_pid", ctypes.c_uint32),
        ("holder_seconds", ctypes.c_uint32),
        ("reserved", ctypes.c_uint64 * 4),
        ("text", ctypes.c_char * 464),
    ]


INTERRUPTED = -4
INTERRUPT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int32)


class Options(ctypes.Structure):
    """`shmlock_options`: its size, and the default for each field that is zero."""

    _fields_ = [
        ("size", ctypes.c_size_t),
        ("flags", ctypes.c_uint32),
        ("mode", ctypes.c_uint32),
        ("trusted_owner", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("poll_interval_ns", ctypes.c_uint64),
        ("fairness_interval_ns", ctypes.c_uint64),
        ("open_timeout_ns", ctypes.c_uint64),
        ("directory", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("exit_event", ctypes.c_void_p),
        ("interrupt", INTERRUPT),
        ("interrupt_context", ctypes.c_void_p),
    ]


library = ctypes.CDLL("libshmlock.so.1")
pending = []


@INTERRUPT
def ask(_context, _point):
    """Ends the wait after Ctrl-C: the interpreter runs pending handlers as it enters a function."""
    return 1 if pending else 0


def call(function, *arguments):
    """Calls a function of the library; raises what its `shmlock_error` says."""
    error = Error()
    status = getattr(library, function)(*arguments, ctypes.byref(error))
    if status == INTERRUPTED:
        raise pending.pop()
    if status < 0:
        raise OSError(error.errnum, error.text.decode())
    return status


def main(path, increments):
    # Not raised by the handler itself: it may run in the callback, which must return normally.
    signal.signal(signal.SIGINT, lambda *_: pending.append(KeyboardInterrupt()))
    lock = Lock()
    options = Options(size=ctypes.sizeof(Options), description=b"from Python", interrupt=ask)
    call("shmlock_open", ctypes.byref(lock), b"shmlock-example-counter", ctypes.byref(options))
    for _ in range(increments):
        if pending:
            raise pending.pop()
        call("shmlock_lock", ctypes.byref(lock))
        number = int(path.read_text()) if path.exists() else 0
        path.write_text(str(number + 1))
        call("shmlock_release", ctypes.byref(lock))
    call("shmlock_close", ctypes.byref(lock))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 500)
