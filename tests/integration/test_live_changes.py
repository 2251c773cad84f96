"""What flows from the template of a running VM, on a real API server: removal, origin, restart, link."""

from collections.abc import Callable, Iterator

import pytest
from tests.integration.conftest import Sandbox
from tests.integration.user import VM, VMI, Json, User
from tests.integration.waiting import until
from tests.manifests import networks, nics, plug, unplug, vm

ORIGIN = "nicplug.io/template-interfaces"


@pytest.fixture
def declarative(sandbox: Sandbox) -> Iterator[None]:
    """Deleting an entry unplugs."""
    admin = sandbox.user("kubevirt")

    def write(policy: str | None) -> None:
        hotplug = {"removalPolicy": policy} if policy else None
        admin.merge("kubevirts", "kubevirt", {"spec": {"configuration": {"network": {"hotplug": hotplug}}}})

    write("Declarative")
    yield
    write(None)


def delete_entry(*names: str) -> Callable[[Json], None]:
    """The edit of `kubectl apply` when the entry is no longer in the file."""

    def change(body: Json) -> None:
        spec = body["spec"]["template"]["spec"]
        devices = spec["domain"]["devices"]
        devices["interfaces"] = [item for item in devices["interfaces"] if item["name"] not in names]
        spec["networks"] = [item for item in spec["networks"] if item["name"] not in names]

    return change


def restart_required(user: User, name: str) -> Json:
    """The condition; empty without it."""
    return user.condition(name, "RestartRequired", plural=VM)


def until_told(user: User, name: str) -> None:
    """Wait until the VM's status speaks of the template as it is now, by something that is told with it."""
    body = user.get(VM, name) or {}
    generation = body["metadata"]["generation"]
    user.merge(VM, name, {"spec": {"template": {"spec": {"hostname": f"g{generation}"}}}})
    until(lambda: restart_required(user, name).get("status") == "True")
    user.merge(VM, name, {"spec": {"template": {"spec": {"hostname": None}}}})


def set_state(name: str, state: str | None) -> Callable[[Json], None]:
    """The edit that sets the link of a NIC."""

    def change(body: Json) -> None:
        for item in body["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"]:
            if item["name"] == name:
                item.pop("state", None)
                item.update({"state": state} if state else {})

    return change


def until_link(user: User, nic: str, link: str) -> None:
    """Wait until the guest's NIC is reported so."""
    until(lambda: user.row("a", nic).get("linkState") == link)


def test_links_go_down_and_up(user: User) -> None:
    user.create(VM, vm("a", "blue"))
    user.until_running("a")
    for nic in ("blue", "main"):
        for state, link in (("down", "down"), (None, "up")):
            user.change(VM, "a", set_state(nic, state))
            until_link(user, nic, link)
    until(lambda: user.condition("a", "InterfacesReady").get("status") == "True")
    assert not restart_required(user, "a")


@pytest.mark.usefixtures("declarative")
def test_deleting_the_entry_unplugs_and_a_nic_of_the_vmi_alone_stays(user: User) -> None:
    user.create(VM, vm("a", "blue"))
    user.until_running("a")
    user.change(VMI, "a", plug("mine"))
    user.until_ready("a", "mine")
    user.change(VM, "a", plug("green"))
    user.until_ready("a", "green")
    assert (user.get(VMI, "a") or {})["metadata"]["annotations"][ORIGIN] == '["blue","green","main"]'
    user.change(VM, "a", delete_entry("blue", "green"))
    until(lambda: nics(user.get(VMI, "a")) == ["main", "mine"])
    until(lambda: not user.row("a", "blue") and not user.record("a", "green"))
    until(lambda: user.condition("a", "InterfacesReady").get("status") == "True")
    vmi = user.get(VMI, "a") or {}
    assert vmi["metadata"]["annotations"][ORIGIN] == '["main"]'
    assert user.row("a", "mine")["infoSource"] == "domain, multus-status"
    assert nics(user.get(VM, "a")) == ["main"], "the operator does not edit the template"
    until_told(user, "a")
    until(lambda: not restart_required(user, "a"))


