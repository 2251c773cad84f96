"""Which sandbox the stand-in of KubeVirt may run in, and which KubeVirt it plays there."""

import time
from pathlib import Path

import pytest

from nicplug_sandbox import kubevirt_processes, state
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.kubevirt.serve import VERSION
from nicplug_sandbox.state import State


def remembered(directory: Path, **extra: object) -> State:
    known = State(server="https://here", kubeconfig=directory / "kubeconfig", started_at=time.time(), extra=extra)
    directory.mkdir(exist_ok=True)
    state.save(directory, known)
    return known


def test_the_version_stays_until_another_is_asked_for(tmp_path: Path) -> None:
    remembered(tmp_path)
    for asked, version in ((None, VERSION), ("v1.6.0", "v1.6.0"), (None, "v1.6.0")):
        kubevirt_processes.mark(tmp_path, version=asked)
        known = state.load(tmp_path)
        assert kubevirt_processes.is_kubevirts(known)
        assert known is not None
        assert known.extra[kubevirt_processes.VERSION] == version


@pytest.mark.parametrize(
    ("extra", "wanted", "existing", "version", "text"),
    [
        ({}, False, False, "v1.6.0", "--kubevirt-version is that of the stand-in"),
        ({}, True, True, None, "needs a control plane of its own"),
        ({}, True, False, None, "runs with nicplug's CRDs"),
        ({"kubevirt": True}, False, False, "v1.6.0", None),
        ({"kubevirt": True}, True, False, None, None),
    ],
)
def test_what_does_not_go_together(
    tmp_path: Path,
    extra: dict[str, object],
    wanted: bool,
    existing: bool,
    version: str | None,
    text: str | None,
) -> None:
    def ask() -> None:
        kubevirt_processes.refuse_other_mode(
            remembered(tmp_path, **extra),
            wanted=wanted,
            existing=tmp_path / "theirs" if existing else None,
            version=version,
        )

    if text is None:
        ask()
        return
    with pytest.raises(SandboxError, match=text):
        ask()
