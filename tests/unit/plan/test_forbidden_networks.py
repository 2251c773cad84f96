"""A network that the cluster's policy does not let a VM use: no pod is asked for it, and nobody learns what exists."""

import json
from typing import Any

import pytest
from tests.build import (
    CONTROLLER,
    EVERY_NAMESPACE,
    HOTPLUG_ON,
    NOW,
    POD_INTERFACES,
    Json,
    Nic,
    a_pod,
    a_vmi,
    absent,
    element,
    kubevirt,
    later,
    migration,
    migration_view,
    nad,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    row,
    vmi,
    vmi_view,
)

from nicplug.model.attachments import KnownAttachments
from nicplug.model.frozen_json import thaw
from nicplug.model.keys import AttachmentKey
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.plan.actions import Create, PatchNetworksAnnotation, PatchStatus
from nicplug.plan.migration.eligibility import find_obstacle
from nicplug.plan.migration.target import create_target_pod
from nicplug.plan.nic.observed import plan_rows
from nicplug.plan.outcome import Plan
from nicplug.plan.vmi.plan_vmi import plan_vmi

NETWORKS = "k8s.v1.cni.cncf.io/networks"
OWN_ONLY = AttachmentAccess(shared=frozenset(), rule="nadPolicy SameNamespace (the default)")
SECRET = nad("secret", namespace="victim")
# Whatever the foreign definition is, or is not: nothing that a tenant can see may differ.
FOREIGN: dict[str, list[Json]] = {
    "missing": [],
    "whole": [SECRET],
    "broken": [nad("secret", namespace="victim", config="{")],
    "with a device": [
        {**SECRET, "metadata": {**SECRET["metadata"], "annotations": {"k8s.v1.cni.cncf.io/resourceName": "x/y"}}}
    ],
}
OWN = [nad("blue-net"), nad("green-net")]


def secret(name: str = "blue", **more: Any) -> Nic:
    return nic(name, attachment="victim/secret", **more)


def running(*nics: Nic, rows: list[Json] | None = None, nads: list[Json] | None = None, **view: Any) -> Any:
    rows = [primary_row(), *(rows or [])]
    raw = vmi(primary(), *nics, rows=rows, generation=2, operations=view.pop("operations", []))
    launcher = view.pop("pod", None) or pod()
    view = {"access": OWN_ONLY, "controller": CONTROLLER, **view}
    return vmi_view(raw, launcher, nads=[*OWN, *(nads or [])], **view)


def plan(view: Any, *, now: Any = NOW) -> Plan:
    return plan_vmi(view, now=now)


def record(found: Plan, name: str) -> Json:
    (status,) = [action for action in found.actions if isinstance(action, PatchStatus)]
    written = {item["path"]: item.get("value") for item in status.json_patch() or () if item["op"] != "test"}
    rows: list[Json] = list(written["/status/interfaceOperations"] or ())
    return next((item for item in rows if item["name"] == name), {})


def reported_by(found: Plan) -> str:
    """What is written into the status."""
    return json.dumps([action.json_patch() for action in found.actions if isinstance(action, PatchStatus)])


def asked(found: Plan) -> list[str]:
    """The networks that the pod is asked for."""
    texts = [action.wanted for action in found.actions if isinstance(action, PatchNetworksAnnotation)]
    return [f"{item['namespace']}/{item['name']}" for text in texts for item in json.loads(text or "[]")]


