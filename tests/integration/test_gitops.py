"""docs/gitops.md: its blocks of commands in their order, and what it says of appliers, tried with kubectl."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from tests.guide import command_blocks
from tests.integration.conftest import Sandbox
from tests.integration.kubectl import KUBECTL, ROOT, Kubectl
from tests.integration.user import VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import nad, network, nic, nics, unplug, vm

PAGE = ROOT / "docs" / "gitops.md"
EXAMPLES = ROOT / "examples" / "gitops"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SERVER_SIDE = "--server-side"
BLOCK_SECONDS = 90

pytestmark = pytest.mark.usefixtures("unharmed")


@pytest.fixture
def kubectl(sandbox: Sandbox, user: User) -> Kubectl:
    """In the namespace of the user."""
    return Kubectl(kubeconfig=sandbox.admin, namespace=user.namespace)


def manifest(*names: str, policy: str = "Declarative") -> Json:
    """A VM as it stands in Git."""
    body = vm("a", *names)
    body["metadata"]["annotations"] = {"nicplug.io/removal-policy": policy}
    return body


def part(*names: str, attachment: str = "lan") -> Json:
    """NICs of a VM whose other fields belong to somebody else."""
    spec = {
        "domain": {"devices": {"interfaces": [nic(name) for name in names]}},
        "networks": [network(name, attachment) for name in names],
    }
    return {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "a"}} | (
        {"spec": {"template": {"spec": spec}}} if names else {}
    )


def managed_by(manager: str) -> tuple[str, str]:
    return SERVER_SIDE, f"--field-manager={manager}"


def apply(kubectl: Kubectl, body: Json, *options: str) -> None:
    kubectl("apply", *options, "-f", "-", stdin=body)


def differs(kubectl: Kubectl, body: Json, *options: str) -> str:
    """What `kubectl diff` prints; "" when it is clean.

    It reads the object twice, and a report that is written in between shows as another resourceVersion.
    """
    printed = ""
    for _ in range(20):
        done = kubectl.run("diff", *options, "-f", "-", stdin=body)
        printed = done.stdout
        assert (done.returncode, done.stderr) == (int(bool(printed)), "")
        changed = [line for line in printed.splitlines() if re.match(r"[+-](?![+-])", line)]
        if not changed or any("resourceVersion: " not in line for line in changed):
            break
    return printed


def apply_as_controller(user: User, body: Json, manager: str) -> Json:
    """As Argo CD and Flux send it: forced, and nothing of the former manager's is migrated."""
    path = f"{user.path(VM, 'a')}?fieldManager={manager}&force=true"
    code, answer = user.request("PATCH", path, body, content_type="application/apply-patch+yaml")
    assert code == 200, answer
    return answer


def owners(user: User, name: str) -> set[str]:
    """The managers of a NIC's entry in the template."""
    entry = f'k:{{"name":"{name}"}}'
    found = (user.get(VM, "a") or {})["metadata"]["managedFields"]
    return {item["manager"] for item in found if entry in _keys(item["fieldsV1"])}


def _keys(fields: Json) -> set[str]:
    return {*fields, *(key for inner in fields.values() for key in _keys(inner))}


def until_out(user: User, name: str) -> None:
    """Nothing of the NIC is left in the guest, in its pod or in the instance."""
    until(lambda: not user.record("a", name) and not user.row("a", name) and name not in nics(user.get(VMI, "a")))


@pytest.mark.timeout(300)
def test_every_block_of_commands_runs(sandbox: Sandbox, user: User, tmp_path: Path) -> None:
    """In a namespace of its own, which the page does not name."""
    kubeconfig = tmp_path / "kubeconfig"
    shutil.copy(sandbox.admin, kubeconfig)
    path = f"{KUBECTL.parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "KUBECONFIG": str(kubeconfig), "PATH": path}
    select = f"kubectl config set-context --current --namespace={user.namespace}"
    for commands in (select, *(block.commands for block in command_blocks(PAGE.read_text()))):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            check=False,
            cwd=ROOT,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BLOCK_SECONDS,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"


def test_a_nic_comes_and_goes_with_its_entries_and_the_diff_is_clean(user: User, kubectl: Kubectl) -> None:
    apply(kubectl, manifest())
    user.until_running("a")
    assert differs(kubectl, manifest()) == ""
    apply(kubectl, manifest("blue"))
    user.until_ready("a", "blue")
    assert differs(kubectl, manifest("blue")) == ""
    apply(kubectl, manifest())
    until_out(user, "blue")
    assert differs(kubectl, manifest()) == ""
    assert not user.condition("a", "RestartRequired", plural=VM)


