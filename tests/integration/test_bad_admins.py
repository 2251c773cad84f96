"""What an admin gets wrong around a running installation: a kubeconfig that may only read, a namespace that goes."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import Sandbox, a_user
from tests.integration.kubectl import Kubectl
from tests.integration.read_only import READER, reading_only
from tests.integration.user import POD, VM, VMI, User
from tests.integration.waiting import until
from tests.manifests import plug, vm

from nicplug_sandbox.operator_process import start_operator, stop_operator


@pytest.fixture
def kubectl(sandbox: Sandbox) -> Kubectl:
    """As cluster admin."""
    return Kubectl(kubeconfig=sandbox.admin)


@pytest.fixture
def read_only(sandbox: Sandbox) -> Iterator[Path]:
    """The kubeconfig of somebody who may look at everything, and change nothing."""
    with reading_only(sandbox) as found:
        yield found


def lines(log: Path, event: str) -> list[dict[str, Any]]:
    """Those of a log with that message."""
    found = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    return [line for line in found if line["event"] == event]


def test_an_operator_with_a_kubeconfig_that_may_only_read_says_so_and_changes_nothing(
    user: User, sandbox: Sandbox, read_only: Path
) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    sandbox.stop()
    reader = start_operator(directory=sandbox.directory, kubeconfig=read_only, name=READER)
    try:
        user.change(VM, "a", plug("blue"))
        (line, *_) = until(lambda: lines(reader.log, "lease not written"))
        assert 'cannot update resource "leases"' in line["error"]
        assert "nicplug's manifests" in line["error"]
        assert reader.metric("nicplug_leader") == 0
        assert user.record("a", "blue") == {}
    finally:
        stop_operator(reader)
        sandbox.start()
    user.until_ready("a", "blue")


@pytest.mark.refused_calls(reason="a namespace that is being deleted takes no new objects")
@pytest.mark.usefixtures("unharmed")
def test_a_namespace_that_is_deleted_under_the_operator_ends_with_all_its_guests(
    user: User, sandbox: Sandbox, kubectl: Kubectl
) -> None:
    # A registration that nobody serves, of another test, would hold it up.
    versions = [f"{version}.subresources.kubevirt.io" for version in ("v1", "v1alpha3")]
    kubectl("delete", "apiservice", *versions, "--ignore-not-found")
    for name in ("a", "b"):
        user.create(VM, vm(name))
    for name in ("a", "b"):
        user.until_running(name)
    user.change(VM, "a", plug("blue"))
    kubectl("delete", "namespace", user.namespace, "--wait=false")
    gone = partial(kubectl.run, "get", "namespace", user.namespace, "--ignore-not-found", "-o", "name")
    until(lambda: gone().stdout == "", seconds=90)
    assert not [name for name in sandbox.guests() if name.startswith(f"{user.namespace}/")]
    other = a_user(sandbox)
    other.create(VM, vm("a"))
    other.until_running("a")
    assert len(other.items(POD)) == len(other.items(VMI)) == 1
