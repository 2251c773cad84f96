"""Everything that outlives a command lies in one folder, for the bootstrap and for the sandbox alike."""

import importlib.util
from pathlib import Path

import pytest

from nicplug_sandbox.cache import cache_directory, default_sandbox_directory

ROOT = Path(__file__).parents[3]


def bootstrap_cache_directory() -> Path:
    spec = importlib.util.spec_from_file_location("environment", ROOT / "tools" / "environment.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    directory: Path = module.cache_directory()
    return directory


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"NICPLUG_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, Path("/a")),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, Path("/b/nicplug")),
        ({"HOME": "/c"}, Path("/c/.cache/nicplug")),
    ],
)
def test_same_rule_as_the_bootstrap(variables: dict[str, str], expected: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NICPLUG_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_directory() == bootstrap_cache_directory() == expected


def test_two_working_directories_have_two_sandboxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for directory in (first, second):
        directory.mkdir()
    monkeypatch.chdir(first)
    of_first = default_sandbox_directory()
    assert default_sandbox_directory() == of_first
    monkeypatch.chdir(second)
    assert default_sandbox_directory() != of_first
