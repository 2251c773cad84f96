"""What a soak checks in the end really fails when it should: a good world, and one thing wrong at a time."""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.perf.concurrency import JOB_LABEL, Concurrency
from tests.soak.bodies import vm_body
from tests.soak.expectations import NETWORK_STATUS, NETWORKS, POD_LINKS, Found, live_pods, pod_interface, violations
from tests.soak.moves import exceeded, too_many_pods
from tests.soak.script import network_of
from tests.soak.users import NAMESPACE, Declared

from nicplug_sandbox.node.api import Json

NIC = "blue"


def world() -> dict[str, Json]:
    """A VM with one NIC, as it is when all is well."""
    vm = vm_body("vm", NIC, home="node01")
    vm["metadata"] |= {"uid": "vm-uid"}
    vm["status"] = {"printableStatus": "Running", "ready": True}
    rows = [
        {"name": "default", "infoSource": "domain", "linkState": "up"},
        {"name": NIC, "infoSource": "domain, multus-status", "linkState": "up"},
    ]
    ready = {"type": "InterfacesReady", "status": "True", "observedGeneration": 1}
    vmi: Json = {
        "kind": "VirtualMachineInstance",
        "metadata": {
            "name": "vm",
            "uid": "vmi-uid",
            "generation": 1,
            "labels": {"kubevirt.io/nodeName": "node01"},
            "ownerReferences": [owner("vm-uid")],
        },
        "spec": copy.deepcopy(vm["spec"]["template"]["spec"]),
        "status": {"phase": "Running", "nodeName": "node01", "interfaces": rows, "conditions": [ready]},
    }
    element = {"namespace": NAMESPACE, "name": network_of(NIC), "interface": pod_interface(NIC)}
    entry = {"name": f"{NAMESPACE}/{network_of(NIC)}", "interface": pod_interface(NIC), "mac": "02:00:00:00:00:01"}
    primary = {"name": "cluster", "interface": "eth0", "default": True}
    pod: Json = {
        "metadata": {
            "name": "pod",
            "ownerReferences": [owner("vmi-uid")],
            "annotations": {NETWORKS: json.dumps([element]), NETWORK_STATUS: json.dumps([primary, entry])},
        },
        "spec": {"nodeName": "node01"},
        "status": {"phase": "Running"},
    }
    return {"vm": vm, "vmi": vmi, "pod": pod}


def owner(uid: str) -> Json:
    return {"uid": uid, "controller": True}


def found(objects: dict[str, Json]) -> Found:
    return Found(
        vms=tuple(objects[key] for key in ("vm",) if key in objects),
        vmis=tuple(objects[key] for key in ("vmi",) if key in objects),
        pods=tuple(objects[key] for key in ("pod", "other pod") if key in objects),
        revisions=tuple(objects[key] for key in ("revision",) if key in objects),
        migrations=tuple(body for key, body in objects.items() if key.startswith("migration")),
    )


def declared(**members: object) -> dict[str, Declared]:
    wanted = Declared(template={NIC: "up"})
    for name, value in members.items():
        setattr(wanted, name, value)
    return {"vm": wanted}


def test_a_world_as_declared_has_no_violations() -> None:
    assert violations(found(world()), declared()) == []


def test_a_nic_of_the_instance_alone_belongs_to_this_instance_only() -> None:
    objects = world()
    objects["vm"]["spec"]["template"]["spec"] = vm_body("vm", home="node01")["spec"]["template"]["spec"]
    assert violations(found(objects), declared(template={}, instance={"vmi-uid": {NIC: "up"}})) == []
    told = violations(found(objects), declared(template={}, instance={"another-uid": {NIC: "up"}}))
    assert len(told) == 1
    assert "the spec has the NICs" in told[0]


@dataclass(frozen=True)
class Case:
    name: str
    spoil: Callable[[dict[str, Json]], object]
    told: str

    def __str__(self) -> str:
        return self.name


def _annotate(key: str, change: Callable[[list[Json]], list[Json]]) -> Callable[[dict[str, Json]], object]:
    def spoil(objects: dict[str, Json]) -> None:
        annotations = objects["pod"]["metadata"]["annotations"]
        annotations[key] = json.dumps(change(json.loads(annotations[key])))

    return spoil


def _status(objects: dict[str, Json], **members: object) -> None:
    objects["vmi"]["status"].update(members)


def _row(objects: dict[str, Json], **members: object) -> None:
    objects["vmi"]["status"]["interfaces"][1].update(members)


