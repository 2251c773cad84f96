"""What a tenant does with nothing but a tenant's rights, and how little of it anybody else notices.

Asserts no time, which is the machine's; `make isolation` shows the figure.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import pytest
from tests.integration.conftest import Sandbox, a_user
from tests.integration.user import DAEMON_SET, VM, Json, User
from tests.integration.waiting import until
from tests.manifests import plug, vm

from nicplug.model.trusted_namespaces import DEFAULT_TRUSTED_NAMESPACES

FORGED = 60
SIDE_BY_SIDE = 4
NICS = ("blue", "red", "green", "white", "black")
# What the role `admin` of Kubernetes gives in a namespace, as far as it matters here.
RIGHTS = [
    {"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["*"]},
    {"apiGroups": [""], "resources": ["pods", "events"], "verbs": ["*"]},
]


@pytest.fixture
def tenant(sandbox: Sandbox) -> Iterator[User]:
    """Somebody with the rights of a tenant in a namespace of his own; what he made is taken away at the end."""
    admin = a_user(sandbox)
    admin.create("roles", {"metadata": {"name": "tenant"}, "rules": RIGHTS})
    group = "rbac.authorization.k8s.io"
    subject = {"kind": "User", "name": "mallory", "apiGroup": group}
    role = {"kind": "Role", "name": "tenant", "apiGroup": group}
    admin.create("rolebindings", {"metadata": {"name": "tenant"}, "subjects": [subject], "roleRef": role})
    mallory = User(kubeconfig=sandbox.admin, namespace=admin.namespace, acts_as="mallory")
    yield mallory
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(lambda item: mallory.delete(DAEMON_SET, item["metadata"]["name"]), mallory.items(DAEMON_SET)))
    until(lambda: not mallory.items("pods"), seconds=60)


def forged(number: int, *, node: str) -> Json:
    """A DaemonSet that is called like the dynamic networks controller, runs its image, and is not it."""
    labels = {"name": "dynamic-networks-controller", "number": str(number)}
    image = "ghcr.io/k8snetworkplumbingwg/multus-dynamic-networks-controller:forged"
    pod = {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": image}],
    }
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": f"dynamic-networks-controller-{number}"}, "spec": spec}


def seconds_until_plugged(user: User, name: str) -> float:
    """From the edit of the template until the guest has the NIC."""
    started = time.monotonic()
    user.change(VM, "a", plug(name))
    user.until_ready("a", name)
    return time.monotonic() - started


@pytest.mark.usefixtures("unharmed")
def test_sixty_daemon_sets_named_like_the_controller_keep_no_nic_of_another_namespace_waiting(
    user: User, tenant: User, sandbox: Sandbox
) -> None:
    """Each took one of 48 connections: every request timed out, the lead was lost, and no VM of the cluster ran."""
    operator = sandbox.operator
    assert operator is not None
    user.create(VM, vm("a"))
    user.until_running("a")
    node = (user.get("virtualmachineinstances", "a") or {})["status"]["nodeName"]
    before = operator.metric("nicplug_controller_watches")
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(lambda number: tenant.create(DAEMON_SET, forged(number, node=node)), range(FORGED)))
    until(lambda: _ready(tenant) == FORGED, seconds=120)

    taken = [seconds_until_plugged(user, name) for name in NICS]

    shown = ", ".join(f"{seconds * 1000:.0f}" for seconds in taken)
    print(f"with {FORGED} forged controllers a NIC took {median(taken) * 1000:.0f} ms (median of {shown})")
    assert [user.record("a", name)["path"] for name in NICS] == ["Dynamic"] * len(NICS)
    assert operator.metric("nicplug_leader") == 1
    assert operator.metric("nicplug_controller_watches") == before == len(DEFAULT_TRUSTED_NAMESPACES) + 1
    asked = [item for item in sandbox.operator_requests() if _namespace(item) == tenant.namespace]
    assert asked == [], "the operator does not even look"


def _ready(tenant: User) -> int:
    return sum(item["status"].get("numberReady") == 1 for item in tenant.items(DAEMON_SET))


def _namespace(entry: Json) -> str:
    return str((entry.get("objectRef") or {}).get("namespace", ""))
