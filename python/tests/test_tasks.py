"""The lock in tasks of asyncio."""

import asyncio
import os
import threading

import pytest

import shmlock
from conftest import HOLDER
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
