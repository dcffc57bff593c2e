"""Compares locks between processes for Python: prints a table, and writes a plot if it is told to.

    compare.py [--old DIRECTORY] [--plot FILE.svg] [--quick] [KIND...]

DIRECTORY has the old package's source distribution, unpacked (ci/python.sh keeps one). Packages
that are not installed are left out. Each kind runs in a process of its own:

    compare.py --one KIND

Every measure checks its counter: a lock that loses an increment is reported, not timed.
"""

import argparse
import gc
import json
import mmap
import multiprocessing
import os
import pathlib
import resource
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

KINDS = [
    "ours",
    "ours (interop)",
    "multiprocessing.Lock",
    "fcntl.flock",
    "posix_ipc",
    "fasteners",
    "portalocker",
    "filelock",
    "old shmlock",
]
WORKERS, ROUNDS = 15, 1000
context = multiprocessing.get_context("fork")


def maker(kind, place):
    """Returns a function that opens the lock in a process, and gives (acquire, release)."""
    name, path = f"bench-{os.getpid()}", os.path.join(place, "lock")
    if kind.startswith("ours"):
        import shmlock

        assert "native" in shmlock.__version__
        interop = "interop" in kind
        return lambda: pair(shmlock.ShmLock(name, interop=interop))
    if kind == "old shmlock":
        import shmlock

        assert "native" not in shmlock.__version__
        if sys.version_info < (3, 13):
            shmlock.remove_shm_from_resource_tracker("", print_warning=False)
            return lambda: pair(shmlock.ShmLock(name))
        return lambda: pair(shmlock.ShmLock(name, track=False))
    if kind == "multiprocessing.Lock":
        lock = context.Lock()
        return lambda: pair(lock)
    if kind == "fcntl.flock":
        import fcntl

        def by_flock():
            file = os.open(path, os.O_RDWR | os.O_CREAT)
            return (
                lambda: fcntl.flock(file, fcntl.LOCK_EX),
                lambda: fcntl.flock(file, fcntl.LOCK_UN),
            )

        return by_flock
    if kind == "posix_ipc":
        import posix_ipc

        first = posix_ipc.Semaphore(f"/{name}", posix_ipc.O_CREX, initial_value=1)
        first.unlink()
        return lambda: (first.acquire, first.release)
    if kind == "fasteners":
        import fasteners

        return lambda: pair(fasteners.InterProcessLock(path))
    if kind == "portalocker":
        import portalocker

        return lambda: pair(portalocker.Lock(path, timeout=1e6))
    if kind == "filelock":
        import filelock

        return lambda: pair(filelock.FileLock(path))
    raise SystemExit(f"unknown: {kind}")


def pair(lock):
    return lock.acquire, lock.release


