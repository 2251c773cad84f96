"""`up` and `down` where no cluster is needed to show them."""

import os
import time
from pathlib import Path

import psutil
import pytest

from nicplug_sandbox import controlplane, kubeconfig, lifecycle, state
from nicplug_sandbox.errors import HalfStarted, SandboxError
from nicplug_sandbox.processes import RecordedProcess
from nicplug_sandbox.state import State
from nicplug_sandbox.whereabouts import all_sandboxes


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (None, False),
        ("INFO starting\n", False),
        ('INFO starting\n{"ready": tr', False),
        ('INFO starting\n{"ready": true, "nodes": ["node01"]}\nINFO more\n', True),
        ('{"ready": false}\n', False),
        ('{not json}\n{"ready": true}\n', True),
    ],
)
def test_ready_line_is_found_among_messages(tmp_path: Path, log: str | None, expected: bool) -> None:
    file = tmp_path / "log"
    if log is not None:
        file.write_text(log)
    assert lifecycle._says_ready(file) is expected


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A sandbox directory that uses somebody else's cluster."""
    config = tmp_path / "their-kubeconfig"
    config.write_text("theirs")
    directory = tmp_path / "sandbox"
    directory.mkdir()
    known = State(server="https://theirs.example", kubeconfig=config, started_at=time.time(), external=True)
    state.save(directory, known)
    return directory


def test_down_leaves_a_foreign_cluster_as_it_is(foreign: Path, tmp_path: Path) -> None:
    assert lifecycle.down(directory=foreign)
    assert (tmp_path / "their-kubeconfig").read_text() == "theirs"
    assert state.load(foreign) is None
    assert not lifecycle.down(directory=foreign), "the second time there is nothing"


def test_up_leaves_a_pointer_to_a_directory_outside_of_the_cache(
    foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NICPLUG_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(lifecycle, "apply_manifests", lambda **_: [])
    monkeypatch.setattr(kubeconfig, "server_of", lambda _: "https://theirs.example")
    monkeypatch.setattr(controlplane, "status", lambda **_: None)
    existing = tmp_path / "their-kubeconfig"
    lifecycle.up(directory=foreign, nodes=0, existing=existing, progress=lambda _: None)
    assert foreign in [item.directory for item in all_sandboxes()]
    assert lifecycle.down(directory=foreign)
    assert foreign not in [item.directory for item in all_sandboxes()]


@pytest.fixture
def usable(foreign: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cluster that is up, in which no operator becomes ready."""

    def fail(*_: object, **__: object) -> None:
        raise SandboxError("operator was not ready", remedy="Its log is operator.log.", detail="the last line")

    monkeypatch.setenv("NICPLUG_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(lifecycle, "apply_manifests", lambda **_: [])
    monkeypatch.setattr(kubeconfig, "server_of", lambda _: "https://theirs.example")
    monkeypatch.setattr(lifecycle, "ensure_operator", fail)
    return foreign


def test_a_sandbox_without_its_operator_was_left_running_unmentioned(usable: Path, tmp_path: Path) -> None:
    existing = tmp_path / "their-kubeconfig"
    with pytest.raises(HalfStarted) as caught:
        lifecycle.up(directory=usable, nodes=0, existing=existing, progress=lambda _: None, with_operator=True)
    assert (usable / "bin" / "nicplug").is_file()
    assert (caught.value.directory, caught.value.kubeconfig) == (usable, existing)
    assert str(caught.value).splitlines() == [
        "operator was not ready",
        "The cluster runs and can be used. Run the same command again, or end the sandbox: nicplug sandbox down "
        f"--directory {usable}",
        "Its log is operator.log.",
        "the last line",
    ]


@pytest.mark.parametrize("other", [None, "another-kubeconfig"])
def test_one_directory_does_not_switch_clusters(foreign: Path, tmp_path: Path, other: str | None) -> None:
    existing = tmp_path / other if other else None
    with pytest.raises(SandboxError, match="already uses the cluster of") as caught:
        lifecycle.up(directory=foreign, nodes=0, existing=existing, progress=lambda _: None)
    assert "sandbox down" in caught.value.remedy


def test_no_control_plane_starts_in_the_directory_of_a_foreign_cluster(foreign: Path) -> None:
    with pytest.raises(SandboxError, match="uses the cluster of"):
        controlplane.start(directory=foreign)


def test_status_of_nothing(tmp_path: Path) -> None:
    status = controlplane.status(directory=tmp_path / "nothing")
    assert not status.running
    assert not status.ready
    assert status.processes == ()
    assert not (tmp_path / "nothing").exists(), "looking must not create"


def test_status_tells_the_living_from_the_dead(foreign: Path) -> None:
    myself = psutil.Process()
    alive = RecordedProcess(
        name="simulator", pid=os.getpid(), created=myself.create_time(), argv=(), log=foreign / "logs" / "a.log"
    )
    dead = RecordedProcess(name="gone", pid=os.getpid(), created=1.0, argv=(), log=foreign / "logs" / "b.log")
    known = state.load(foreign)
    assert known
    state.save(
        foreign,
        State(
            server=known.server,
            kubeconfig=known.kubeconfig,
            started_at=known.started_at,
            external=True,
            processes=(alive, dead),
            nodes=2,
        ),
    )
    status = controlplane.status(directory=foreign)
    assert [(process.name, process.alive) for process in status.processes] == [("simulator", True), ("gone", False)]
    assert status.processes[0].rss_bytes > 0
    assert not status.is_healthy
    state.forget(foreign)