RECORD = {"name": NIC, "phase": "Failed", "reason": "Because", "message": "of this"}
CASES = [
    Case("VM is gone", lambda o: o.pop("vm"), "VM vm: is missing"),
    Case("VM is halted by nobody", lambda o: o["vm"]["status"].update(printableStatus="Stopped"), "printableStatus"),
    Case("VM is not ready", lambda o: o["vm"]["status"].update(ready=False), "ready is False"),
    Case(
        "restart is required by nothing",
        lambda o: o["vm"]["status"].update(conditions=[{"type": "RestartRequired", "status": "True"}]),
        "RestartRequired is True, and the instance is as the template says",
    ),
    Case(
        "restart is required and not told",
        lambda o: o["vm"]["spec"]["template"]["spec"]["domain"]["resources"]["requests"].update(memory="1Gi"),
        "RestartRequired is False, and the instance is not as the template says",
    ),
    Case(
        "restart is still asked for",
        lambda o: o["vm"]["status"].update(stateChangeRequests=[{"action": "Start"}]),
        "a request is not done",
    ),
    Case("no instance", lambda o: o.pop("vmi"), "VM vm: has no instance"),
    Case("instance of an older VM", lambda o: o["vm"]["metadata"].update(uid="new"), "belongs to another VM"),
    Case("instance failed", lambda o: _status(o, phase="Failed"), "is Failed, not Running"),
    Case("instance is going", lambda o: o["vmi"]["metadata"].update(deletionTimestamp="now"), "being deleted"),
    Case(
        "template lost the NIC",
        lambda o: o["vm"]["spec"].update(vm_body("vm", home="node01")["spec"]),
        "the template has the NICs",
    ),
    Case(
        "instance keeps an absent NIC",
        lambda o: o["vmi"]["spec"]["domain"]["devices"]["interfaces"][1].update(state="absent"),
        "'blue': 'absent'",
    ),
    Case("no row", lambda o: o["vmi"]["status"]["interfaces"].pop(), "status.interfaces has ['default']"),
    Case("row without its pod interface", lambda o: _row(o, infoSource="domain"), "infoSource 'domain'"),
    Case("link is down", lambda o: _row(o, linkState="down"), "linkState down"),
    Case("record failed", lambda o: _status(o, interfaceOperations=[RECORD]), "is Failed, Because: of this"),
    Case("no condition", lambda o: _status(o, conditions=[]), "InterfacesReady is None"),
    Case("old condition", lambda o: o["vmi"]["metadata"].update(generation=2), "of generation 1"),
    Case("no pod", lambda o: o.pop("pod"), "has 0 live pods"),
    Case("two pods", lambda o: o.update({"other pod": o["pod"]}), "has 2 live pods"),
    Case("stray element", _annotate(NETWORKS, lambda items: [*items, {"name": "x"}]), "annotation asks for"),
    Case("element twice", _annotate(NETWORKS, lambda items: items * 2), "annotation asks for"),
    Case("element missing", _annotate(NETWORKS, lambda _: []), "annotation asks for"),
    Case("not attached", _annotate(NETWORK_STATUS, lambda items: items[:1]), "network-status lists"),
    Case("phantom", lambda o: o["pod"]["metadata"]["annotations"].update({POD_LINKS: "eth0"}), "really has"),
    Case(
        "wrong MAC address",
        lambda o: o["vmi"]["spec"]["domain"]["devices"]["interfaces"][1].update(macAddress="02:00:00:00:00:02"),
        "has the MAC address 02:00:00:00:00:01, not 02:00:00:00:00:02",
    ),
    Case(
        "pod has outlived its instance",
        lambda o: o.update({"other pod": {"metadata": {"name": "old"}, "status": {}}}),
        "pod old: its owner has gone",
    ),
    Case(
        "revision has outlived its VM",
        lambda o: o.update({"revision": {"metadata": {"name": "old"}}}),
        "ControllerRevision old: its owner has gone",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_thing_wrong_is_told(case: Case) -> None:
    objects = world()
    case.spoil(objects)
    assert any(case.told in text for text in violations(found(objects), declared()))


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (declared(exists=False), "VM vm: was deleted and is still there"),
        (declared(runs=False), "VM vm: is halted and has an instance"),
        ({}, "VirtualMachine vm: nobody has asked for it"),
    ],
    ids=["deleted", "halted", "never declared"],
)
def test_what_was_to_go_and_has_not_is_told(wanted: dict[str, Declared], told: str) -> None:
    assert any(told in text for text in violations(found(world()), wanted))


def test_a_pod_that_is_going_or_has_ended_is_not_live() -> None:
    pods = [copy.deepcopy(world()["pod"]) for _ in range(3)]
    pods[1]["metadata"]["deletionTimestamp"] = "now"
    pods[2]["status"]["phase"] = "Failed"
    assert live_pods(pods) == {"vmi-uid": [pods[0]]}


def made_for(job: str, body: Json) -> Json:
    """A pod as the target of a migration."""
    pod = copy.deepcopy(body)
    pod["metadata"] |= {"name": f"pod-{job}", "labels": {JOB_LABEL: job}}
    return pod


