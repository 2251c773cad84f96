"""The CRDs as they were before they had rules: for objects that were stored then."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import yaml
from tests.admission.row import BOTH, Json, manifest
from tests.admission.rules import ROWS
from tests.integration.kubectl import ROOT, Kubectl, eventually

CRDS = [ROOT / "crds" / f"{plural}.yaml" for plural in ("virtualmachineinstances", "virtualmachines")]


def without_rules(node: Json) -> Json:
    """A schema as it was before there were rules, and bounds for them."""
    kept = {key: value for key, value in node.items() if key not in ("x-kubernetes-validations", "maxLength")}
    if "properties" in kept:
        kept["properties"] = {name: without_rules(child) for name, child in kept["properties"].items()}
    if "items" in kept:
        kept["items"] = without_rules(kept["items"])
    return kept


def earlier(path: Path) -> Json:
    """A CRD without its rules."""
    crd: Json = yaml.safe_load(path.read_text())
    schema = crd["spec"]["versions"][0]["schema"]
    schema["openAPIV3Schema"] = without_rules(schema["openAPIV3Schema"])
    return crd


@contextmanager
def lifted(admin: Kubectl) -> Iterator[None]:
    """No rules of the CRDs; afterwards they are back, and enforced."""
    row = next(row for row in ROWS if row.name == "name")
    probes = [manifest(row, kind, row.refused, suffix="-probe") for kind in BOTH]
    create = ("create", "--namespace=default", "--dry-run=server", "-f", "-")
    for crd in map(earlier, CRDS):
        admin("replace", "-f", "-", stdin=crd)
    for probe in probes:
        eventually(partial(admin.run, *create, stdin=probe))
    try:
        yield
    finally:
        for path in CRDS:
            admin("replace", "-f", path)
        for probe in probes:
            eventually(partial(refusal, admin, *create, stdin=probe, text="Network interface name"))


def refusal(kubectl: Kubectl, *arguments: str, stdin: Json, text: str) -> "subprocess.CompletedProcess[str]":
    """A command that counts as done once it is refused with this text."""
    done = kubectl.run(*arguments, stdin=stdin)
    return subprocess.CompletedProcess(done.args, int(text not in done.stderr), done.stdout, done.stderr)
