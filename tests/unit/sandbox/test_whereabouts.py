"""No sandbox is lost: each is found by what it leaves."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nicplug_sandbox import lifecycle, processes, state
from nicplug_sandbox.processes import RecordedProcess
from nicplug_sandbox.state import State
from nicplug_sandbox.whereabouts import all_sandboxes, remember, running_in

SLEEP = ["sleep", "60"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NICPLUG_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "sandboxes"


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[RecordedProcess]:
    """A program of a sandbox in a directory of its own choice."""
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    process = processes.spawn(name="sleeper", argv=SLEEP, log=directory / "logs" / "sleeper.log", cwd=directory)
    yield process
    processes.end([process], grace_seconds=0)


def save(directory: Path, *recorded: RecordedProcess) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    known = State(server="https://s", kubeconfig=directory / "k", started_at=time.time(), processes=recorded)
    state.save(directory, known)


def test_one_with_programs_is_found_wherever_it_is(cache: Path, sleeper: RecordedProcess, tmp_path: Path) -> None:
    directory = tmp_path / "elsewhere"
    save(directory, sleeper)
    (found,) = [item for item in all_sandboxes() if item.directory == directory]
    assert (found.running, found.dead, found.is_recorded, found.server) == (1, (), True, "https://s")


def test_one_whose_programs_are_dead_is_found_in_the_cache(cache: Path) -> None:
    dead = RecordedProcess(
        name="operator", pid=2**22 - 1, created=1.0, argv=(), log=cache / "demo-a" / "logs" / "o.log"
    )
    save(cache / "demo-a", dead)
    (found,) = [item for item in all_sandboxes() if item.directory == cache / "demo-a"]
    assert (found.running, found.dead) == (0, ("operator",))


def test_after_a_reboot_one_elsewhere_was_not_found(cache: Path, tmp_path: Path) -> None:
    """No program tells of it any more, and it does not lie in the cache."""
    directory = tmp_path / "elsewhere"
    save(directory, RecordedProcess(name="etcd", pid=2**22 - 1, created=1.0, argv=(), log=directory / "logs" / "e.log"))
    remember(directory)
    (found,) = [item for item in all_sandboxes() if item.directory == directory]
    assert (found.running, found.dead, found.is_recorded) == (0, ("etcd",), True)
    assert lifecycle.down(directory=directory)
    assert pointers(cache) == []
    assert directory not in [item.directory for item in all_sandboxes()]


def test_a_pointer_to_nothing_is_dropped(cache: Path, tmp_path: Path) -> None:
    directory = tmp_path / "elsewhere"
    save(directory)
    remember(directory)
    assert len(pointers(cache)) == 1
    shutil.rmtree(directory)
    assert directory not in [item.directory for item in all_sandboxes()]
    assert pointers(cache) == []


def test_one_in_the_cache_needs_no_pointer(cache: Path) -> None:
    save(cache / "demo-a")
    remember(cache / "demo-a")
    assert pointers(cache) == []


def test_a_cache_that_cannot_be_written_to_keeps_no_sandbox_from_starting(cache: Path, tmp_path: Path) -> None:
    cache.parent.write_text("no directory")
    remember(tmp_path / "elsewhere")


def pointers(cache: Path) -> list[Path]:
    return list((cache.parent / "pointers").glob("*"))


def test_one_whose_directory_was_deleted_is_found_and_ended(
    cache: Path, sleeper: RecordedProcess, tmp_path: Path
) -> None:
    directory = tmp_path / "elsewhere"
    save(directory, sleeper)
    shutil.rmtree(directory)
    (found,) = [item for item in all_sandboxes() if item.directory == directory]
    assert not found.is_recorded
    assert [item.pid for item in running_in(directory)] == [sleeper.pid]
    assert lifecycle.down(directory=directory)
    assert not processes.is_alive(sleeper)


def test_down_ends_nothing_of_another_directory(cache: Path, sleeper: RecordedProcess, tmp_path: Path) -> None:
    assert not lifecycle.down(directory=tmp_path / "nothing")
    assert processes.is_alive(sleeper)
