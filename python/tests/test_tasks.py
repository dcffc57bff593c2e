"""The lock in tasks of asyncio."""

import asyncio
import contextlib
import gc
import linecache
import os
import sys
import threading

import pytest

import shmlock
from conftest import HOLDER, until
from shmlock import shmlock_async
from shmlock.shmlock_exceptions import ShmLockRuntimeError, ShmLockValueError


def run(main):
    return asyncio.run(asyncio.wait_for(main, 60))


def test_tasks_of_one_object_and_of_several_exclude_each_other(name):
    async def main():
        shared, inside, count = shmlock.AsyncShmLock(name), 0, 0

        async def work(lock):
            nonlocal inside, count
            for _ in range(50):
                async with lock:
                    inside += 1
                    assert inside == 1
                    await asyncio.sleep(0)
                    inside -= 1
                    count += 1

        objects = [shared, shared, shared, shmlock.AsyncShmLock(name), shmlock.AsyncShmLock(name)]
        await asyncio.gather(*map(work, objects))
        assert count == 250
        assert not shared.locked

    run(main())


def test_it_is_the_lock_of_threads_and_other_processes(name, child):
    owner = child(HOLDER, name)
    uuid = owner.line()

    async def main():
        lock = shmlock.AsyncShmLock(name, description="a task")
        assert not await lock.acquire(timeout=False)
        assert not await lock.acquire(timeout=0.05)
        assert lock.holder().uuid == uuid
        async with lock.lock(timeout=0.01) as acquired:
            assert not acquired
        waiting = asyncio.create_task(lock.acquire())
        ticks = 0
        while ticks < 20:
            await asyncio.sleep(0.001)
            ticks += 1
            assert not waiting.done(), "the loop runs meanwhile"
        owner.say()
        owner.line("released")
        assert await waiting
        assert lock.locked
        assert lock.holder().description == "a task"
        plain = shmlock.ShmLock(name)
        assert not plain.acquire(timeout=False)
        lock.release()
        assert plain.acquire(timeout=False)
        assert plain.release()

    run(main())
    owner.say()
    assert owner.end() == 0


def test_a_killed_owner_wakes_a_task_which_is_told(name, child):
    owner = child(HOLDER, name)
    owner.line()

    async def main():
        lock = shmlock.AsyncShmLock(name)
        waiting = asyncio.create_task(lock.acquire())
        await asyncio.sleep(0.01)
        owner.kill()
        assert await waiting
        assert lock.recovered.dead.pid == owner.pid
        lock.declare_consistent()
        assert lock.recovered is None
        lock.release()

    run(main())


def test_a_cancelled_task_leaves_nothing_behind(name):
    async def main():
        owner, lock = shmlock.AsyncShmLock(name), shmlock.AsyncShmLock(name)
        assert await owner.acquire()
        for _ in range(20):
            first, second = (asyncio.create_task(lock.acquire()) for _ in range(2))
            await asyncio.sleep(0.001)
            first.cancel()
            second.cancel()
            results = await asyncio.gather(first, second, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
        owner.release()
        assert await lock.acquire(timeout=False)
        lock.release()
        with pytest.raises(
            TimeoutError if os.sys.version_info >= (3, 11) else asyncio.TimeoutError
        ):
            async with owner:
                await asyncio.wait_for(lock.acquire(), 0.02)
        assert await lock.acquire(timeout=False)
        lock.release()

    run(main())


def test_a_wait_that_is_cancelled_after_it_has_the_lock_releases_it(name):
    """As after an interrupt between the acquisition and the caller."""
    lock, other = shmlock.AsyncShmLock(name), shmlock.ShmLock(name)
    lock._task.begin(None)
    assert lock._task.poll() is True
    assert not other.acquire(timeout=False)
    lock._task.cancel()
    assert other.acquire(timeout=False)
    other.release()


def test_a_task_in_the_queue_keeps_its_timeout(name):
    async def main():
        lock = shmlock.AsyncShmLock(name)
        async with lock:
            assert not await lock.acquire(timeout=0.05)
            assert not await lock.acquire(timeout=False)
        assert await lock.acquire(timeout=1e-9), "free, whatever the timeout"
        assert lock.fencing_token is not None
        lock.release()
        with pytest.raises(ShmLockRuntimeError):
            lock.release()

    run(main())


def test_a_forked_child_is_refused(name):
    async def main():
        lock = shmlock.AsyncShmLock(name)
        await lock.acquire()
        return lock

    lock = run(main())
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            lock.release()
        except ShmLockRuntimeError:
            os.write(write, b"refused")
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 100) == b"refused"
    os.close(read)
    os.close(write)
    assert lock.locked
    lock.release()


def test_an_object_may_end_in_another_thread_in_the_middle_of_a_wait(name):
    owner = shmlock.ShmLock(name)
    assert owner.acquire()
    locks = []

    async def main():
        lock = shmlock.AsyncShmLock(name)
        lock._task.begin(None)
        assert lock._task.poll() is None
        locks.append(lock)

    thread = threading.Thread(target=lambda: run(main()))
    thread.start()
    thread.join()
    locks.clear()
    assert owner.release()
    assert owner.acquire(timeout=False)


@pytest.mark.parametrize("arguments", [{"lock_name": ""}, {"lock_name": 1}])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ShmLockValueError):
        shmlock.AsyncShmLock(**arguments)