class TestInPlace:
    """The annotation of a pod that runs: nothing else enforces isolation there."""

    def test_the_pod_is_never_asked_for_it_and_its_record_says_why(self) -> None:
        found = plan(running(secret(), nic("green"), nads=[SECRET]), now=later(10))
        assert asked(found) == ["default/green-net"]
        reported = record(found, "blue")
        assert (reported["phase"], reported["path"], reported["reason"]) == ("Blocked", "None", "NetworkNotAllowed")
        assert reported["message"] == OWN_ONLY.refusal(AttachmentKey("victim", "secret"), namespace="default")

    def test_it_is_announced_once(self) -> None:
        found = plan(running(secret(), nads=[SECRET]), now=later(10))
        (event,) = found.announcements
        assert (event.reason, "victim/secret" in event.message) == ("InterfaceBlocked", True)

    @pytest.mark.parametrize("binding", ["bridge", "sriov"])
    def test_nothing_tells_whether_it_exists(self, binding: str) -> None:
        plans = {
            title: plan(running(secret(binding=binding), nads=nads, controller=CONTROLLER), now=later(10))
            for title, nads in FOREIGN.items()
        }
        for title, found in plans.items():
            assert found == plans["missing"], title

    def test_an_element_that_somebody_wrote_in_the_nic_s_name_is_taken_out(self) -> None:
        forged = element("blue", namespace="victim", attachment="secret")
        found = plan(running(secret(), pod=pod(networks=[forged]), nads=[SECRET]), now=later(10))
        assert asked(found) == []
        assert any(isinstance(action, PatchNetworksAnnotation) for action in found.actions)

    def test_what_the_controller_attached_for_it_all_the_same_gets_no_go_ahead(self) -> None:
        forged = element("blue", namespace="victim", attachment="secret")
        status = json.dumps([{"name": "victim/secret", "interface": POD_INTERFACES["blue"]}])
        view = running(secret(), pod=pod(networks=[forged], status_text=status), nads=[SECRET])
        found = plan(view, now=later(10))
        assert "multus-status" not in reported_by(found)
        assert record(found, "blue")["reason"] == "NetworkNotAllowed"
        (patch,) = [item for item in found.actions if isinstance(item, PatchNetworksAnnotation)]
        assert patch.wanted == ""  # and the controller detaches it

    def test_a_go_ahead_that_the_guest_has_not_followed_did_not_outlast_a_tightened_policy(self) -> None:
        asked_for = element("blue", namespace="victim", attachment="secret")
        status = json.dumps([{"name": "victim/secret", "interface": POD_INTERFACES["blue"]}])
        before = row("blue", "multus-status", pod_interface=POD_INTERFACES["blue"])
        launcher, known = a_pod(pod(networks=[asked_for], status_text=status)), KnownAttachments()
        rows = plan_rows(vmi=a_vmi(vmi(primary(), secret(), rows=[primary_row(), before])), pod=launcher, known=known)
        assert "multus-status" not in json.dumps(rows[1:])
        arrived = row("blue", "domain", "multus-status", pod_interface=POD_INTERFACES["blue"])
        rows = plan_rows(vmi=a_vmi(vmi(primary(), secret(), rows=[primary_row(), arrived])), pod=launcher, known=known)
        assert rows == [primary_row(), arrived]  # an outage would be worse

    def test_an_own_network_s_name_on_a_foreign_network_gets_no_go_ahead(self) -> None:
        """Anyone who may edit the pod wrote a foreign network under the pod interface of an own NIC."""
        forged = element("blue", namespace="victim", attachment="secret")
        status = json.dumps([{"name": "victim/secret", "interface": POD_INTERFACES["blue"]}])
        found = plan(running(nic("blue"), pod=pod(networks=[forged], status_text=status)), now=later(10))
        assert record(found, "blue")["reason"] == "PodInterfaceNameTaken"
        assert "multus-status" not in reported_by(found)

    def test_a_forged_network_status_does_not_bring_the_element_back(self) -> None:
        """It would be attached in truth as soon as the status is corrected."""
        status = json.dumps([{"name": "victim/secret", "interface": POD_INTERFACES["blue"]}])
        given = row("blue", "domain", "multus-status")
        found = plan(running(secret(), rows=[given], pod=pod(status_text=status), nads=[SECRET]), now=later(10))
        assert asked(found) == []

    def test_a_nic_that_the_guest_has_stays_when_the_policy_is_tightened(self) -> None:
        given = row("blue", "domain", "multus-status")
        mine = element("blue", namespace="victim", attachment="secret")
        status = json.dumps([{"name": "victim/secret", "interface": POD_INTERFACES["blue"]}])
        view = running(secret(), rows=[given], pod=pod(networks=[mine], status_text=status), nads=[SECRET])
        assert not [item for item in plan(view, now=later(10)).actions if isinstance(item, PatchNetworksAnnotation)]

    def test_it_can_leave_when_the_policy_is_tightened(self) -> None:
        mine = element("blue", namespace="victim", attachment="secret")
        status = json.dumps([{"name": "victim/secret", "interface": POD_INTERFACES["blue"]}])
        leaving = absent("blue")
        leaving[1]["multus"]["networkName"] = "victim/secret"
        gone = row("blue", "multus-status")
        found = plan(running(leaving, rows=[gone], pod=pod(networks=[mine], status_text=status)), now=later(10))
        (patch,) = [item for item in found.actions if isinstance(item, PatchNetworksAnnotation)]
        assert patch.wanted == ""
        unplug = operation("blue", type_="Unplug", phase="InPod", reason="WaitingForPodRelease")
        view = running(
            leaving,
            rows=[gone],
            pod=pod(networks="", status_text=status),
            operations=[unplug],
            report_pending_since=NOW,
        )
        assert record(plan(view, now=later(20)), "blue")["reason"] == "WaitingForPodRelease"


