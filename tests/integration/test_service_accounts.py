"""VMs that ask for a ServiceAccount, with the fences up: what their owners are told, and what their pods get."""

from pathlib import Path

import pytest
from tests.integration.conftest import Sandbox
from tests.integration.kubectl import Kubectl
from tests.integration.user import VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import vmi

TOKEN = [{"name": "token", "serviceAccount": {"serviceAccountName": "ledger"}}]


def with_account(sandbox: Sandbox, user: User) -> Kubectl:
    user.create("serviceaccounts", {"metadata": {"name": "ledger"}})
    return Kubectl(kubeconfig=Path(sandbox.admin), namespace=user.namespace)


def guest(name: str) -> Json:
    body = vmi(name)
    body["spec"]["volumes"] = [*body["spec"].get("volumes", []), *TOKEN]
    return body


def test_a_vm_s_service_account_is_that_of_its_pod(sandbox: Sandbox, user: User, unharmed: None) -> None:
    """It was ignored: the guest found no token, and nobody said why."""
    kubectl = with_account(sandbox, user)
    kubectl(
        "create", "rolebinding", "nicplug-launcher-accounts", "--clusterrole=nicplug-launcher-accounts",
        "--serviceaccount=nicplug-system:nicplug-operator",
    )  # fmt: skip
    user.create(VMI, guest("bank"))
    user.until_running("bank")
    spec = user.pod_of("bank")["spec"]
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("ledger", True)
    assert any(volume["name"].startswith("kube-api-access-") for volume in spec["volumes"])


@pytest.mark.refused_calls(reason="the namespace has not given the right to run pods as its ServiceAccounts")
def test_without_the_right_its_owner_is_told_how_to_give_it(sandbox: Sandbox, user: User, unharmed: None) -> None:
    kubectl = with_account(sandbox, user)
    user.create(VMI, guest("bank"))
    row = until(lambda: user.condition("bank", "Synchronized"))
    assert f"kubectl -n {user.namespace} create rolebinding nicplug-launcher-accounts" in row["message"]
    assert user.pod_of("bank") == {}
    assert "nicplug-launcher-accounts" in until(lambda: kubectl("get", "events", "--field-selector", "type=Warning"))