@pytest.mark.parametrize(
    ("pods", "told"),
    [
        pytest.param([""], "", id="one pod"),
        pytest.param(["x"], "", id="one pod, which came by a migration"),
        pytest.param(["", "x"], "", id="a pod and the target of a migration"),
        pytest.param(["x", "y"], "", id="a pod that came by a migration, and the target of the next"),
        pytest.param(["", ""], "had 2 live pods at once, 0 of them", id="two pods of no migration"),
        pytest.param(["", "x", "y"], "had 3 live pods at once", id="a target beside a target"),
    ],
)
def test_live_pods_that_are_too_many_are_told(pods: list[str], told: str) -> None:
    body = world()["pod"]
    found = too_many_pods([made_for(job, body) if job else body for job in pods])
    assert found.startswith(told)
    assert bool(found) is bool(told)


def moved() -> dict[str, Json]:
    """A VM that has migrated: its old pod has ended, its migration is over."""
    objects = world()
    state = {"migrationUid": "job-uid", "sourcePod": "pod", "targetPod": "pod-job-uid", "completed": True}
    objects["other pod"], objects["pod"] = objects["pod"], made_for("job-uid", objects["pod"])
    objects["other pod"]["status"]["phase"] = "Succeeded"
    objects["vmi"]["status"] |= {"nodeName": "node02", "migrationState": state}
    objects["vmi"]["metadata"]["labels"] |= {"kubevirt.io/nodeName": "node02"}
    objects["pod"]["spec"]["nodeName"] = "node02"
    objects["migration"] = {
        "metadata": {"name": "job", "uid": "job-uid"},
        "spec": {"vmiName": "vm"},
        "status": {"phase": "Succeeded", "migrationState": state},
    }
    return objects


def test_a_vm_that_has_moved_has_no_violations() -> None:
    assert violations(found(moved()), declared()) == []


MOVED_CASES = [
    Case("not over", lambda o: o["migration"]["status"].update(phase="Running"), "migration job of vm: is Running"),
    Case("not accepted", lambda o: o["migration"].pop("status"), "is not accepted, and everybody has come to rest"),
    Case(
        "finalizer",
        lambda o: o["migration"]["metadata"].update(finalizers=["kubevirt.io/migrationJobFinalize"]),
        "keeps its finalizers ['kubevirt.io/migrationJobFinalize']",
    ),
    Case("does not go", lambda o: o["migration"]["metadata"].update(deletionTimestamp="now"), "is being deleted"),
    Case(
        "under way for a VM that has gone",
        lambda o: o["migration"].update(spec={"vmiName": "gone"}, status={"phase": "Pending"}),
        "migration job of gone: is Pending",
    ),
    Case("too many", lambda o: o.update({f"migration {n}": o["migration"] for n in range(5)}), "6 migrations are kept"),
    Case("pod of no migration", lambda o: o["migration"]["status"].pop("migrationState"), "nobody takes it away"),
    Case("active state", lambda o: o["vmi"]["status"]["migrationState"].pop("completed"), "and not completed"),
    Case(
        "required",
        lambda o: o["vmi"]["status"]["conditions"].append({"type": "MigrationRequired", "status": "True"}),
        "MigrationRequired is True",
    ),
    Case("elsewhere", lambda o: o["pod"]["spec"].update(nodeName="node01"), "its pod is on node01"),
    Case("label", lambda o: o["vmi"]["metadata"].update(labels={}), "is on node02, labelled None"),
    Case("two live", lambda o: o["other pod"]["status"].update(phase="Running"), "has 2 live pods"),
]


@pytest.mark.parametrize("case", MOVED_CASES, ids=str)
def test_one_thing_wrong_after_a_move_is_told(case: Case) -> None:
    objects = moved()
    case.spoil(objects)
    assert any(case.told in text for text in violations(found(objects), declared()))


@pytest.mark.parametrize(
    ("concurrency", "told"),
    [
        pytest.param(Concurrency(cluster=5, outbound={"a": 2}, inbound={"b": 2}), [], id="at the limits"),
        pytest.param(Concurrency(cluster=6), ["6 migrations at once, more than 5"], id="cluster"),
        pytest.param(
            Concurrency(outbound={"a": 2, "b": 3}), ["3 migrations at once from b, more than 2"], id="outbound"
        ),
        pytest.param(Concurrency(inbound={"a": 3}), ["3 migrations at once to a, more than 2"], id="inbound"),
        pytest.param(
            Concurrency(doubled=["soak/vm: x, y"]), ["two unfinished migrations at once: soak/vm: x, y"], id="doubled"
        ),
    ],
)
def test_limits_that_were_exceeded_are_told(concurrency: Concurrency, told: list[str]) -> None:
    assert exceeded(concurrency) == told