def child(function, *arguments):
    """Starts a forked process, which ends without the parent's clean-up."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function(*arguments)
            gc.collect()
            status = 0
        finally:
            os._exit(status)
    return pid


def uncontended(make, quick):
    """Nanoseconds of an undisturbed acquisition and release: the best of some rounds."""
    acquire, release = make()
    best, count = float("inf"), 200
    for _ in range(3 if quick else 15):
        begin = time.perf_counter_ns()
        for _ in range(count):
            acquire()
            release()
        took = (time.perf_counter_ns() - begin) / count
        best = min(best, took)
        count = max(200, min(200_000, int(2e7 / took)))
    return best


def crowd(make, quick):
    """15 processes, 1000 sections each: mean and longest wait in µs, and seconds in all."""
    rounds = ROUNDS // 10 if quick else ROUNDS
    shared = mmap.mmap(-1, 4096)
    results = [os.pipe() for _ in range(WORKERS)]
    start = context.Event()

    def work(output):
        acquire, release = make()
        waits = []
        start.wait()
        for _ in range(rounds):
            begin = time.perf_counter_ns()
            acquire()
            waits.append(time.perf_counter_ns() - begin)
            number = struct.unpack("=Q", shared[:8])[0]
            shared[:8] = struct.pack("=Q", number + 1)
            release()
        os.write(output, struct.pack("=dd", statistics.fmean(waits), max(waits)))

    pids = [child(work, output) for _, output in results]
    time.sleep(0.3)  # all of them are at the start
    begin = time.perf_counter()
    start.set()
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
    took = time.perf_counter() - begin
    assert struct.unpack("=Q", shared[:8])[0] == WORKERS * rounds, "increments were lost"
    means, longest = zip(
        *(struct.unpack("=dd", os.read(read, 16)) for read, _ in results), strict=True
    )
    return statistics.fmean(means) / 1e3, max(longest) / 1e3, took


def hand_off(make, quick):
    """Microseconds from the release to the acquisition by a process that waits: the median."""
    shared = mmap.mmap(-1, 4096)  # two numbers: the time of the release, and the round
    rounds, took = 20 if quick else 200, []
    to_waiter, to_owner = os.pipe(), os.pipe()

    def wait():
        acquire, release = make()
        for _ in range(rounds):
            os.read(to_waiter[0], 1)
            acquire()
            now = time.monotonic_ns()
            release()
            os.write(to_owner[1], struct.pack("=q", now - struct.unpack("=q", shared[:8])[0]))

    acquire, release = make()
    pid = child(wait)
    for _ in range(rounds):
        acquire()
        os.write(to_waiter[1], b".")
        time.sleep(0.005)  # it waits
        shared[:8] = struct.pack("=q", time.monotonic_ns())
        release()
        took.append(struct.unpack("=q", os.read(to_owner[0], 8))[0])
    os.waitpid(pid, 0)
    return statistics.median(took) / 1e3


def after_a_kill(make, quick):
    """Milliseconds from SIGKILL of the owner to the acquisition by a waiter; None if there is none
    within two seconds."""
    took = []
    for _ in range(1 if quick else 5):
        held, acquired = os.pipe(), os.pipe()

        def hold(held=held):
            acquire, _ = make()
            acquire()
            os.write(held[1], b".")
            time.sleep(100)

        def wait(acquired=acquired):
            acquire, release = make()
            acquire()
            os.write(acquired[1], struct.pack("=q", time.monotonic_ns()))
            if heal := getattr(getattr(acquire, "__self__", None), "declare_consistent", None):
                heal()  # else the file stays, for the next owner to be told
            release()

        owner = child(hold)
        os.read(held[0], 1)
        waiter = child(wait)
        time.sleep(0.1)
        begin = time.monotonic_ns()
        os.kill(owner, signal.SIGKILL)
        os.waitpid(owner, 0)
        os.set_blocking(acquired[0], False)
        for _ in range(2000):
            time.sleep(0.001)
            try:
                took.append((struct.unpack("=q", os.read(acquired[0], 8))[0] - begin) / 1e6)
                break
            except BlockingIOError:
                pass
        else:
            os.kill(waiter, signal.SIGKILL)
            os.waitpid(waiter, 0)
            return None
        os.waitpid(waiter, 0)
    return statistics.median(took)


def processor_time(make, quick):
    """Milliseconds of processor time in a second of waiting."""
    seconds = 1 if quick else 3
    acquire, release = make()
    acquire()
    output = os.pipe()

    def wait():
        acquire, release = make()
        before = resource.getrusage(resource.RUSAGE_SELF)
        acquire()
        after = resource.getrusage(resource.RUSAGE_SELF)
        release()
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        os.write(output[1], struct.pack("=d", spent))

    pid = child(wait)
    time.sleep(seconds)
    release()
    os.waitpid(pid, 0)
    return struct.unpack("=d", os.read(output[0], 8))[0] * 1e3 / seconds


def one(kind, quick):
    """Measures one kind; prints the results."""
    with tempfile.TemporaryDirectory() as place:
        make = maker(kind, place)
        results = {
            "pair_ns": uncontended(make, quick),
            "crowd": crowd(make, quick),
            "hand_off_us": hand_off(make, quick),
            "cpu_ms": processor_time(make, quick),
            # Last: some locks are never free again.
            "kill_ms": after_a_kill(make, quick),
        }
        print(json.dumps(results))
    if kind == "old shmlock":  # a killed owner leaves its segment for ever
        pathlib.Path(f"/dev/shm/bench-{os.getpid()}").unlink(missing_ok=True)


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def table(results):
    lines = [
        "| lock | pair, µs | 15 × 1000: mean, µs | longest, ms | in all, s | hand-off, µs "
        "| SIGKILL to owned, ms | processor time of waiting, ms/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, result in results.items():
        mean, longest, took = result["crowd"]
        kill = "never" if result["kill_ms"] is None else number(result["kill_ms"])
        cells = [
            kind,
            f"{result['pair_ns'] / 1e3:.3g}",
            number(mean),
            number(longest / 1e3),
            f"{took:.2f}",
            number(result["hand_off_us"]),
            kill,
            number(result["cpu_ms"]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def plot(results):
    """Returns a bar chart of the mean waits of 15 × 1000, on a logarithmic scale, as SVG."""
    import math

    width, left, bar = 640, 170, 26
    means = {kind: result["crowd"][0] for kind, result in results.items()}
    low = math.floor(math.log10(min(means.values())))
    high = math.ceil(math.log10(max(means.values())))

    def at(value):
        return left + (width - left - 70) * (math.log10(value) - low) / (high - low)

    height = 50 + bar * len(means) + 30
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        '<text x="10" y="22" font-size="15">Mean wait for the lock, 15 processes × 1000 sections'
        " (µs, logarithmic)</text>",
    ]
    for power in range(low, high + 1):
        x = at(10**power)
        rows.append(f'<line x1="{x}" y1="36" x2="{x}" y2="{height - 24}" stroke="#ddd"/>')
        rows.append(f'<text x="{x}" y="{height - 8}" text-anchor="middle">{10**power:g}</text>')
    for index, (kind, mean) in enumerate(means.items()):
        y = 40 + bar * index
        colour = "#2a6f97" if kind.startswith("ours") else "#999"
        rows.append(f'<text x="{left - 8}" y="{y + 17}" text-anchor="end">{kind}</text>')
        rows.append(
            f'<rect x="{left}" y="{y + 3}" width="{max(at(mean) - left, 1):.1f}" '
            f'height="{bar - 8}" fill="{colour}"/>'
        )
        rows.append(f'<text x="{at(mean) + 6:.1f}" y="{y + 17}">{number(mean)}</text>')
    return "\n".join([*rows, "</svg>", ""])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--old")
    parser.add_argument("--plot")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one")
    parser.add_argument("kinds", nargs="*")
    options = parser.parse_args()
    if options.one:
        return one(options.one, options.quick)
    results = {}
    for kind in options.kinds or KINDS:
        environment = dict(os.environ)
        if kind == "old shmlock":
            if not options.old:
                continue
            environment["PYTHONPATH"] = options.old
        command = [sys.executable, __file__, "--one", kind]
        command += ["--quick"] if options.quick else []
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["?"])[-1]
            print(f"{kind}: left out: {reason}", file=sys.stderr)
            continue
        results[kind] = json.loads(done.stdout)
        print(f"{kind}: measured", file=sys.stderr)
    print(table(results))
    if options.plot:
        pathlib.Path(options.plot).write_text(plot(results))
    return None


if __name__ == "__main__":
    main()
