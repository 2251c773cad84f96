"""Rights of the operator's account that only rare moments need: each with what happens then."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import KUBEVIRT, Sandbox
from tests.integration.evictions import BUDGETS, protected, until_protected
from tests.integration.kubectl import Kubectl, install_crds
from tests.integration.protected_metrics import COMPONENT, Scraped, certificate, protection
from tests.integration.user import VM, VMI, User
from tests.integration.waiting import until
from tests.manifests import vm, vmi

from nicplug_sandbox import nicplug_process, processes
from nicplug_sandbox.apply import apply_manifests
from nicplug_sandbox.controlplane import ControlPlane
from nicplug_sandbox.operator_process import ACCOUNT as ACCOUNT_FILES
from nicplug_sandbox.operator_process import BASE, NAMESPACE, spawn_operator

ACCOUNT = f"system:serviceaccount:{NAMESPACE}:nicplug-operator"
REVISIONS = "controllerrevisions"


@pytest.fixture
def account(control_plane: ControlPlane) -> Iterator[User]:
    """The operator's account, where admission enforces owner references."""
    install_crds(control_plane.kubeconfig)
    rights = [BASE / f"{name}.yaml" for name in (*ACCOUNT_FILES, "clusterrole", "operator/clusterrolebinding")]
    apply_manifests(kubeconfig=control_plane.kubeconfig, paths=rights)
    yield User(kubeconfig=control_plane.kubeconfig, namespace="default", acts_as=ACCOUNT)
    apply_manifests(kubeconfig=control_plane.kubeconfig, paths=rights)


def _finalizers_of(plural: str, kind: str) -> Any:
    resource = f"{plural}/finalizers"
    return pytest.param(kind, resource, marks=pytest.mark.uses_right("update", resource), id=plural)


@pytest.mark.parametrize(
    ("kind", "resource"), [_finalizers_of(VM, "VirtualMachine"), _finalizers_of(VMI, "VirtualMachineInstance")]
)
def test_what_has_an_owner_needs_the_right_to_update_its_finalizers(
    control_plane: ControlPlane, account: User, kind: str, resource: str
) -> None:
    """Admission asks for it where OwnerReferencesPermissionEnforcement is on: there is no request that shows it."""
    owner = {"apiVersion": "kubevirt.io/v1", "kind": kind, "name": "a", "uid": "1", "blockOwnerDeletion": True}
    body = vmi("a")
    body["metadata"]["ownerReferences"] = [{**owner, "controller": True}]

    def answer() -> tuple[int, str]:
        code, said = account.request("POST", f"{account.path(VMI)}?dryRun=All", body)
        return code, str(said.get("message", ""))

    until(lambda: answer()[0] == 201)
    kubectl = Kubectl(kubeconfig=control_plane.kubeconfig)
    role = kubectl.get("clusterrole", "nicplug-operator")
    for rule in role["rules"]:
        rule["resources"] = [name for name in rule["resources"] if name != resource]
    kubectl("replace", "--filename=-", stdin=role)
    until(lambda: answer()[0] == 403)
    assert "cannot set blockOwnerDeletion" in answer()[1]


@pytest.mark.usefixtures("unharmed")
def test_a_revision_that_a_former_leader_has_made_is_taken(user: User, sandbox: Sandbox) -> None:
    """It has died before it heard the answer, and the label by which revisions are watched is lost."""
    metadata = user.create(VM, vm("a", strategy="Halted"))["metadata"]
    generation = metadata["generation"] + 1
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "name": "a", "uid": metadata["uid"]}
    name = f"revision-start-vm-{metadata['uid']}-{generation}"
    made = user.create(
        REVISIONS,
        {
            "metadata": {"name": name, "ownerReferences": [{**owner, "controller": True}]},
            "data": {"spec": {"template": {}}},
            "revision": generation,
        },
    )
    user.merge(VM, "a", {"spec": {"runStrategy": "Always"}})
    user.until_running("a")
    assert [item["metadata"]["uid"] for item in user.items(REVISIONS)] == [made["metadata"]["uid"]]


@pytest.mark.usefixtures("unharmed")
def test_a_budget_that_has_lost_its_labels_gets_them_back(user: User) -> None:
    user.create(VMI, protected(vmi("a")))
    user.until_running("a")
    metadata = until_protected(user)["metadata"]
    user.merge(BUDGETS, metadata["name"], {"metadata": {"labels": None}})
    until(lambda: [item["metadata"].get("labels") for item in user.items(BUDGETS)] == [metadata["labels"]])
    assert user.items(BUDGETS)[0]["metadata"]["uid"] == metadata["uid"]


@pytest.fixture
def strategies(sandbox: Sandbox) -> Iterator[User]:
    """Whoever sets the evictionStrategy of the cluster; there is none at the end."""
    admin = sandbox.user("kubevirt")
    yield admin
    admin.merge("kubevirts", "kubevirt", {"spec": {"configuration": {"evictionStrategy": None}}})
    apply_manifests(kubeconfig=sandbox.admin, paths=[KUBEVIRT])


@pytest.mark.usefixtures("unharmed")
def test_a_guest_that_a_drain_may_end_has_no_budget_any_more(user: User, strategies: User) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    for strategy, count in (("LiveMigrate", 1), ("None", 0)):
        strategies.merge("kubevirts", "kubevirt", {"spec": {"configuration": {"evictionStrategy": strategy}}})
        until(lambda count=count: len(user.items(BUDGETS)) == count)  # type: ignore[misc]
    assert user.phase("a") == "Running"


def test_the_operator_asks_whose_a_scraper_s_token_is(sandbox: Sandbox, tmp_path: Path) -> None:
    """By a standby, which does nothing else."""
    rights = [COMPONENT / "reviewer.yaml", COMPONENT / "reader.yaml"]
    apply_manifests(kubeconfig=sandbox.admin, paths=rights)
    authority = certificate(tmp_path)
    process = spawn_operator(
        directory=sandbox.directory,
        kubeconfig=sandbox.account,
        name="protected",
        variables=protection("NICPLUG_", tmp_path),
    )
    try:
        ports = until(lambda: nicplug_process.ports_in(process.log))
        kubectl = Kubectl(kubeconfig=sandbox.admin, namespace=NAMESPACE)
        scraped = Scraped(ports["metrics_port"], authority, kubectl)
        # An account without a right on anything.
        kubectl("create", "serviceaccount", "nobody")
        binding = f"--serviceaccount={NAMESPACE}:nobody"
        assert until(lambda: scraped.get("/metrics", scraped.token("nobody"))[0]) == 403
        kubectl("create", "clusterrolebinding", "nobody", "--clusterrole=nicplug-metrics-reader", binding)
        until(lambda: "nicplug_leader 0.0" in scraped.get("/metrics", scraped.token("nobody"))[1], seconds=30)
    finally:
        processes.end([process], grace_seconds=8)
