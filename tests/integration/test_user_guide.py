"""Every block of commands of the user guide, the operations pages and the runbooks, as somebody types them.

docs/install.md has a test of its own, as each way to install needs a cluster without nicplug (tests/install).
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import yaml
from tests.guide import Block, command_blocks
from tests.integration.reader import Reader, reading
from tests.integration.user import Json
from tests.slow import slow

from nicplug.apiserver.self_signed import issue
from nicplug_sandbox.operator_process import ROOT

pytestmark = slow
DOCS = ROOT / "docs"
METRICS_SERVICE = "nicplug-metrics.nicplug-system.svc"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """In a sandbox of this file's own: the pages change what all of it depends on."""
    with reading(tmp_path_factory.mktemp("reader") / "sandbox") as somebody:
        yield somebody


def blocks(page: str) -> list[Block]:
    return command_blocks((DOCS / page).read_text())


@pytest.mark.timeout(600)
def test_every_block_of_the_user_guide_runs(reader: Reader) -> None:
    reader.read(blocks("user-guide.md"))


@pytest.fixture
def with_a_vm(reader: Reader) -> None:
    """That of the user guide, also for those who begin with another page."""
    paths = " ".join(f"-f examples/{name}.yaml" for name in ("kubevirt", "network-attachment-definition", "vm-fedora"))
    reader.read([Block(line=0, commands=f"kubectl apply {paths}")])


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("with_a_vm")
def test_every_block_of_troubleshooting_runs(reader: Reader) -> None:
    reader.read(blocks("troubleshooting.md"))


@pytest.fixture
def with_deployments(reader: Reader) -> Iterator[None]:
    """Runbooks look at them; in a sandbox operator and API are processes, and the pods of these run nothing."""
    files = "-f deploy/kustomize/base/operator/deployment.yaml -f deploy/kustomize/base/api/deployment.yaml"
    reader.read([Block(line=0, commands=f"kubectl apply {files}")])
    yield
    reader.read([Block(line=0, commands=f"kubectl delete --now {files}")])


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("with_a_vm", "with_deployments")
def test_every_block_of_the_runbooks_runs(reader: Reader) -> None:
    """Each command once: many pages have the same, and some are those of troubleshooting, which has run."""
    typed = {command for block in blocks("troubleshooting.md") for command, _ in lines(block)}
    found = []
    for path in sorted((DOCS / "runbooks").glob("*.md")):
        new = {command: line for block in blocks(f"runbooks/{path.name}") for command, line in lines(block)}
        if left := [line for command, line in new.items() if command not in typed]:
            found.append(Block(line=0, commands="\n".join([f"# {path.name}", *left])))
        typed |= new.keys()
    reader.read(found)


def lines(block: Block) -> list[tuple[str, str]]:
    """Each command without its comment, and as it stands there."""
    return [(re.sub(r"(\s|^)#.*", "", line), line) for line in block.commands.splitlines()]


@pytest.fixture
def with_prometheus_operator(reader: Reader) -> None:
    """Its CRDs, without its schemas: what is installed is read by tests/unit/test_monitoring.py."""
    crds = [crd_of_monitoring(kind) for kind in ("PodMonitor", "PrometheusRule")]
    (reader.folder / "monitoring-crds.yaml").write_text(yaml.safe_dump_all(crds))
    wait = "kubectl wait --for=condition=Established --timeout=30s -f monitoring-crds.yaml"
    reader.read([Block(line=0, commands=f"kubectl apply -f monitoring-crds.yaml\n{wait}")])


def crd_of_monitoring(kind: str) -> Json:
    group, plural = "monitoring.coreos.com", f"{kind.lower()}s"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("with_a_vm", "with_prometheus_operator")
def test_every_block_of_operations_runs(reader: Reader) -> None:
    """The last section is the first of the page: the manifests have Deployments where a sandbox has processes."""
    monitoring, drain_and_uninstall = (DOCS / "operations.md").read_text().split("\n## Drain\n")
    reader.read(command_blocks(drain_and_uninstall))
    made = issue(names=(METRICS_SERVICE,), now=datetime.now(UTC))
    files = {"tls.crt": made.pair.certificate, "tls.key": made.pair.key, "ca.crt": made.authorities}
    for name, content in files.items():
        (reader.folder / name).write_bytes(content)
    reader.read(command_blocks(monitoring))