class TestAnotherNetwork:
    """The NIC of a guest that is to get a network which it may not use."""

    @pytest.mark.parametrize("title", FOREIGN)
    def test_it_is_refused_and_nothing_tells_whether_it_exists(self, title: str) -> None:
        given = row("blue", "domain", "multus-status")
        launcher = pod(networks=[element("blue")], attached=["blue"])
        conditions = [{"type": "LiveMigratable", "status": "True"}]
        raw = vmi(primary(), secret(), rows=[primary_row(), given], generation=2, conditions=conditions)

        def view(nads: list[Json]) -> Any:
            return vmi_view(raw, launcher, nads=[*OWN, *nads], access=OWN_ONLY, controller=CONTROLLER)

        found = plan(view(FOREIGN[title]), now=later(10))
        reported = record(found, "blue")
        assert (reported["operation"], reported["reason"]) == ("ChangeNetwork", "NetworkNotAllowed")
        assert found == plan(view([]), now=later(10))


def start(*nics: Nic, nads: list[Json], now: Any = NOW, config: Json | None = HOTPLUG_ON) -> Plan:
    return plan(vmi_view(vmi(*nics, phase=""), nads=[*OWN, *nads], access=OWN_ONLY, config=config), now=now)


def annotations(found: Plan) -> Json:
    """Of the pod that is made."""
    (create,) = [action for action in found.actions if isinstance(action, Create)]
    return dict(thaw(create.body)["metadata"]["annotations"])


class TestStart:
    """The launcher pod."""

    def test_a_nic_that_can_follow_is_left_out_at_once(self) -> None:
        found = start(primary(), secret(), nic("green"), nads=[SECRET])
        assert "secret" not in annotations(found)[NETWORKS]
        assert "green-net" in annotations(found)[NETWORKS]

    @pytest.mark.parametrize("binding", ["bridge", "sriov"])
    def test_nothing_tells_whether_it_exists_not_even_a_pause(self, binding: str) -> None:
        plans = [start(primary(), secret(binding=binding), nads=nads) for nads in FOREIGN.values()]
        assert all(found == plans[0] for found in plans)
        assert plans[0].again_at is None or binding == "sriov"

    @pytest.mark.parametrize("binding", ["sriov", "passtBinding"])
    def test_a_vm_with_one_that_cannot_follow_does_not_start(self, binding: str) -> None:
        found = start(primary(), secret(binding=binding), nads=[SECRET])
        assert not [action for action in found.actions if isinstance(action, Create)]
        (event,) = found.announcements
        assert event.reason == "FailedCreate"
        assert 'NIC "blue": namespace default may not use network attachment' in event.message

    def test_with_hot_plug_off_no_nic_can_follow(self) -> None:
        found = start(primary(), secret(), nads=[SECRET], config=kubevirt("LiveMigration"))
        assert not [action for action in found.actions if isinstance(action, Create)]

    def test_a_nic_that_reaches_no_pod_anyway_keeps_no_vm_from_starting(self) -> None:
        found = start(primary(), secret(binding="sriov", mac="nonsense"), nads=[SECRET])
        assert [action for action in found.actions if isinstance(action, Create)]


JSON_LIST = '[{"name":"a","namespace":"kube-system","interface":"eth0","cni-args":{"x":1},"ips":["10.0.0.1"]}]'


def default_network(reference: str) -> Nic:
    return {"name": "default", "bridge": {}}, {"name": "default", "multus": {"networkName": reference, "default": True}}


class TestDefaultNetwork:
    """The annotation by which a pod gets another network than the cluster's."""

    @pytest.mark.parametrize("reference", [JSON_LIST, "lan@eth0", "a,b", "a/b/c", "Lan", "lan ", "", "{}", "a/", "/a"])
    def test_what_is_no_reference_starts_no_vm(self, reference: str) -> None:
        found = start(default_network(reference), nads=[nad("lan")])
        assert not [action for action in found.actions if isinstance(action, Create)]
        (event,) = found.announcements
        assert "Write <name> or <namespace>/<name>" in event.message

    @pytest.mark.parametrize("title", FOREIGN)
    def test_one_that_the_vm_may_not_use_starts_no_vm(self, title: str) -> None:
        found = start(default_network("victim/secret"), nads=FOREIGN[title])
        assert not [action for action in found.actions if isinstance(action, Create)]
        assert found == start(default_network("victim/secret"), nads=[])

    def test_one_that_is_missing_is_waited_for_and_then_reported(self) -> None:
        assert start(default_network("lan"), nads=[]).again_at == later(2)
        found = start(default_network("lan"), nads=[], now=later(3))
        (event,) = found.announcements
        assert "default/lan does not exist" in event.message

    def test_one_of_the_vm_s_own_namespace_is_written_with_it(self) -> None:
        found = start(default_network("lan"), nads=[nad("lan")])
        assert annotations(found)["v1.multus-cni.io/default-network"] == "default/lan"

    @pytest.mark.parametrize("reference", [JSON_LIST, "victim/secret", "lan"])
    def test_no_target_pod_is_made_with_one_that_would_be_refused(self, reference: str) -> None:
        raw = vmi(default_network(reference), rows=[primary_row()])
        view = migration_view(migration(), raw, pod(), nads=OWN, access=OWN_ONLY)
        obstacle = find_obstacle(view, now=NOW)
        assert obstacle is not None
        assert obstacle.message.startswith('the target pod cannot be made: NIC "default": ')


