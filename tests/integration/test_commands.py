"""The commands on a real API server, with the operator beside them: what a person types, and what is said."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from click.testing import CliRunner, Result
from tests.integration.conftest import Sandbox
from tests.integration.user import VM, VMI, User
from tests.manifests import plug, vm, vmi

from nicplug.cli.applied import LAST_APPLIED
from nicplug.cli.main import main


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command silences the logs of its process, which here is that of the next test."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def nicplug(user: User, *arguments: str, stdin: str | None = None) -> Result:
    """A command of that user, in his namespace."""
    command, *rest = arguments
    options = [command, f"--kubeconfig={user.kubeconfig}", "--namespace", user.namespace, *rest]
    return CliRunner().invoke(main, options, input=stdin)


def document(done: Result) -> dict[str, Any]:
    """What -o json has printed."""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


CLIENT, SERVER = "kubectl apply", "kubectl apply --server-side"


def apply(user: User, manifest: dict[str, Any], *, by: str) -> None:
    """As kubectl does: with an annotation, under a name, or neither ("")."""
    if by == SERVER:
        path = f"/apis/kubevirt.io/v1/namespaces/{user.namespace}/{VM}/{manifest['metadata']['name']}"
        content_type = "application/apply-patch+yaml"
        code, answer = user.request("PATCH", f"{path}?fieldManager=kubectl", manifest, content_type=content_type)
        assert code in (200, 201), answer
        return
    annotations = {LAST_APPLIED: json.dumps(manifest)} if by == CLIENT else {}
    user.create(VM, {**manifest, "metadata": {**manifest["metadata"], "annotations": annotations}})


def planned(user: User, manifest: dict[str, Any]) -> list[tuple[str, str, str]]:
    """NIC, outcome and reason."""
    found = document(nicplug(user, "plan", "-f", "-", "-o", "json", stdin=yaml.safe_dump(manifest)))
    assert found["refusals"] == []
    return [(nic["name"], nic["outcome"], nic["reason"]) for nic in found["nics"]]


def test_plan_says_what_add_then_does(user: User) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    planned = document(nicplug(user, "plan", "a", "--add", "blue=lan", "-o", "json"))
    (told,) = planned["nics"]
    assert (planned["arrives"], told["outcome"], told["path"]) == (True, "InPlace", "Dynamic")
    assert told["evidence"]["controller"]["state"] == "ready"
    assert told["otherwise"]["outcome"] == "ByMigration"
    assert (planned["pciSlots"]["before"]["reserved"], planned["pciSlots"]["after"]["reserved"]) == (0, 1)
    assert not user.record("a", "blue"), "a plan changes nothing"

    done = nicplug(user, "add", "a", "--network", "lan", "--name", "blue", "--mac", "02:00:00:00:00:01", "--wait")
    assert done.exit_code == 0, done.output
    assert 'NIC "blue" is ready' in done.stdout
    assert "blue  Plug Dynamic Ready  Attached" in done.stderr
    shown = document(nicplug(user, "status", "a", "-o", "json"))
    (row,) = [nic for nic in shown["nics"] if nic["name"] == "blue"]
    assert (row["path"], row["phase"], row["macAddress"]) == ("Dynamic", "Ready", "02:00:00:00:00:01")
    story = document(nicplug(user, "why", "a", "blue", "-o", "json"))
    assert (story["waitsFor"], story["todo"]) == (None, None)
    assert any("InterfacePlugged" in moment["what"] for moment in story["moments"])


def test_a_manifest_is_planned_by_a_server_side_dry_run(user: User) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    user.change(VM, "a", plug("red"))
    user.until_ready("a", "red")
    stored = user.get(VM, "a")
    assert stored is not None
    manifest = {key: copy.deepcopy(stored[key]) for key in ("apiVersion", "kind", "spec")}
    manifest["metadata"] = {"name": "a"}
    plug("blue")(manifest)
    planned = document(nicplug(user, "plan", "-f", "-", "-o", "json", stdin=yaml.safe_dump(manifest)))
    assert [(nic["name"], nic["outcome"]) for nic in planned["nics"]] == [("blue", "InPlace")]
    assert user.get(VM, "a") == stored, "a plan changes nothing"

    manifest["spec"]["runStrategy"] = "Sometimes"
    refused = nicplug(user, "plan", "-f", "-", "-o", "json", stdin=yaml.safe_dump(manifest))
    assert refused.exit_code == 9
    assert "runStrategy" in document(refused)["refusals"][0]


@pytest.mark.parametrize("by", ["", CLIENT, SERVER])
def test_a_plan_for_a_manifest_without_a_nic_said_that_nothing_changes(user: User, by: str) -> None:
    """`interfaces` is a map by name: an apply under another name than the NIC's own left it in the template."""
    manifest = vm("a", "red")
    apply(user, manifest, by=by)
    user.until_running("a")
    assert planned(user, manifest) == []
    assert planned(user, vm("a")) == [("red", "NeedsRestart", "RestartRequired")]