def test_an_absent_nic_is_put_back_by_the_applier_until_git_has_it_no_more(user: User, kubectl: Kubectl) -> None:
    body = manifest("blue", policy="Explicit")
    apply(kubectl, body)
    user.until_running("a")
    unplug("blue")(body)
    apply(kubectl, body)
    for _ in range(2):  # as one that heals itself
        until_out(user, "blue")
        until(lambda: nics(user.get(VM, "a")) == ["main"])
        assert "+          - bridge: {}" in differs(kubectl, body)
        apply(kubectl, body)
    until(lambda: nics(user.get(VM, "a")) == ["main"])
    git = manifest(policy="Explicit")
    apply(kubectl, git)
    assert differs(kubectl, git) == ""
    assert (nics(user.get(VMI, "a")), user.record("a", "blue")) == (["main"], {})
    assert not user.condition("a", "RestartRequired", plural=VM)
    # Without `absent` the entries ask for the NIC.
    apply(kubectl, manifest("blue", policy="Explicit"))
    user.until_ready("a", "blue")


def test_entries_that_are_deleted_wait_for_a_restart_by_default(user: User, kubectl: Kubectl) -> None:
    apply(kubectl, vm("a", "blue"))
    user.until_running("a")
    apply(kubectl, vm("a"))
    until(lambda: user.condition("a", "RestartRequired", plural=VM).get("status") == "True")
    assert nics(user.get(VMI, "a")) == ["main", "blue"]


def test_a_nic_that_a_command_has_added_goes_with_client_side_apply_and_stays_with_server_side(
    user: User, kubectl: Kubectl
) -> None:
    request = {"name": "extra", "networkAttachmentDefinitionName": "lan"}
    added: Json = {"status": {"interfaceRequests": [{"addInterfaceOptions": request}]}}
    apply(kubectl, manifest())
    user.until_running("a")
    user.merge(VM, "a", added, status=True)
    user.until_ready("a", "extra")
    assert owners(user, "extra") == {"nicplug"}
    assert "-            name: extra" in differs(kubectl, manifest())
    apply(kubectl, manifest())
    assert nics(user.get(VM, "a")) == ["main"]
    until_out(user, "extra")
    apply(kubectl, manifest(), *managed_by("owner"))
    user.merge(VM, "a", added, status=True)
    user.until_ready("a", "extra")
    apply(kubectl, manifest(), *managed_by("owner"))
    assert nics(user.get(VM, "a")) == ["main", "extra"]
    assert differs(kubectl, manifest(), *managed_by("owner")) == ""


def test_each_manager_has_its_own_nics_with_server_side_apply(user: User, kubectl: Kubectl) -> None:
    owner, team = managed_by("owner"), managed_by("team")
    apply(kubectl, manifest("blue"), *owner)
    user.until_running("a")
    apply(kubectl, part("red"), *team)
    user.until_ready("a", "red")
    apply(kubectl, manifest(), *owner)  # without blue
    until_out(user, "blue")
    assert nics(user.get(VM, "a")) == ["main", "red"]
    assert differs(kubectl, manifest(), *owner) == differs(kubectl, part("red"), *team) == ""
    # A NIC of both stays until both have dropped it.
    apply(kubectl, manifest("red"), *owner)
    apply(kubectl, part(), *team)
    assert (nics(user.get(VM, "a")), owners(user, "red")) == (["main", "red"], {"owner"})
    # Another network for it is a conflict, which names the field and the manager.
    user.create("network-attachment-definitions", nad("other"))
    refused = kubectl.refused("apply", *team, "-f", "-", stdin=part("red", attachment="other"))
    assert 'conflict with "owner": .spec.template.spec.networks[name="red"].multus.networkName' in refused
    apply(kubectl, part("red", attachment="other"), *team, "--force-conflicts")
    refused = kubectl.refused("apply", *owner, "-f", "-", stdin=manifest("red"))
    assert 'conflict with "team"' in refused
    apply(kubectl, manifest(), *owner)
    apply(kubectl, part(), *team)
    until_out(user, "red")


def test_an_interface_that_is_set_absent_by_hand_comes_back_with_the_next_apply(user: User, kubectl: Kubectl) -> None:
    owner = managed_by("owner")
    apply(kubectl, manifest("blue"), *owner)
    user.until_running("a")
    user.change(VM, "a", unplug("blue"))
    until_out(user, "blue")
    until(lambda: nics(user.get(VM, "a")) == ["main"])
    apply(kubectl, manifest("blue"), *owner)
    user.until_ready("a", "blue")


@pytest.mark.parametrize("manager", ["kubectl", "my-controller"])
def test_kubectl_takes_over_a_client_side_object_with_all_its_fields(
    user: User, kubectl: Kubectl, manager: str
) -> None:
    apply(kubectl, manifest("blue"))
    assert owners(user, "blue") == {"kubectl-client-side-apply"}
    apply(kubectl, manifest("blue"), *managed_by(manager))
    assert owners(user, "blue") == {manager}
    apply_as_controller(user, manifest(), manager)
    assert nics(user.get(VM, "a")) == ["main"]


