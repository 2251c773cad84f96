"""Running the Go compiler: what is said while it works, and what when it fails."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from nicplug_sandbox import compile, toolchain
from nicplug_sandbox.errors import SandboxError
from nicplug_sandbox.go_programs import CONTROL_PLANE, HELM, PROGRAMS, GoProgram
from nicplug_sandbox.toolchain import Toolchain, environment


def fake_go(tmp_path: Path, *, listing: str = "", build: str = "", code: int = 0) -> Toolchain:
    """A `go` with the given answers to `go list` and `go build -v`."""
    (tmp_path / "listing").write_text(listing)
    (tmp_path / "build").write_text(build)
    (tmp_path / "folders").write_text(
        json.dumps({"GOCACHE": str(tmp_path / "objects"), "GOMODCACHE": str(tmp_path / "mod")})
    )
    program = tmp_path / "go"
    program.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = env ]; then cat {tmp_path}/folders; exit 0; fi\n'
        f'if [ "$1" = list ]; then cat {tmp_path}/listing; exit 0; fi\n'
        f"cat {tmp_path}/build >&2; exit {code}\n"
    )
    program.chmod(0o755)
    return Toolchain(go=program, version="1.26.0")


@pytest.fixture
def sources(tmp_path: Path) -> str:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.go").write_text("x" * 100)
    rows = [f"true\tmodule/{name}\t{tmp_path}\t{name}.go" for name in ("a", "b")]
    return "\n".join([*rows, f"false\tmodule/c\t{tmp_path}\tc.go", ""])


def test_only_what_the_cache_lacks_is_announced(tmp_path: Path, sources: str) -> None:
    said: list[str] = []
    go = fake_go(tmp_path, listing=sources, build="module/a\nmodule/b\n")
    compile.build(program=CONTROL_PLANE, toolchain=go, output=tmp_path / "out", progress=said.append)
    assert said[0].startswith("compiling 2 packages of the control plane with Go 1.26.0, roughly ")
    assert said[-1].startswith("built the control plane in ")


def test_a_compiler_error_is_shown_without_the_package_names(tmp_path: Path, sources: str) -> None:
    output = "module/a\nmodule/b\n# module/b\n./b.go:1:1: syntax error: non-declaration statement\n"
    go = fake_go(tmp_path, listing=sources, build=output, code=1)
    with pytest.raises(SandboxError, match="could not build") as caught:
        compile.build(program=CONTROL_PLANE, toolchain=go, output=tmp_path / "out", progress=lambda _: None)
    assert caught.value.detail == "# module/b\n./b.go:1:1: syntax error: non-declaration statement"


def test_a_full_disk_is_named(tmp_path: Path, sources: str) -> None:
    go = fake_go(tmp_path, listing=sources, build="write /tmp/x: no space left on device\n", code=1)
    with pytest.raises(SandboxError, match="the disk is full"):
        compile.build(program=CONTROL_PLANE, toolchain=go, output=tmp_path / "out", progress=lambda _: None)


@pytest.mark.parametrize(
    ("free_gib", "compiled_before", "needs", "variable"),
    [(0.1, False, "0.7", "GOMODCACHE"), (1.0, False, r"2\.0 GiB", "GOCACHE"), (1.0, True, None, "")],
    ids=["no space for modules", "no space for objects", "nearly all is there"],
)
def test_space_is_asked_for_what_is_still_missing(
    free_gib: float,
    compiled_before: bool,
    needs: str | None,
    variable: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (tmp_path / "big.go").open("w") as big:
        big.truncate(2**26)  # sparse: 64 MiB of source need two GiB of objects
    stale = "false" if compiled_before else "true"
    go = fake_go(tmp_path, listing=f"{stale}\tmodule/big\t{tmp_path}\tbig.go\n")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free_gib * 2**30))
    said: list[str] = []
    if needs is None:
        (tmp_path / "mod" / "k8s.io" / f"kubernetes@{CONTROL_PLANE.version}").mkdir(parents=True)
        compile.build(program=CONTROL_PLANE, toolchain=go, output=tmp_path / "out", progress=said.append)
        return
    with pytest.raises(SandboxError, match=f"needs {needs}") as caught:
        compile.build(program=CONTROL_PLANE, toolchain=go, output=tmp_path / "out", progress=said.append)
    assert variable in caught.value.remedy
    assert said == []


needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="no go on the PATH")


@needs_go
def test_offline_with_an_empty_module_cache_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    monkeypatch.setenv("GOCACHE", str(tmp_path / "objects"))
    go = Toolchain(go=Path(shutil.which("go") or ""), version="1.26.0")
    with pytest.raises(SandboxError, match="proxy cannot be reached") as caught:
        compile.build(program=CONTROL_PLANE, toolchain=go, output=tmp_path / "out", progress=lambda _: None)
    assert "KUBEBUILDER_ASSETS" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_the_server_is_stamped_with_the_pinned_release() -> None:
    version = CONTROL_PLANE.version
    assert f"\tk8s.io/api => k8s.io/api v0.{version.removeprefix('v1.')}\n" in go_mod(CONTROL_PLANE)
    flags = " ".join(compile._flags(CONTROL_PLANE))
    assert f"-X k8s.io/component-base/version.gitVersion={version} " in flags
    assert f"-X k8s.io/client-go/pkg/version.gitVersion={version} " in flags


def test_helm_took_every_cluster_for_kubernetes_1_20() -> None:
    """Offline, for `kubeVersion` of a chart."""
    minor = CONTROL_PLANE.version.split(".")[1]
    flags = " ".join(compile._flags(HELM))
    assert f"-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor={minor}" in flags
    assert f"-X helm.sh/helm/v3/internal/version.version={HELM.version} " in flags


def go_mod(program: GoProgram) -> str:
    return (program.folder / "go.mod").read_text()


def test_helm_shares_what_the_control_plane_has_compiled() -> None:
    """Of another patch release of client-go, a thousand packages would be compiled twice."""
    staging = set(re.findall(r"^\tk8s\.io/\S+ => k8s\.io/\S+ (v0\S+)$", go_mod(CONTROL_PLANE), re.MULTILINE))
    assert {HELM.version_of(f"k8s.io/{name}") for name in ("api", "apimachinery", "client-go")} == staging


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=list(PROGRAMS))
def test_the_pinned_go_builds_every_program(program: GoProgram) -> None:
    line = re.search(r"^go (\S+)$", go_mod(program), re.MULTILINE)
    assert line is not None
    assert toolchain._parse(line[1]) <= toolchain.required_version()


@needs_go
def test_sources_are_formatted() -> None:
    gofmt = Path(os.path.realpath(shutil.which("go") or "")).with_name("gofmt")
    folder = CONTROL_PLANE.folder
    unformatted = subprocess.run([gofmt, "-l", "."], cwd=folder, capture_output=True, text=True, check=True)
    assert unformatted.stdout == ""


@needs_go
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=list(PROGRAMS))
def test_the_pins_can_be_read(program: GoProgram) -> None:
    command, settings = ["go", "mod", "edit", "-json"], environment()
    pins = subprocess.run(command, cwd=program.folder, env=settings, capture_output=True, text=True, check=True)
    assert f'"{program.release}"' in pins.stdout
