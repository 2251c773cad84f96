"""state.json is the only link between `up` and `down`."""

from pathlib import Path

import pytest

from nicplug_sandbox import state
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.processes import RecordedProcess
from nicplug_sandbox.state import State

KNOWN = State(
    server="https://127.0.0.1:6443",
    kubeconfig=Path("/sandbox/kubeconfig"),
    started_at=1_800_000_000.5,
    processes=(
        RecordedProcess(name="etcd", pid=17, created=1_800_000_000.01, argv=("etcd", "--x"), log=Path("/sandbox/log")),
    ),
    nodes=3,
)


def test_round_trip(tmp_path: Path) -> None:
    state.save(tmp_path, KNOWN)
    assert state.load(tmp_path) == KNOWN
    assert [path.name for path in tmp_path.iterdir()] == [state.FILE]


def test_forgotten_is_unknown(tmp_path: Path) -> None:
    assert state.load(tmp_path) is None
    state.save(tmp_path, KNOWN)
    state.forget(tmp_path)
    state.forget(tmp_path)
    assert state.load(tmp_path) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"processes": [{"pid": 1}]}', '{"processes": [], "later": 1}'])
def test_a_file_of_another_version_is_refused_not_guessed(tmp_path: Path, content: str) -> None:
    (tmp_path / state.FILE).write_text(content)
    with pytest.raises(SandboxError, match="not a state that this version wrote") as caught:
        state.load(tmp_path)
    assert str(tmp_path) in caught.value.remedy


def test_process_by_name() -> None:
    assert KNOWN.process("etcd") == KNOWN.processes[0]
    assert KNOWN.process("kube-apiserver") is None