@pytest.mark.parametrize("manager", ["kubectl", "my-controller"])
def test_kubectl_s_first_server_side_apply_removes_what_its_manifest_has_no_more(
    user: User, kubectl: Kubectl, manager: str
) -> None:
    apply(kubectl, manifest("blue"))
    apply(kubectl, manifest(), *managed_by(manager))
    assert nics(user.get(VM, "a")) == ["main"]
    last = (user.get(VM, "a") or {})["metadata"]["annotations"].get(LAST_APPLIED)
    # And back again.
    done = kubectl.run("apply", "-f", "-", stdin=manifest("red"))
    assert (done.returncode, nics(user.get(VM, "a"))) == (0, ["main", "red"])
    if manager == "kubectl":
        assert (nics(json.loads(last)), done.stderr) == (["main"], "")
    else:
        assert last is None
        assert f"is missing the {LAST_APPLIED} annotation" in done.stderr


def test_a_controller_that_takes_over_a_client_side_object_does_not_remove_what_git_has_no_more(
    user: User, kubectl: Kubectl
) -> None:
    apply(kubectl, manifest("blue"))
    apply_as_controller(user, manifest("blue"), "argocd-controller")
    assert owners(user, "blue") == {"kubectl-client-side-apply", "argocd-controller"}
    assert nics(apply_as_controller(user, manifest(), "argocd-controller")) == ["main", "blue"]
    fields = (user.get(VM, "a") or {})["metadata"]["managedFields"]
    former = next(index for index, item in enumerate(fields) if item["manager"] == "kubectl-client-side-apply")
    gone = [
        {"op": "test", "path": f"/metadata/managedFields/{former}/manager", "value": "kubectl-client-side-apply"},
        {"op": "remove", "path": f"/metadata/managedFields/{former}"},
    ]
    kubectl("patch", "vm", "a", "--type=json", "-p", json.dumps(gone))
    # What nobody owns is nobody's to remove: the controller has to have it, and then to drop it.
    apply_as_controller(user, manifest("blue"), "argocd-controller")
    assert nics(apply_as_controller(user, manifest(), "argocd-controller")) == ["main"]


def test_what_somebody_has_edited_conflicts_at_the_take_over_if_it_differs(user: User, kubectl: Kubectl) -> None:
    apply(kubectl, manifest("blue"))
    user.create("network-attachment-definitions", nad("other"))
    entry = "/spec/template/spec/networks/1/multus/networkName"
    kubectl("patch", "vm", "a", "--type=json", "-p", json.dumps([{"op": "replace", "path": entry, "value": "other"}]))
    refused = kubectl.refused("apply", *managed_by("my-controller"), "-f", "-", stdin=manifest("blue"))
    assert 'conflict with "kubectl-patch"' in refused
    same = manifest("blue")
    same["spec"]["template"]["spec"]["networks"][1] = network("blue", "other")
    apply(kubectl, same, *managed_by("my-controller"))
    apply(kubectl, manifest("blue"), *managed_by("my-controller"), "--force-conflicts")


def built(kubectl: Kubectl, directory: Path) -> dict[str, Json]:
    """What kustomize makes, by kind."""
    return {item["kind"]: item for item in yaml.safe_load_all(kubectl("kustomize", directory))}


def overlay(directory: Path, *lines: str) -> Path:
    """A kustomization on top of the example."""
    shutil.copytree(EXAMPLES, directory)
    (directory / "over").mkdir()
    (directory / "over" / "kustomization.yaml").write_text("\n".join(lines))
    return directory / "over"


def test_kustomize_replaces_the_lists_unless_it_knows_merge_keys(kubectl: Kubectl, tmp_path: Path) -> None:
    directory = overlay(tmp_path / "a", "resources: [../base]", "patches: [{path: nic.yaml}]")
    shutil.copy(EXAMPLES / "merged" / "nic.yaml", directory)
    assert nics(built(kubectl, directory)["VirtualMachine"]) == ["blue"]
    assert sorted(nics(built(kubectl, EXAMPLES / "merged")["VirtualMachine"])) == ["blue", "defaultnetwork"]
    assert nics(built(kubectl, EXAMPLES / "with-nic")["VirtualMachine"]) == ["defaultnetwork", "blue"]
    machine = built(kubectl, EXAMPLES / "absent")["VirtualMachine"]
    (_, blue) = machine["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"]
    assert blue["state"] == "absent"


def test_kustomize_renames_a_definition_and_not_the_reference_to_it(kubectl: Kubectl, tmp_path: Path) -> None:
    directory = overlay(tmp_path / "a", "resources: [../with-nic, nad.yaml]", "namePrefix: x-", "namespace: elsewhere")
    (directory / "nad.yaml").write_text((ROOT / "examples" / "network-attachment-definition.yaml").read_text())
    made = built(kubectl, directory)
    names = {kind: item["metadata"]["name"] for kind, item in made.items()}
    assert names == {"NetworkAttachmentDefinition": "x-new-fancy-net", "VirtualMachine": "x-vm-gitops"}
    networks = made["VirtualMachine"]["spec"]["template"]["spec"]["networks"]
    assert networks[1]["multus"] == {"networkName": "new-fancy-net"}
