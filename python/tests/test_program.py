"""Locks shared with the program `shmlock`, which SHMLOCK_PROGRAM names. ci/python.sh builds it."""

import os
import signal
import subprocess

import pytest

import shmlock

PROGRAM = os.environ.get("SHMLOCK_PROGRAM")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="SHMLOCK_PROGRAM names no program")

#: Adds one to the number in a file, many times, each in a run of the program.
SHELL = """
    for _ in $(seq 60); do
        "$1" run "$2" -- sh -c 'read -r number <"$1"; echo $((number + 1)) >"$1"' sh "$3" || exit
    done
"""


def test_commands_of_the_program_and_python_count_in_one_file(name, tmp_path):
    path = tmp_path / "number"
    path.write_text("0\n")
    lock = shmlock.ShmLock(name)
    shells = [subprocess.Popen(["sh", "-c", SHELL, "sh", PROGRAM, name, path]) for _ in range(2)]
    for _ in range(2000):
        with lock:
            number = int(path.read_text())
            path.write_text(f"{number + 1}\n")
    assert [shell.wait() for shell in shells] == [0, 0]
    assert path.read_text() == "2120\n"


def test_a_command_of_the_program_keeps_python_out_until_it_is_killed(name):
    holder = subprocess.Popen(
        [PROGRAM, "run", "-d", "a command", name, "--", "sh", "-c", "echo held; exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert holder.stdout.readline() == b"held\n"
    lock = shmlock.ShmLock(name)
    assert not lock.acquire(timeout=False)
    assert lock.holder().description == "a command"
    os.killpg(holder.pid, signal.SIGKILL)
    holder.wait()
    assert lock.acquire(timeout=30)
    assert lock.recovered.dead.description == "a command"
    lock.declare_consistent()
    lock.release()
    holder.stdin.close()
    holder.stdout.close()


def test_the_program_sees_the_description_of_a_holder_in_python(name):
    lock = shmlock.ShmLock(name)
    lock.description = "refilling"
    with lock:
        refused = subprocess.run([PROGRAM, "run", "-n", "-v", name, "true"], capture_output=True)
        assert refused.returncode == 1
        assert b"refilling" in refused.stderr
