"""What must be true when everybody has come to rest."""

import json

from tests.sim.cluster import KUBEVIRTS, NAMESPACE, PODS, VMIS, VMS, Cluster, Json, is_in_sight, launcher_pods, owner_of
from tests.sim.kubelet import elements_of, entry, interfaces_in, macs_in
from tests.sim.users import ALONE, FOREIGN

from nicplug.model.networks_annotation import hashed_interface_name
from nicplug.plan.reasons import Reason

ORIGIN = "nicplug.io/template-interfaces"
ROLLED_BACK = "nicplug.io/rolled-back-interfaces"
_HASHED = "pod"
_STUCK = ("Blocked", "Failed")


def check_rest(cluster: Cluster, *, had_two_leaders: bool, is_mended: bool = True) -> None:
    """Every object is what its spec says.

    Args:
        had_two_leaders: a NIC that was plugged and unplugged in the same moment may be left in the VMI: one leader
            took it out of the template, as it had never been plugged, while the other plugged it. No guard spans
            two objects; KubeVirt would say RestartRequired.
        is_mended: nothing stands in the way of a NIC; else it may be told to be Blocked or Failed.
    """
    for vm in cluster.shown(VMS):
        _check_vm(cluster, vm, had_two_leaders=had_two_leaders, stuck=frozenset() if is_mended else _stuck(cluster, vm))
    for vmi in cluster.shown(VMIS):
        _check_vmi(cluster, vmi, had_two_leaders=had_two_leaders, is_mended=is_mended)
    owners = {vmi["metadata"]["uid"] for vmi in cluster.shown(VMIS)}
    for pod in launcher_pods(cluster):
        assert (owner_of(pod) or {})["uid"] in owners, "a pod has outlived its VMI"


def _stuck(cluster: Cluster, vm: Json) -> frozenset[str]:
    """The NICs of its VMI that are told to be stuck."""
    vmi = cluster.get(VMIS, vm["metadata"]["name"]) or {}
    return frozenset(item["name"] for item in _operations(vmi) if item["phase"] in _STUCK)


def _operations(vmi: Json) -> list[Json]:
    rows: list[Json] = (vmi.get("status") or {}).get("interfaceOperations") or []
    return rows


def _check_vm(cluster: Cluster, vm: Json, *, had_two_leaders: bool, stuck: frozenset[str]) -> None:
    name, status = vm["metadata"]["name"], vm.get("status", {})
    assert "deletionTimestamp" not in vm["metadata"], f"{name} does not go"
    vmi = cluster.get(VMIS, name)
    owned = vmi is not None and _owner_uid(vmi) == vm["metadata"]["uid"]
    template = _interfaces(vm["spec"]["template"]["spec"])
    asked = status.get("interfaceRequests") or []
    assert not asked or stuck, f"{name}: requests for NICs have not ended: {asked}"
    strategy = vm["spec"]["runStrategy"]
    if not owned:
        assert all(state != "absent" for state in template.values()), "a stopped VM keeps an absent NIC"
        _check_stopped(name, status, strategy=strategy, is_taken=vmi is not None)
        return
    assert vmi is not None
    assert strategy != "Halted", f"{name} is halted and runs"
    assert status["runStrategy"] == strategy
    requests = status.get("stateChangeRequests") or []
    if vmi["status"]["phase"] in ("Succeeded", "Failed"):
        assert strategy in ("Manual", "Once"), f"{name} has ended, and its VM does not see to it"
        return
    assert not requests or strategy == "Once", f"{name} has not been served: {requests}"
    assert status["printableStatus"] == "Running", status["printableStatus"]
    assert status["ready"] is True
    running = _interfaces(vmi["spec"])
    rolled_back = json.loads(vmi["metadata"]["annotations"].get(ROLLED_BACK, "{}")).keys() & stuck
    assert template.keys() - rolled_back <= running.keys(), "a NIC of the template has not reached the VMI"
    by_policy = _is_declarative(cluster)
    surplus = running.keys() - template.keys() - {ALONE}
    assert (had_two_leaders and not by_policy) or not surplus - stuck, "the VMI has a NIC that the template has not"
    free = {nic: state for nic, state in template.items() if nic not in stuck}
    assert all(state != "absent" for state in free.values()), "the template keeps an absent NIC"
    assert {nic: _link(state) for nic, state in free.items()} == {nic: _link(running[nic]) for nic in free}
    known = json.loads(vmi["metadata"]["annotations"][ORIGIN])
    assert set(known) == running.keys() - {ALONE}, f"{name}: the NICs of the template are said to be {known}"
    needs_restart = bool(_condition(status, "RestartRequired"))
    differs = any(
        mac != macs_of(vmi["spec"]).get(nic, mac) for nic, mac in macs_of(vm["spec"]["template"]["spec"]).items()
    )
    assert needs_restart == (bool(surplus) or differs), f"{name}: RestartRequired is {needs_restart}"


