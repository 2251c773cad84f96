"""Programs are found and ended by who they are, not by a number that may belong to another by now."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from nicplug_sandbox import processes
from nicplug_sandbox.processes import RecordedProcess

Spawn = Callable[..., RecordedProcess]

# On a busy machine a program that ends at once may be gone before `spawn` has looked at it, and that is an error.
BRIEFLY = "0.5"


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Spawn]:
    started: list[RecordedProcess] = []

    def start(*argv: str) -> RecordedProcess:
        process = processes.spawn(name="program", argv=argv, log=tmp_path / "logs" / "program.log", cwd=tmp_path)
        started.append(process)
        return process

    yield start
    processes.end(started, grace_seconds=0)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_runs_detached_and_is_ended(spawn: Spawn) -> None:
    process = spawn("sleep", "60")
    found = processes.find(process)
    assert found
    assert psutil.Process().pid not in {parent.pid for parent in found.parents()}, "it must outlive its starter"
    processes.end([process], grace_seconds=5)
    assert not processes.is_alive(process)


def test_a_stranger_with_the_same_pid_is_neither_found_nor_ended() -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        ours = RecordedProcess(
            name="ours",
            pid=stranger.pid,
            created=psutil.Process(stranger.pid).create_time() - 3600,
            argv=("sleep", "60"),
            log=Path("/nowhere"),
        )
        assert processes.find(ours) is None
        processes.end([ours], grace_seconds=1)
        assert stranger.poll() is None
        stranger.kill()


def test_one_that_ignores_sigterm_is_killed(spawn: Spawn, tmp_path: Path) -> None:
    code = (
        "import signal, time, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "pathlib.Path('deaf').touch(); time.sleep(60)"
    )
    process = spawn(sys.executable, "-c", code)
    wait_until((tmp_path / "deaf").exists)
    began = time.monotonic()
    processes.end([process], grace_seconds=0.3)
    assert not processes.is_alive(process)
    assert 0.3 <= time.monotonic() - began < 5


def test_a_zombie_counts_as_ended() -> None:
    child = subprocess.Popen(["sleep", "60"])
    process = RecordedProcess(
        name="child", pid=child.pid, created=psutil.Process(child.pid).create_time(), argv=(), log=Path("/nowhere")
    )
    assert processes.is_alive(process)
    child.send_signal(signal.SIGKILL)
    wait_until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    assert not processes.is_alive(process)
    child.wait()


def test_ending_what_has_ended_is_nothing(spawn: Spawn) -> None:
    process = spawn("sleep", BRIEFLY)
    wait_until(lambda: not processes.is_alive(process))
    processes.end([process], grace_seconds=1)


def test_output_and_variables(tmp_path: Path) -> None:
    log = tmp_path / "program.log"
    process = processes.spawn(
        name="program",
        argv=["sh", "-c", f"echo $COLOUR; pwd; echo wrong >&2; sleep {BRIEFLY}"],
        log=log,
        cwd=tmp_path,
        variables={"COLOUR": "blue"},
    )
    wait_until(lambda: not processes.is_alive(process))
    assert log.read_text().split() == ["blue", str(tmp_path), "wrong"]


def test_a_missing_program_explains_itself_in_the_log(spawn: Spawn) -> None:
    process = spawn("sh", "-c", f"sleep {BRIEFLY}; exec no-such-program")
    wait_until(lambda: not processes.is_alive(process))
    assert "no-such-program" in processes.tail(process.log)


def test_the_same_program_can_be_started_again_from_its_record(spawn: Spawn) -> None:
    first = spawn("sleep", "61")
    second = spawn(*first.argv)
    assert replace(second, pid=first.pid, created=first.created) == first


def test_tail(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert processes.tail(log) == ""
    log.write_text("\n".join(f"line {n}" for n in range(10_000)))
    assert processes.tail(log, lines=2) == "line 9998\nline 9999"
