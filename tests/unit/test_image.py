"""The Dockerfile and what builds it, without building it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tools.image import debian, engines

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
BASE = ROOT / "deploy" / "kustomize" / "base"
# What the Dockerfile takes out of the client's package.
REMOVED = ("kubernetes.client", "kubernetes.aio.client.api")
# Imports every module of nicplug as its programs do, where the removed ones are not to be had.
IMPORTS = """\
import importlib, pkgutil, sys
from importlib.abc import MetaPathFinder
from nicplug.cli.imports import leave_out_synchronous_client

class Removed(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name in sys.argv[1:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Removed())
leave_out_synchronous_client()
import nicplug
names = [found.name for found in pkgutil.walk_packages(nicplug.__path__, "nicplug.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""


def argument(name: str) -> str:
    """Default of an ARG."""
    match = re.search(rf"^ARG {name}=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert match is not None, name
    return match[1]


@pytest.mark.parametrize("name", ["BUILDER", "BASE"])
def test_base_images_are_pinned_by_tag_and_digest(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9./-]+:[\w.-]+@sha256:[0-9a-f]{64}", argument(name))


def test_both_bases_and_those_from_debian_have_one_python() -> None:
    """What is compiled for one Python does not run in another."""
    assert f"python:{debian.PYTHON}-slim-{debian.SUITE}@" in argument("BUILDER")
    assert "/python3-debian13:" in argument("BASE")
    assert (debian.SUITE, debian.PYTHON) == ("trixie", "3.13")


def test_nothing_runs_in_the_last_stage() -> None:
    """It has no shell; and what does not run there needs no emulation for another architecture."""
    last = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert "\nFROM ${BASE}\n" in last
    assert not re.search(r"^(RUN|ADD|SHELL)\b", last, re.MULTILINE)


@pytest.mark.parametrize("folder", ["operator", "api"])
def test_the_image_s_user_and_entry_point_are_those_of_the_deployment(folder: str) -> None:
    pod = yaml.safe_load((BASE / folder / "deployment.yaml").read_text())["spec"]["template"]["spec"]
    wanted = pod["securityContext"]
    assert f"\nUSER {wanted['runAsUser']}:{wanted['runAsGroup']}\n" in DOCKERFILE
    (container,) = pod["containers"]
    assert "command" not in container
    ports = {str(port["containerPort"]) for port in container["ports"]}
    (exposed,) = re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)
    assert ports <= set(exposed.split())


def test_nicplug_needs_nothing_that_is_taken_out() -> None:
    for name in REMOVED:
        assert f" /app/lib/{name.replace('.', '/')}" in DOCKERFILE
    command = [sys.executable, "-c", IMPORTS, *REMOVED]
    done = subprocess.run(command, cwd=ROOT / "operator", capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 200


def test_a_command_imported_the_synchronous_client() -> None:
    """The image has none, so every command has to do without; seen with `nicplug add`."""
    program = (
        "import sys; sys.argv = ['nicplug', '--help']\n"
        "from nicplug.entry import nicplug\n"
        "try:\n    nicplug()\nexcept SystemExit:\n    pass\n"
        "import nicplug.kube.aio\nprint([name for name in sys.modules if name.startswith('kubernetes.client')])"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT / "operator", capture_output=True, text=True, timeout=100, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("uid", "there", "said"),
    [
        (1000, {"buildah", "mmdebstrap"}, "it needs root"),
        (0, {"buildah"}, "no mmdebstrap; on Debian: apt-get install --no-install-recommends buildah mmdebstrap"),
        (0, {"buildah", "mmdebstrap"}, ""),
    ],
    ids=["not root", "a package is missing", "everything is there"],
)
def test_what_buildah_lacks_is_said_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, uid: int, there: set[str], said: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: uid)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}" if name in there else None)
    found = engines.buildah_missing()
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_the_context_has_only_what_the_dockerfile_copies() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    included = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)
    assert included == set(copied)
