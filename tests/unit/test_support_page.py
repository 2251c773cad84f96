"""docs/support.md and docs/capability-levels.md: versions are those of the pins, tests that are named exist."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from tests.e2e.conftest import KIND_VERSION
from tests.e2e.node_networks import DYNAMIC_NETWORKS_CONTROLLER, MULTUS

ROOT = Path(__file__).parents[2]
SUPPORT = (ROOT / "docs" / "support.md").read_text()
LEVELS = (ROOT / "docs" / "capability-levels.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def row(of: str) -> str:
    """The line of a table whose first cells are these."""
    (found,) = (line for line in SUPPORT.splitlines() if line.startswith(of))
    return found


def module_version(name: str, *, of: str = "") -> str:
    """As pinned for the sandbox's control plane.

    Args:
        of: the folder of an older one.
    """
    text = (ROOT / "sandbox" / "nicplug_sandbox" / "go" / of / "go.mod").read_text()
    (found,) = re.findall(rf"^\t{re.escape(name)} v([\d.]+)$", text, re.MULTILINE)
    return str(found)


def control_plane(*, of: str = "") -> tuple[str, str]:
    """The minor version, and the sentence that names it."""
    kubernetes, etcd = (module_version(name, of=of) for name in ("k8s.io/kubernetes", "go.etcd.io/etcd/server/v3"))
    return kubernetes.rpartition(".")[0], f"Kubernetes {kubernetes} with etcd {etcd}"


def test_the_newest_kubernetes_is_the_sandbox_s() -> None:
    minor, named = control_plane()
    assert named in row(f"| {minor} | tested as a whole |")


def test_the_oldest_kubernetes_is_the_chart_s() -> None:
    chart = yaml.safe_load((ROOT / "deploy" / "helm" / "nicplug" / "Chart.yaml").read_text())
    oldest = re.fullmatch(r">=1\.(\d+)\.0-0", chart["kubeVersion"])
    assert oldest is not None
    newest = int(module_version("k8s.io/kubernetes").split(".")[1])
    minor, named = control_plane(of=f"kubernetes-1.{oldest[1]}")
    assert f"{named}: `make compat-test`" in row(f"| {minor} | tested")
    assert f"@NICPLUG_SANDBOX_KUBERNETES={minor} NICPLUG_TEST_INSTALL=1 $(run) -m pytest" in MAKEFILE
    assert row(f"| 1.{int(oldest[1]) + 1} to 1.{newest - 1} | supported, not run")
    assert row(f"| 1.{int(oldest[1]) - 1} and older | refused")


def test_what_runs_on_the_oldest_kubernetes_is_what_the_target_runs() -> None:
    listed = re.search(r"^compat_tests = .*?\.py,(.*?)\)\)$", MAKEFILE, re.MULTILINE | re.DOTALL)
    assert listed is not None
    recipe = MAKEFILE.split("\ncompat-test:")[1].split("\n\n")[0]
    names = [*(f"test_{name}.py" for name in listed[1].replace("\\\n", " ").split())]
    names += re.findall(r"tests/install/test_\w+\.py", recipe)
    _, section = SUPPORT.split("### What is tested on the oldest Kubernetes\n")
    told = re.findall(r"`((?:tests/install/)?test_\w+\.py)`", section.split("\n## ")[0])
    assert sorted(told) == sorted(names)
    assert [name for name in names if not any(ROOT.glob(f"tests/**/{name.rpartition('/')[2]}"))] == []


def test_every_target_of_a_kubernetes_row_starts_a_control_plane_of_that_version() -> None:
    """Those of the newest one do not name another, and the other way round."""
    for line in (line for line in SUPPORT.splitlines() if re.match(r"\| 1\.\d+ \| tested", line)):
        for target in re.findall(r"`make ([\w-]+)`", line):
            recipe = MAKEFILE.split(f"\n{target}:")[1].split("\n\n")[0]
            assert ("NICPLUG_SANDBOX_KUBERNETES" in recipe) == (target == "compat-test"), target


def test_networks_are_those_of_the_end_to_end_test() -> None:
    for pinned in (MULTUS, DYNAMIC_NETWORKS_CONTROLLER):
        (commit,) = re.findall(r"/([0-9a-f]{40})/", pinned.url)
        assert f"commit `{commit[:7]}`" in SUPPORT
    assert f"kind {KIND_VERSION}" in SUPPORT


def test_python_is_that_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"| Python | {project['requires-python'].removeprefix('>=')} or newer |" in row("| Python |")


def test_only_one_version_of_the_api_is_served() -> None:
    for path in (ROOT / "crds").glob("virtual*.yaml"):
        versions = yaml.safe_load(path.read_text())["spec"]["versions"]
        assert [item["name"] for item in versions] == ["v1"]


@pytest.mark.parametrize("page", [SUPPORT, LEVELS], ids=["support", "levels"])
def test_what_proves_it_exists(page: str) -> None:
    files = {match.rpartition("/")[2] for match in re.findall(r"`((?:tests/)?[\w/]*test_\w+\.py)`", page)}
    assert files
    known = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert files <= known
    targets = set(re.findall(r"`make ([\w-]+)`", page))
    assert targets <= set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))


def test_the_level_is_the_last_of_those_that_are_complete() -> None:
    states = re.findall(r"^## (\d) .+: (complete|nearly complete|in part)$", LEVELS, re.MULTILINE)
    assert [number for number, _ in states] == ["1", "2", "3", "4", "5"]
    complete = [int(number) for number, state in states if state == "complete"]
    assert f"**level {max(complete)}," in LEVELS
    assert complete == list(range(1, len(complete) + 1))


def test_artifact_hub_shows_the_level_of_the_page() -> None:
    (level,) = re.findall(r"\*\*level \d, ([\w ]+)\*\*", LEVELS)
    chart = yaml.safe_load((ROOT / "deploy" / "helm" / "nicplug" / "Chart.yaml").read_text())
    assert chart["annotations"]["artifacthub.io/operatorCapabilities"] == level