@pytest.mark.parametrize("ticks", range(8))
@pytest.mark.parametrize("held", ["by-another-process-object", "by-a-task"])
def test_a_cancellation_at_any_tick_is_heard_and_leaves_nothing_behind(name, held, ticks):
    """The release, the timeout and the cancellation come in the same turns of the loop."""

    async def main():
        lock, owner = shmlock.AsyncShmLock(name), shmlock.ShmLock(name)
        if held == "by-a-task":
            assert await lock.acquire()
        else:
            assert owner.acquire()
        heard = []

        async def wait():
            try:
                if await lock.acquire(timeout=30):
                    lock.release()
            except asyncio.CancelledError:
                heard.append(True)
                raise

        task = asyncio.create_task(wait())
        await asyncio.sleep(0.01)
        (lock if held == "by-a-task" else owner).release()
        for _ in range(ticks):
            await asyncio.sleep(0)
        had_ended = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert had_ended or task.cancelled(), "no cancellation is lost"
        assert not lock.locked
        assert owner.acquire(timeout=False)
        owner.release()
        assert await lock.acquire(timeout=False)
        lock.release()

    run(main())


def interrupted_at(number, function, file):
    """Calls a function, and raises KeyboardInterrupt at this line of the file. Returns whether."""
    count = 0

    def trace(frame, event, _):
        nonlocal count
        if frame.f_code.co_filename != file:
            return None
        text = linecache.getline(file, frame.f_lineno).strip()
        if event == "line" and text not in ("try:", "finally:"):  # no steps: no signal comes there
            count += 1
            if count == number:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


@pytest.mark.parametrize("form", ["acquire", "release"])
def test_an_interrupt_at_any_line_of_a_call_leaves_nothing_behind(name, form):
    other = shmlock.ShmLock(name)

    async def main(number):
        lock = shmlock.AsyncShmLock(name)
        if form == "release":
            assert await lock.acquire()
            call = lock.release
        else:
            coroutine = lock.acquire()  # it does not wait: the lock is free

            def call():
                with contextlib.suppress(StopIteration):
                    coroutine.send(None)

        is_interrupted = interrupted_at(number, call, shmlock_async.__file__)
        if lock.locked:  # the caller did not come so far, or is done
            assert form == "release" or not is_interrupted, number
            lock.release()
        assert other.acquire(timeout=False), number
        other.release()
        assert await lock.acquire(timeout=False), number
        lock.release()
        return is_interrupted

    number = 1
    while run(main(number)):
        number += 1
    assert number > 4, "lines were interrupted"


def test_an_object_may_be_used_by_one_loop_after_another(name):
    lock = shmlock.AsyncShmLock(name)

    async def contend():
        async def work():
            async with lock:
                await asyncio.sleep(0)

        await asyncio.gather(*(work() for _ in range(5)))

    for _ in range(3):
        run(contend())


def test_a_second_loop_that_runs_at_the_same_time_is_refused(name):
    lock, acquired, done = shmlock.AsyncShmLock(name), threading.Event(), threading.Event()

    async def hold():
        async with lock:
            acquired.set()
            while not done.is_set():
                await asyncio.sleep(0.001)

    thread = threading.Thread(target=lambda: run(hold()))
    thread.start()
    acquired.wait()

    async def second():
        with pytest.raises(ShmLockRuntimeError, match="one event loop"):
            await lock.acquire()
        assert lock.locked, "the first one's"

    run(second())
    done.set()
    thread.join()
    assert not lock.locked


def test_a_loop_that_is_closed_with_waiters_leaves_nothing_behind(name):
    owner, lock = shmlock.ShmLock(name), shmlock.AsyncShmLock(name)
    assert owner.acquire()
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(lock.acquire()) for _ in range(3)]
    loop.run_until_complete(asyncio.sleep(0.02))
    loop.close()
    for task in tasks:
        task._log_destroy_pending = False
    del tasks, task
    gc.collect()
    owner.release()

    async def main():
        assert await asyncio.wait_for(lock.acquire(), 30)
        lock.release()

    run(main())


def test_objects_and_waits_leave_no_descriptor_open(name):
    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    async def main():
        owner = shmlock.ShmLock(name)
        for number in range(200):
            lock = shmlock.AsyncShmLock(name)
            owner.acquire()
            assert not await lock.acquire(timeout=0.0001)
            task = asyncio.create_task(lock.acquire())
            await asyncio.sleep(0)
            if number % 2:
                task.cancel()
            owner.release()
            await asyncio.gather(task, return_exceptions=True)
            del lock, task

    run(main())
    gc.collect()  # a cancelled task and its exception refer to each other
    before = descriptors()
    run(main())
    gc.collect()
    until(lambda: descriptors() <= before + 2)  # other threads may be about to close theirs


@pytest.mark.parametrize("timeout", ["1", b"1", [], object()])
def test_a_timeout_of_another_type_is_a_type_error(name, timeout):
    lock = shmlock.AsyncShmLock(name)
    with pytest.raises(TypeError):
        run(lock.acquire(timeout))
    assert not lock.locked


@pytest.mark.parametrize(
    "timeout", [10**400, float("inf"), 1e300, 1e-300, -(10**400), float("nan")]
)
def test_a_free_lock_is_acquired_whatever_the_timeout(name, timeout):
    lock = shmlock.AsyncShmLock(name, poll_interval=1e-300)
    assert run(lock.acquire(timeout))
    lock.release()
