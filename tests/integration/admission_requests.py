"""Requests of an admin, a user or an account of nicplug's about objects that have rules, and what is answered."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.admission.machines import CONFIGURATION
from tests.admission.row import Json, Kind, Row, manifest
from tests.admission.rules import ROWS
from tests.integration.kubectl import Kubectl, install_crds
from tests.integration.rules import POLICIES, install_policies
from tests.integration.user import MIGRATION, VM, VMI, User
from tests.integration.waiting import until

from nicplug_sandbox.controlplane import ControlPlane

PLURALS = {Kind.VM: VM, Kind.VMI: VMI, Kind.VMIM: MIGRATION}
GATED = [row for row in ROWS if row.policy == CONFIGURATION]
STATUS = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}


@contextmanager
def enforced(control_plane: ControlPlane) -> Iterator[User]:
    """The cluster with CRDs and policies, and no KubeVirt object: an admin in a namespace of its own.

    By plain requests: a kubectl for each would cost a minute of CPU.
    """
    install_crds(control_plane.kubeconfig)
    install_policies(control_plane.kubeconfig)
    # The KubeVirt object of another module may be remembered for a moment.
    admin = User(kubeconfig=control_plane.kubeconfig, namespace="default")
    until(lambda: all(created(admin, kind, row)[0] == 201 for row in GATED for kind in row.kinds))
    found = User(kubeconfig=control_plane.kubeconfig, namespace=f"changes-{uuid.uuid4().hex[:8]}")
    found.create("namespaces", {"metadata": {"name": found.namespace}})
    yield found
    Kubectl(kubeconfig=control_plane.kubeconfig)("delete", "-k", POLICIES)


def created(user: User, kind: Kind, row: Row) -> tuple[int, Json]:
    """What the API server says to the refused example; nothing is stored."""
    return user.request("POST", user.path(PLURALS[kind]) + "?dryRun=All", manifest(row, kind, row.refused))


def acting(user: User, account: str) -> User:
    """The same as one of nicplug's accounts, with the rights of an admin."""
    groups = ("system:masters",)
    return User(kubeconfig=user.kubeconfig, namespace=user.namespace, acts_as=account, groups=groups)


def spec_path(kind: Kind) -> str:
    return "/spec/template/spec" if kind is Kind.VM else "/spec"


def answer(
    user: User, kind: Kind, name: str, patch: Any, *, status: bool = False, dry: bool = False
) -> tuple[int, str]:
    """Code and message of a merge or JSON patch."""
    code, body = changed(user, kind, name, patch, status=status, dry=dry)
    return code, str(body.get("message", ""))


def changed(
    user: User, kind: Kind, name: str, patch: Any, *, status: bool = False, dry: bool = False
) -> tuple[int, Json]:
    form = "json-patch" if isinstance(patch, list) else "merge-patch"
    path = user.path(PLURALS[kind], name, status=status) + "?dryRun=All" * dry
    return user.request("PATCH", path, patch, content_type=f"application/{form}+json")


def patched(user: User, kind: Kind, name: str, patch: Any, *, status: bool = False, dry: bool = False) -> Json:
    """An object after a patch."""
    code, body = changed(user, kind, name, patch, status=status, dry=dry)
    assert code == 200, str(body.get("message"))[-1500:]
    return body


def refused(user: User, kind: Kind, name: str, patch: Any) -> str:
    """The message of a patch that must be refused."""
    code, message = answer(user, kind, name, patch, dry=True)
    assert code == 422, message
    return message