def _is_declarative(cluster: Cluster) -> bool:
    found = cluster.get(KUBEVIRTS, "kubevirt")
    network = found["spec"]["configuration"]["network"] if found else {}
    return bool(network.get("hotplug", {}).get("removalPolicy") == "Declarative")


def _link(state: str) -> str:
    return "down" if state == "down" else "up"


def _check_stopped(name: str, status: Json, *, strategy: str, is_taken: bool) -> None:
    """Without a VMI of its own: it wants none, or somebody else's has the name."""
    has_asked = any(request["action"] == "Start" for request in status.get("stateChangeRequests") or [])
    wants = {
        "Always": True,
        "Halted": has_asked,
        "Manual": has_asked,
        "RerunOnFailure": has_asked or status.get("runStrategy") != strategy,
        "Once": status.get("runStrategy") != strategy,
    }[strategy]
    if wants and is_taken:
        failure = _condition(status, "Failure")
        assert failure.get("reason") == "NameTaken", f"the status of {name} does not say that its name is taken"
        return
    assert not wants, f"{name} does not run"
    assert status.get("printableStatus", "Stopped") in ("Stopped", "CrashLoopBackOff")


def _check_vmi(cluster: Cluster, vmi: Json, *, had_two_leaders: bool, is_mended: bool) -> None:
    name, status = vmi["metadata"]["name"], vmi.get("status", {})
    assert "deletionTimestamp" not in vmi["metadata"], f"{name} does not go"
    if status["phase"] in ("Failed", "Succeeded"):
        return  # whether its VM has seen to it is the VM's to say
    assert status["phase"] == "Running", f"{name} is {status['phase']}"
    if not is_mended and any(item["phase"] in _STUCK for item in status.get("interfaceOperations", [])):
        _check_stuck(cluster, vmi, had_two_leaders=had_two_leaders)
        return
    interfaces = _interfaces(vmi["spec"])
    assert all(state != "absent" for state in interfaces.values()), f"{name} keeps an absent NIC"
    assert sorted(cluster.guests[vmi["metadata"]["uid"]]) == sorted(interfaces), f"{name}: the guest has other NICs"
    rows = {row["name"]: row for row in status["interfaces"]}
    assert rows.keys() == interfaces.keys(), f"{name}: rows {sorted(rows)}, NICs {sorted(interfaces)}"
    for nic, row in rows.items():
        wanted = "domain" if nic == "default" else "domain, multus-status"
        assert row["infoSource"] == wanted, f"{name}: {nic} has infoSource {row['infoSource']}"
        assert row["linkState"] == _link(interfaces[nic]), f"{name}: the link of {nic} is {row['linkState']}"
    assert _condition(status, "Ready").get("status") == "True", f"{name}: {_condition(status, 'Ready')}"
    ready = _condition(status, "InterfacesReady")
    assert ready["status"] == "True", f"{name}: {ready}"
    assert ready["observedGeneration"] == vmi["metadata"]["generation"], (
        f"{name}: the condition is of an old generation"
    )
    assert not _condition(status, "MigrationRequired"), f"{name}: {_condition(status, 'MigrationRequired')}"
    records = {item["name"]: item["phase"] for item in status.get("interfaceOperations", [])}
    assert set(records.values()) <= {"Ready"}, f"{name}: {records}"
    _check_pod(cluster, vmi, networks_of(vmi["spec"]), had_two_leaders=had_two_leaders)