@pytest.mark.usefixtures("declarative")
def test_a_deleted_entry_that_comes_back_is_plugged_anew(user: User) -> None:
    user.create(VM, vm("a", "blue"))
    user.until_running("a")
    user.change(VM, "a", delete_entry("blue"))
    until(lambda: "absent" in str((user.get(VMI, "a") or {})["spec"]) or nics(user.get(VMI, "a")) == ["main"])
    user.change(VM, "a", plug("blue"))
    user.until_ready("a", "blue")
    until(lambda: user.condition("a", "InterfacesReady").get("status") == "True")
    assert user.record("a", "blue")["operation"] == "Plug"


def test_by_default_a_deleted_entry_needs_a_restart_and_the_restart_ends_it(user: User) -> None:
    user.create(VM, vm("a", "blue"))
    user.until_running("a")
    user.change(VM, "a", delete_entry("blue"))
    until(lambda: restart_required(user, "a"))
    row = restart_required(user, "a")
    assert (row["status"], row["message"]) == ("True", "a non-live-updatable field was changed in the template spec")
    assert "blue" in nics(user.get(VMI, "a"))
    until(lambda: [event for event in user.items("events") if event["reason"] == "RestartRequired"])
    notes = [event["note"] for event in user.items("events") if event["reason"] == "RestartRequired"]
    assert 'interface "blue" (deleted)' in notes[0]
    uid = (user.get(VMI, "a") or {})["metadata"]["uid"]
    user.delete(VMI, "a")
    until(lambda: ((user.get(VMI, "a") or {}).get("metadata") or {}).get("uid") not in (None, uid))
    user.until_running("a")
    until(lambda: not restart_required(user, "a"))
    assert nics(user.get(VMI, "a")) == ["main"]


def test_a_restart_and_then_a_plug_raises_no_restart_required(user: User) -> None:
    """kubevirt#15881."""
    user.create(VM, vm("a"))
    user.until_running("a")
    user.change(VM, "a", plug("blue"))
    user.until_ready("a", "blue")
    uid = (user.get(VMI, "a") or {})["metadata"]["uid"]
    user.delete(VMI, "a")
    until(lambda: ((user.get(VMI, "a") or {}).get("metadata") or {}).get("uid") not in (None, uid))
    user.until_running("a")
    user.change(VM, "a", plug("green"))
    user.until_ready("a", "green")
    until_told(user, "a")
    until(lambda: not restart_required(user, "a"))


def test_another_change_of_the_template_needs_a_restart_and_can_be_taken_back(user: User) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    user.merge(VM, "a", {"spec": {"template": {"spec": {"domain": {"cpu": {"cores": 2}}}}}})
    until(lambda: restart_required(user, "a"))
    user.merge(VM, "a", {"spec": {"template": {"spec": {"domain": {"cpu": None}}}}})
    until(lambda: not restart_required(user, "a"))


def test_placement_reaches_the_running_vmi(user: User) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    user.merge(VM, "a", {"spec": {"template": {"spec": {"nodeSelector": {"zone": "a"}}}}})
    until(lambda: (user.get(VMI, "a") or {})["spec"].get("nodeSelector") == {"zone": "a"})
    user.merge(VM, "a", {"spec": {"template": {"spec": {"nodeSelector": None}}}})
    until(lambda: "nodeSelector" not in (user.get(VMI, "a") or {})["spec"])
    assert not restart_required(user, "a")


def test_a_mistyped_network_is_corrected_in_the_template(user: User) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    user.change(VM, "a", plug("blue", attachment="tpyo"))
    until(lambda: user.record("a", "blue").get("reason") == "NetworkAttachmentDefinitionMissing")

    def correct(body: Json) -> None:
        body["spec"]["template"]["spec"]["networks"][1]["multus"]["networkName"] = "lan"

    user.change(VM, "a", correct)
    # The mistyped NIC leaves the VMI before the corrected one comes: between the two writes it has neither.
    until(lambda: networks(user.get(VMI, "a"))[1:] == ["lan"])
    user.until_ready("a", "blue")


def test_an_absent_nic_leaves_no_element_when_it_never_attached(user: User) -> None:
    user.create(VM, vm("a"))
    user.until_running("a")
    user.change(VM, "a", plug("blue", attachment="missing"))
    until(lambda: user.record("a", "blue").get("reason") == "NetworkAttachmentDefinitionMissing")
    user.change(VM, "a", unplug("blue"))
    until(lambda: nics(user.get(VMI, "a")) == ["main"] and nics(user.get(VM, "a")) == ["main"])
    assert "missing" not in (user.annotation("a") or "")
