"""Which control plane a sandbox is made of."""

import difflib

import pytest

from nicplug_sandbox import build, compile
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.go_programs import CONTROL_PLANE, KUBERNETES, control_plane

NEWEST = ".".join(CONTROL_PLANE.version.removeprefix("v").split(".")[:2])


@pytest.mark.parametrize(("wanted", "minor"), [("", NEWEST), (NEWEST, NEWEST), ("1.31", "1.31")])
def test_a_minor_version_is_chosen_by_a_variable(monkeypatch: pytest.MonkeyPatch, wanted: str, minor: str) -> None:
    monkeypatch.setenv(KUBERNETES, wanted)
    assert control_plane().version.startswith(f"v{minor}.")
    assert (control_plane() == CONTROL_PLANE) == (minor == NEWEST)


def test_an_older_one_has_pins_and_a_cache_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KUBERNETES, "1.31")
    older = control_plane()
    assert [source.name for source in older.sources] == [source.name for source in CONTROL_PLANE.sources]
    assert build.binary_path(older) != build.binary_path(CONTROL_PLANE)
    assert f"gitVersion={older.version}" in " ".join(compile._flags(older))


def test_its_sources_differ_in_the_calls_that_kubernetes_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that is added to one of them belongs into the other."""
    monkeypatch.setenv(KUBERNETES, "1.31")
    changed: dict[str, int] = {}
    for newest, oldest in zip(CONTROL_PLANE.sources[2:], control_plane().sources[2:], strict=True):
        lines = difflib.ndiff(newest.read_text().splitlines(), oldest.read_text().splitlines())
        changed[newest.name] = len([line for line in lines if line.startswith(("+", "-"))])
    assert {name for name, count in changed.items() if count} == {"registry.go"}
    assert changed["registry.go"] == 16


def test_one_that_cannot_be_built_is_refused_with_those_that_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KUBERNETES, "1.29")
    with pytest.raises(SandboxError, match=r"NICPLUG_SANDBOX_KUBERNETES is '1\.29'") as caught:
        control_plane()
    assert caught.value.remedy == f"Set it to one of 1.31, {NEWEST}, or unset it."