def _check_stuck(cluster: Cluster, vmi: Json, *, had_two_leaders: bool) -> None:
    """Each NIC is as the spec says, or its record says why not; and InterfacesReady tells of it."""
    name, status, uid = vmi["metadata"]["name"], vmi["status"], vmi["metadata"]["uid"]
    stuck = {item["name"]: item for item in status["interfaceOperations"] if item["phase"] in _STUCK}
    others = {item["name"]: item["phase"] for item in status["interfaceOperations"] if item["phase"] not in _STUCK}
    assert set(others.values()) <= {"Ready"}, f"{name}: {others}"
    for nic, item in stuck.items():
        assert item["reason"] in list(Reason), f"{name}: {nic}: reason {item['reason']}"
        assert item["message"], f"{name}: {nic}: no message"
        assert item.get("remedy"), f"{name}: {nic}: nobody knows what to do about {item['reason']}"
    for nic, state in _interfaces(vmi["spec"]).items():
        is_right = (nic in cluster.guests[uid]) == (state != "absent")
        assert is_right or nic in stuck, f"{name}: {nic} is not as the spec says, and its record does not say why"
    assert _condition(status, "InterfacesReady")["status"] == "False", f"{name}: a NIC is stuck, and is not told"
    pod = _only_pod(cluster, vmi, had_two_leaders=had_two_leaders)
    asked = {item["interface"] for item in elements_of(pod) if item != FOREIGN}
    stray = asked - {hashed_interface_name(nic) for nic in networks_of(vmi["spec"])}
    assert not stray, f"{name}: the pod is asked for {stray}, which no NIC is of"


def _only_pod(cluster: Cluster, vmi: Json, *, had_two_leaders: bool) -> Json:
    uid, name = vmi["metadata"]["uid"], vmi["metadata"]["name"]
    home = cluster.homes[uid]
    pods = [pod for pod in launcher_pods(cluster, uid) if pod["status"]["phase"] in ("Pending", "Running")]
    # One that nobody has recorded and whose labels somebody took away is seen by nobody, and goes with its VMI.
    # So does one that one of two leaders has recorded, while the guest went to the other one's.
    pods = [
        pod
        for pod in pods
        if is_in_sight(PODS, pod)
        or (pod["metadata"]["uid"] == home if had_two_leaders else pod["metadata"]["uid"] in cluster.recorded)
    ]
    assert len(pods) == 1, f"{name} has {len(pods)} pods"
    assert pods[0]["metadata"]["uid"] == home, f"{name}: not the pod that the guest runs in"
    assert is_in_sight(PODS, pods[0]), f"{name}: the pod has not got its label back"
    return pods[0]


def _check_pod(cluster: Cluster, vmi: Json, networks: dict[str, str], *, had_two_leaders: bool) -> None:
    pod = _only_pod(cluster, vmi, had_two_leaders=had_two_leaders)
    wanted = {hashed_interface_name(nic): f"{NAMESPACE}/{network}" for nic, network in networks.items()}
    own = [entry(item) for item in elements_of(pod) if item != FOREIGN]
    assert {item["interface"]: item["name"] for item in own} == wanted, f"{vmi['metadata']['name']}: asked for {own}"
    assert len(own) == len(wanted), "an element twice"
    attached = {name: network for name, network in interfaces_in(pod).items() if name.startswith(_HASHED)}
    if not cluster.machines[pod["spec"]["nodeName"]].plugs:  # what no guest ever had stays there
        attached = {name: network for name, network in attached.items() if name in wanted}
    assert attached == wanted, f"{vmi['metadata']['name']}: attached {attached}, wanted {wanted}"
    macs = {hashed_interface_name(nic): mac for nic, mac in macs_of(vmi["spec"]).items() if mac}
    present = {interface: mac for interface, mac in macs_in(pod).items() if interface in macs}
    assert present == macs, f"{vmi['metadata']['name']}: MAC addresses {present}, wanted {macs}"


def networks_of(spec: Json) -> dict[str, str]:
    """The attachment definition of each secondary NIC."""
    return {item["name"]: item["multus"]["networkName"] for item in spec.get("networks") or () if "multus" in item}


def _interfaces(spec: Json) -> dict[str, str]:
    devices = spec["domain"]["devices"]
    return {item["name"]: item.get("state", "") for item in devices.get("interfaces") or []}


def macs_of(spec: Json) -> dict[str, str]:
    """The MAC address that each NIC asks for, or ""."""
    return {item["name"]: item.get("macAddress", "") for item in spec["domain"]["devices"].get("interfaces") or []}


def _owner_uid(vmi: Json) -> str | None:
    owners = vmi["metadata"].get("ownerReferences") or []
    return owners[0]["uid"] if owners else None


def _condition(status: Json, type_: str) -> Json:
    return next((row for row in status.get("conditions", []) if row["type"] == type_), {})


def gate_is_on(cluster: Cluster) -> bool:
    """Hot-plug is allowed, so that everything can come to rest."""
    found = cluster.get(KUBEVIRTS, "kubevirt")
    return bool(found and found["spec"]["configuration"]["developerConfiguration"]["featureGates"])