HOSTILE = {"ips": ["10.0.0.1"], "cni-args": {"x": 1}, "default-route": ["10.0.0.1"], "interface": "eth0"}


class TestNothingElseIsAskedFor:
    """What a tenant writes into a network or an interface reaches the annotation as name, namespace, MAC, interface."""

    def test_members_of_preserved_sub_trees_stay_where_they_are(self) -> None:
        interface, network = nic("blue", mac="02:00:00:00:00:10")
        network = {**network, **HOSTILE, "multus": {**network["multus"], **HOSTILE}}
        raw = vmi(primary(), ({**interface, **HOSTILE}, network), phase="")
        (asked_for,) = json.loads(annotations(plan(vmi_view(raw, nads=OWN, access=OWN_ONLY)))[NETWORKS])
        assert asked_for == element("blue", mac="02:00:00:00:00:10")

    @pytest.mark.parametrize("name", ["k8s.v1.cni.cncf.io/networks", "v1.multus-cni.io/default-network"])
    def test_annotations_of_multus_are_not_copied_from_the_vmi(self, name: str) -> None:
        raw = vmi(primary(), phase="", annotations={name: JSON_LIST})
        assert name not in annotations(plan(vmi_view(raw, nads=OWN, access=OWN_ONLY)))

    @pytest.mark.parametrize("reference", [JSON_LIST, "blue-net@eth0", "blue-net,green-net", "default/blue-net@eth0"])
    def test_a_reference_is_one_name(self, reference: str) -> None:
        found = plan(running(nic("blue", attachment=reference)), now=later(10))
        assert asked(found) == []
        assert record(found, "blue")["reason"] == "InvalidAttachmentReference"

    def test_an_element_that_is_waited_for_is_written_again_without_what_somebody_added(self) -> None:
        grown = {**element("blue"), "ips": ["10.0.0.1"], "cni-args": {"x": 1}}
        found = plan(running(nic("blue"), pod=pod(networks=[grown])), now=later(10))
        (patch,) = [item for item in found.actions if isinstance(item, PatchNetworksAnnotation)]
        assert json.loads(patch.wanted) == [element("blue")]


class TestMigration:
    """The target pod, of a user's migration too."""

    def view(self, *nics: Nic, rows: list[Json], **more: Any) -> Any:
        raw = vmi(primary(), *nics, rows=[primary_row(), *rows])
        return migration_view(migration(), raw, pod(), nads=[*OWN, SECRET], **{"access": OWN_ONLY, **more})

    def test_a_nic_that_the_guest_has_not_got_is_left_out(self) -> None:
        view = self.view(secret(), nic("green"), rows=[])
        assert find_obstacle(view, now=NOW) is None
        body = thaw(create_target_pod(view, view.vmi).body)
        assert [item["name"] for item in json.loads(body["metadata"]["annotations"][NETWORKS])] == ["green-net"]

    def test_with_one_that_the_guest_has_the_migration_waits_and_says_why(self) -> None:
        """Without it the guest could not be loaded, or would lose it."""
        obstacle = find_obstacle(self.view(secret(), rows=[row("blue", "domain", "multus-status")]), now=NOW)
        assert obstacle is not None
        assert (obstacle.reason, obstacle.is_stuck) == ("NetworkNotAllowed", True)
        assert 'NIC "blue" is in the guest, and the target pod cannot have it: namespace default may not' in (
            obstacle.message
        )

    def test_allowed_again_it_goes_on(self) -> None:
        view = self.view(secret(), rows=[row("blue", "domain", "multus-status")], access=EVERY_NAMESPACE)
        assert find_obstacle(view, now=NOW) is None