def test_plan_keeps_the_nics_of_another_manager_of_a_server_side_apply(user: User) -> None:
    apply(user, vm("a"), by=SERVER)
    user.until_running("a")
    user.change(VM, "a", plug("red"))
    user.until_ready("a", "red")
    assert planned(user, vm("a")) == []


@pytest.mark.parametrize("by", [None, "", CLIENT, SERVER])
def test_plan_took_a_manifest_with_an_unknown_field(user: User, tmp_path: Path, by: str | None) -> None:
    """kubectl refuses it, and the API server leaves the field out where nobody asks for strict validation."""
    manifest = vm("a")
    if by is not None:
        apply(user, manifest, by=by)
    manifest["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"][0] = {"name": "default", "masqurade": {}}
    path = tmp_path / "vm-a.yaml"
    path.write_text(yaml.safe_dump(manifest))
    done = nicplug(user, "plan", "-f", str(path))
    assert (done.exit_code, done.stdout) == (2, "")
    assert "unknown field" in done.stderr
    assert "masqurade" in done.stderr
    assert f"Correct {path}" in done.stderr


def test_what_stands_in_the_way_is_told_before_and_after(user: User) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    planned = nicplug(user, "plan", "a", "--add", "blue=nowhere")
    assert planned.exit_code == 9
    assert "needs action" in planned.stdout
    done = nicplug(user, "add", "a", "--network", "nowhere", "--mac", "02:00:00:00:00:02", "--wait", "--timeout", "9s")
    assert done.exit_code == 9
    assert "NetworkAttachmentDefinitionMissing" in done.stderr
    story = nicplug(user, "why", "a", "nowhere")
    assert "waits for  the VM's owner" in story.stdout
    unknown = nicplug(user, "wait", "a", "never", "--timeout", "0.5")
    assert (unknown.exit_code, 'has no NIC "never"' in unknown.stderr) == (3, True)


def test_the_installation_is_healthy(user: User, sandbox: Sandbox) -> None:
    done = nicplug(user, "doctor", "-o", "name")
    assert done.exit_code == 0, done.output
    found = set(done.stdout.split())
    assert {"crds=ok", "leader=ok", "rbac=ok", "gate=ok", "fences=ok", "admission=ok", "api=warning"} <= found


def test_without_an_operator_the_status_says_so(user: User, sandbox: Sandbox) -> None:
    user.create(VMI, vmi("a"))
    user.until_running("a")
    sandbox.stop()
    try:
        user.change(VMI, "a", plug("blue"))
        done = nicplug(user, "doctor", "-o", "json")
        assert done.exit_code == 9
        (leader,) = [item for item in document(done)["findings"] if item["check"] == "leader"]
        assert (leader["severity"], "nobody holds the Lease" in leader["message"]) == ("problem", True)
        assert "no nicplug operator works" in nicplug(user, "status", "a").stdout
    finally:
        sandbox.start()
    user.until_ready("a", "blue")


def test_somebody_without_rights_is_told_which(user: User) -> None:
    done = nicplug(user, "status", "a", "--as", "nobody")
    assert done.exit_code == 4
    assert 'User "nobody" cannot get resource' in done.stderr
