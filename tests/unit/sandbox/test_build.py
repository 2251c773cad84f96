"""Where the programs come from: KUBEBUILDER_ASSETS, the cache, or one build for all clones."""

import shutil
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nicplug_sandbox import build, compile, toolchain
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.go_programs import CONTROL_PLANE, GoProgram
from nicplug_sandbox.toolchain import Toolchain


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NICPLUG_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv(build.ASSETS, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Toolchain:
    """A toolchain that is not needed: the compiler is replaced in these tests."""
    program = tmp_path / "go"
    found = Toolchain(go=program, version="1.26.0")
    monkeypatch.setattr(toolchain, "find", lambda *, progress: found)
    return found


def executables(directory: Path, *names: str) -> Path:
    directory.mkdir()
    for name in names:
        (directory / name).write_text("#!/bin/sh\n")
        (directory / name).chmod(0o755)
    return directory


class TestAssets:
    def test_complete_set_is_used_as_it_is(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        names = ("etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager")
        directory = executables(tmp_path / "assets", *names)
        monkeypatch.setenv(build.ASSETS, str(directory))
        programs = build.resolve(progress=pytest.fail)
        assert programs.apiserver == (str(directory / "kube-apiserver"),)
        assert programs.controllers == (str(directory / "kube-controller-manager"),)
        assert programs.upstream_controllers

    def test_what_envtest_lacks_is_ours(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        directory = executables(tmp_path / "assets", "etcd", "kube-apiserver", "kubectl")
        monkeypatch.setenv(build.ASSETS, str(directory))
        monkeypatch.setattr(build, "binary", lambda program, *, progress: Path("/cache/ours"))
        programs = build.resolve(progress=pytest.fail)
        assert programs.etcd == (str(directory / "etcd"),)
        assert programs.scheduler == ("/cache/ours", "kube-scheduler")
        assert programs.controllers == ("/cache/ours", "kube-controllers")
        assert not programs.upstream_controllers

    def test_missing_program_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(build.ASSETS, str(executables(tmp_path / "assets", "etcd")))
        with pytest.raises(SandboxError, match="no executable kube-apiserver") as caught:
            build.resolve(progress=pytest.fail)
        assert build.ASSETS in caught.value.remedy


class TestKey:
    @pytest.fixture
    def copied(self, tmp_path: Path) -> GoProgram:
        """The control plane of another clone."""
        copy = tmp_path / "go-module"
        shutil.copytree(CONTROL_PLANE.folder, copy)
        return replace(CONTROL_PLANE, folder=copy)

    def test_the_same_sources_in_another_clone_share_the_binary(self, copied: GoProgram) -> None:
        assert build.binary_path(copied) == build.binary_path(CONTROL_PLANE)

    @pytest.mark.parametrize("name", ["go.mod", "go.sum", "main.go", "registry.go"])
    def test_every_source_counts(self, copied: GoProgram, name: str) -> None:
        with (copied.folder / name).open("a") as source:
            source.write("\n")
        assert build.key(copied) != build.key(CONTROL_PLANE)

    def test_an_added_file_counts(self, copied: GoProgram) -> None:
        (copied.folder / "added.go").write_text("package main\n")
        assert build.key(copied) != build.key(CONTROL_PLANE)

    def test_another_helm_leaves_the_control_plane_as_it_is(self, copied: GoProgram) -> None:
        with (copied.folder / "helm" / "go.mod").open("a") as pins:
            pins.write("\n")
        assert build.key(copied) == build.key(CONTROL_PLANE)


class TestBuild:
    def test_two_clones_at_once_build_once(self, go: Toolchain, monkeypatch: pytest.MonkeyPatch) -> None:
        builds: list[Path] = []
        compiling, finish, waiting = threading.Event(), threading.Event(), threading.Event()

        def slow(*, output: Path, **_: Any) -> None:
            builds.append(output)
            compiling.set()
            assert finish.wait(10)
            output.write_text("binary")

        monkeypatch.setattr(compile, "build", slow)
        found: list[Path] = []
        heard: list[str] = []

        def hear(message: str) -> None:
            heard.append(message)
            waiting.set()

        first = threading.Thread(target=lambda: found.append(build.binary(CONTROL_PLANE, progress=lambda _: None)))
        second = threading.Thread(target=lambda: found.append(build.binary(CONTROL_PLANE, progress=hear)))
        first.start()
        assert compiling.wait(10)
        second.start()
        assert waiting.wait(10)
        assert not found
        finish.set()
        first.join(10)
        second.join(10)
        assert found == [build.binary_path(CONTROL_PLANE)] * 2
        assert found[0].read_text() == "binary"
        assert len(builds) == 1
        assert heard == ["another clone is building the control plane too; waiting for it"]

    def test_a_failed_build_leaves_nothing_that_looks_like_one(
        self, go: Toolchain, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*, output: Path, **_: Any) -> None:
            output.write_text("half a bina")
            raise SandboxError("the Go compiler could not build the control plane")

        monkeypatch.setattr(compile, "build", broken)
        with pytest.raises(SandboxError):
            build.binary(CONTROL_PLANE, progress=lambda _: None)
        assert not build.binary_path(CONTROL_PLANE).exists()
        assert not list(build.binary_path(CONTROL_PLANE).parent.glob(".building-*"))
        monkeypatch.setattr(compile, "build", lambda *, output, **_: output.write_text("binary"))
        assert build.binary(CONTROL_PLANE, progress=lambda _: None).read_text() == "binary"

    def test_a_full_disk_is_refused_before_the_work(self, go: Toolchain, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**27))
        monkeypatch.setattr(compile, "build", lambda **_: pytest.fail("must not start"))
        with pytest.raises(SandboxError, match=r"0\.1 GiB free; building the control plane needs 0\.3 GiB") as caught:
            build.binary(CONTROL_PLANE, progress=lambda _: None)
        assert "NICPLUG_CACHE_DIR" in caught.value.remedy
