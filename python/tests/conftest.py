"""Names, child processes and a watchdog for the tests."""

import ctypes
import errno
import faulthandler
import gc
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import shmlock

#: How long one test may take, or one step of a long test, in seconds. It is a hang long before.
PATIENCE = 120

#: The beginning of each child: it is killed when this process ends, however it ends. prctl(2),
#: PR_SET_PDEATHSIG. A child that counts for ever would else go on beside later tests.
DIES_WITH_THE_TESTS = """
import ctypes, os
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != {parent}:
    os._exit(1)
"""


def pytest_configure(config):
    """Keeps the error output of the run: pytest replaces it while a test runs."""
    config.error_output = os.dup(2)


@pytest.fixture(autouse=True)
def watchdog(request):
    """Ends the run, with the stacks of all threads, if a test hangs. Its value is a function that
    tells it of a step: a long test may be slow on a busy machine, but each step comes in time."""

    def begin():
        faulthandler.dump_traceback_later(PATIENCE, exit=True, file=request.config.error_output)

    begin()
    yield begin
    faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def name(request):
    """A name of this test and process."""
    text = re.sub(r"\W+", "-", request.node.name)[:80].strip("-")
    return f"py-{os.getpid()}-{text}"


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    """Nothing of the tests' names is left in /dev/shm. A test that failed may leave something."""
    gc.collect()
    left = sorted(path.name for path in pathlib.Path("/dev/shm").glob(f"py-{os.getpid()}-*"))
    for file in left:
        os.unlink(f"/dev/shm/{file}")
    if left and exitstatus == 0:
        print("\nleft in /dev/shm:", *left, sep="\n  ")
        session.exitstatus = 1


class Child:
    """A process that runs a text of Python, and talks to the test by lines."""

    def __init__(self, code, *arguments, python=sys.executable, **environment):
        begin = DIES_WITH_THE_TESTS.format(parent=os.getpid())
        self.process = subprocess.Popen(
            [python, "-u", "-c", begin + textwrap.dedent(code), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self._read = b""

    @property
    def pid(self):
        return self.process.pid

    def line(self, expected=None):
        """Returns the next line. It comes within the patience of a test."""
        while b"\n" not in self._read:
            ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE / 2)
            assert ready, "the child is silent"
            more = os.read(self.process.stdout.fileno(), 4096)
            assert more, f"the child has ended: {self.process.wait()}"
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        text = line.decode()
        assert expected is None or text == expected, text
        return text

    def say(self, text=""):
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        """Waits for the end of the child; returns its status."""
        self.process.stdin.close()
        return self.process.wait(PATIENCE / 2)


@pytest.fixture
def held(name):
    """A lock that another object of this thread holds."""
    owner = shmlock.ShmLock(name)
    assert owner.acquire()
    yield owner
    owner.release(force=True)


@pytest.fixture
def child():
    """Starts children, and kills those that are left."""
    children = []

    def start(code, *arguments, **keywords):
        children.append(Child(code, *arguments, **keywords))
        return children[-1]

    yield start
    for one in children:
        if one.process.poll() is None:
            one.signal(signal.SIGCONT)
            one.process.stdin.close()  # a child that reads ends in order
            try:
                one.process.wait(5)
            except subprocess.TimeoutExpired:
                one.kill()
        one.process.stdin.close()
        one.process.stdout.close()


def has_futex_waitv():
    """Returns True if the kernel has futex_waitv(2): Linux 5.16, not user-mode QEMU. Without it,
    waiters poll."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(449, None, 0, 0, None, 0)
    return ctypes.get_errno() != errno.ENOSYS


needs_futex_waitv = pytest.mark.skipif(
    not has_futex_waitv(), reason="without futex_waitv(2), waiters poll"
)


def in_a_thread(function):
    """Runs a function in a thread, and returns its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


def increment(lock, path, count):
    """Adds to the number in a file. Without the lock, some additions are lost."""
    for _ in range(count):
        with lock:
            with open(path) as file:
                number = int(file.read())
            with open(path, "w") as file:
                file.write(str(number + 1))


def kept_waiting(task):
    """Returns for how long a thread was ready, and waited for a processor, in seconds: the second
    number there, Documentation/scheduler/sched-stats.rst. `task` is its directory in /proc."""
    path = pathlib.Path(task, "schedstat")
    return int(path.read_text().split()[1]) / 1e9 if path.exists() else 0.0


def until(condition):
    """Waits until the condition holds; the watchdog bounds it."""
    while not condition():
        time.sleep(0.001)


#: A child that acquires the lock, says its uuid, and holds it until it is told to release it.
HOLDER = """
    import sys, shmlock
    lock = shmlock.ShmLock(sys.argv[1])
    lock.description = "a child"
    assert lock.acquire()
    print(lock.uuid)
    sys.stdin.readline()
    assert lock.release()
    print("released")
    sys.stdin.readline()
"""
