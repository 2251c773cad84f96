"""What there is to see for a pass, read from the objects: where each NIC is, its pods, its migrations, its networks.

Everything is short and has a label, so that a log can show what is new since the last pass over the same object.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from tests.sim.cluster import (
    CONTROLLER_PODS,
    DAEMON_SETS,
    KUBEVIRTS,
    MIGRATIONS,
    NADS,
    NODES,
    PODS,
    REPORTS,
    VMIS,
    VMS,
    Cluster,
    Json,
    launcher_pods,
)
from tests.sim.kubelet import elements_of, interfaces_in
from tests.sim.node_agent import interfaces_of, state_of
from tests.stories.wording import nics_of, record_text

from nicplug.model.keys import BudgetKey, MigrationKey, SlotsKey, VmiKey, VmKey, WorkKey
from nicplug.model.networks_annotation import hashed_interface_name

_FINAL = ("Succeeded", "Failed")
# Of the node that the guest has left nothing is gone.
_OF_NODES = ("dynamic networks controller", "node ")


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to see.

    Attributes:
        is_usual: not worth a word, unless it was otherwise before.
    """

    text: str
    is_usual: bool = False


Facts = dict[str, Fact]
"""By label."""


def news(before: Facts, now: Facts) -> list[str]:
    """What is new, or gone."""
    found = [
        f"{label}: {fact.text}"
        for label, fact in now.items()
        if before.get(label, Fact("", is_usual=True)).text != fact.text and not (fact.is_usual and label not in before)
    ]
    return [*found, *(f"{label}: gone" for label in before if label not in now and not label.startswith(_OF_NODES))]


def seen(cluster: Cluster, key: WorkKey) -> Facts:
    """What there is to see for a pass over this key."""
    match key:
        case VmKey():
            return dict(_of_vm(cluster, key.name))
        case VmiKey():
            return dict(_of_vmi(cluster, key.name))
        case MigrationKey():
            return dict(_of_migration(cluster, key.name))
        case SlotsKey():
            return dict(_of_slots(cluster))
        case BudgetKey():
            return dict(_of_budget(cluster, key.name))


def _of_vm(cluster: Cluster, name: str) -> Iterator[tuple[str, Fact]]:
    vm, vmi = cluster.get(VMS, name), cluster.get(VMIS, name)
    if vm is None:
        return
    strategy = vm["spec"].get("runStrategy", "none")
    yield "run strategy", Fact(strategy, is_usual=strategy == "Always")
    yield "template", Fact(_nics(vm["spec"]["template"]["spec"]))
    yield "instance", _instance(vmi)
    status = vm.get("status") or {}
    asked = [next(iter(item), "?") for item in status.get("interfaceRequests") or ()]
    asked += [item.get("action", "?") for item in status.get("stateChangeRequests") or ()]
    if asked:
        yield "requests", Fact(", ".join(asked))
    yield from _of_kubevirt(cluster)
    yield from _deletion(vm)


def _nics(spec: Json) -> str:
    return f"NICs {', '.join(nics_of(spec).values()) or 'none'}"


def _instance(vmi: Json | None) -> Fact:
    if vmi is None:
        return Fact("none")
    phase = (vmi.get("status") or {}).get("phase", "new")
    going = ", being deleted" if "deletionTimestamp" in vmi["metadata"] else ""
    return Fact(f"{phase}{going}, {_nics(vmi['spec'])}")


def _of_vmi(cluster: Cluster, name: str) -> Iterator[tuple[str, Fact]]:
    vmi = cluster.get(VMIS, name)
    if vmi is None:
        return
    phase = (vmi.get("status") or {}).get("phase", "new")
    yield "phase", Fact(phase, is_usual=phase == "Running")
    pods = [_pod_fact(cluster, pod) for pod in launcher_pods(cluster, vmi["metadata"]["uid"])]
    yield from sorted(pods, key=lambda item: item[0])
    yield from _of_nics(cluster, vmi)
    yield from _of_networks(cluster, vmi)
    if node := (vmi.get("status") or {}).get("nodeName"):
        controller = _controller(cluster, node)
        yield f"dynamic networks controller on {node}", Fact(controller, is_usual=controller == "ready")
        yield f"node {node}", _node(cluster, node)
    for job in cluster.shown(MIGRATIONS):
        if job["spec"].get("vmiName") == name:
            job_phase = (job.get("status") or {}).get("phase", "new")
            yield f"migration {job['metadata']['name']}", Fact(job_phase, is_usual=job_phase == "Succeeded")
    yield from _conditions(vmi)
    yield from _of_kubevirt(cluster)
    yield from _deletion(vmi)


def _pod_fact(cluster: Cluster, pod: Json) -> tuple[str, Fact]:
    where = pod["spec"].get("nodeName", "no node")
    going = ", being deleted" if "deletionTimestamp" in pod["metadata"] else ""
    is_usual = pod["status"]["phase"] == "Running" and not going
    return f"pod {pod['metadata']['name']}", Fact(f"{pod['status']['phase']} on {where}{going}", is_usual=is_usual)


def _of_nics(cluster: Cluster, vmi: Json) -> Iterator[tuple[str, Fact]]:
    """Where each NIC is: in the spec, asked for by the pod's annotation, in the pod, with go-ahead, in the guest."""
    uid = vmi["metadata"]["uid"]
    home = next((pod for pod in cluster.shown(PODS) if pod["metadata"]["uid"] == cluster.homes.get(uid)), None)
    asked = {item.get("interface") for item in elements_of(home)} if home is not None else set()
    attached = interfaces_in(home) if home is not None else {}
    rows = {row.get("name"): row for row in (vmi.get("status") or {}).get("interfaces") or ()}
    spec = {item["name"]: item for item in interfaces_of(vmi)}
    for name in [*spec, *sorted(filter(None, rows.keys() - spec.keys()))]:
        interface, row = hashed_interface_name(name), rows.get(name, {})
        sources = str(row.get("infoSource", "")).split(", ")
        state = spec.get(name, {}).get("state")
        places = [
            ("spec" if name in spec else "") + (f" {state}" if state and name in spec else ""),
            "asked of pod" if interface in asked else "",
            "in pod" if interface in attached else "",
            "go-ahead" if "multus-status" in sources else "",
            "in guest" if "domain" in sources else "",
            f"link {row['linkState']}" if row.get("linkState") == "down" else "",
        ]
        text = " > ".join(filter(None, places))
        is_primary = any(
            network.get("name") == name and "pod" in network for network in vmi["spec"].get("networks", ())
        )
        at_rest = is_primary and text == "spec > in guest"
        yield f"NIC {name}", Fact(text, is_usual=at_rest)


def _of_networks(cluster: Cluster, vmi: Json) -> Iterator[tuple[str, Fact]]:
    for network in vmi["spec"].get("networks") or ():
        reference = network.get("multus", {}).get("networkName")
        if reference is None:
            continue
        namespace, _, name = reference.rpartition("/")
        found = cluster.get(NADS, name) if namespace in ("", "default") else None
        if found is None:
            yield f"network {reference}", Fact("does not exist" if namespace in ("", "default") else "elsewhere")
        else:
            is_whole = found["spec"]["config"].startswith("{")
            text = "exists" if is_whole else "cannot be read"
            yield f"network {reference}", Fact(text, is_usual=is_whole)


def _controller(cluster: Cluster, node: str) -> str:
    if not cluster.shown(DAEMON_SETS):
        return "not in this cluster"
    for pod in cluster.shown(CONTROLLER_PODS):
        if pod["spec"]["nodeName"] == node:
            rows = {row["type"]: row["status"] for row in pod["status"].get("conditions", ())}
            return "ready" if rows.get("Ready") == "True" else "not ready"
    return "none"


def _node(cluster: Cluster, name: str) -> Fact:
    body = cluster.get(NODES, name)
    if body is None:
        return Fact("gone")
    ready = {row["type"]: row["status"] for row in body["status"]["conditions"]}.get("Ready") == "True"
    words = [*([] if ready else ["not ready"]), *(["cordoned"] if body["spec"].get("unschedulable") else [])]
    return Fact(", ".join(words) or "ready", is_usual=not words)


def _conditions(vmi: Json) -> Iterator[tuple[str, Fact]]:
    """What the node agents say of the guest."""
    rows = {row["type"]: row for row in (vmi.get("status") or {}).get("conditions") or ()}
    if (row := rows.get("LiveMigratable")) is not None:
        yield "LiveMigratable", Fact(row["status"], is_usual=row["status"] == "True")
    if (row := rows.get("Paused")) is not None:
        yield "Paused", Fact(row["status"])
    if marked := (vmi.get("status") or {}).get("evacuationNodeName"):
        yield "to be evacuated from", Fact(marked)
    state = state_of(vmi)
    if state.get("migrationUid"):
        yield "hand-off", _hand_off(state)


def _hand_off(state: Json) -> Fact:
    stages = (
        ("completed", "failed" if state.get("failed") else "completed"),
        ("targetNodeDomainReadyTimestamp", "guest on the target node"),
        ("startTimestamp", "copy under way"),
        ("targetNodeAddress", "target node prepared"),
    )
    text = next((text for member, text in stages if state.get(member)), "with the node agents")
    abort = ", abort asked for" if state.get("abortRequested") and not state.get("completed") else ""
    return Fact(f"{text}{abort}", is_usual=text == "completed")


def _of_migration(cluster: Cluster, name: str) -> Iterator[tuple[str, Fact]]:
    job = cluster.get(MIGRATIONS, name)
    if job is None:
        return
    uid = job["metadata"]["uid"]
    vmi = cluster.get(VMIS, job["spec"]["vmiName"])
    instance = (vmi.get("status") or {}).get("phase", "new") if vmi is not None else "does not exist"
    yield f"instance {job['spec']['vmiName']}", Fact(instance, is_usual=instance == "Running")
    for pod in cluster.shown(PODS):
        if cluster.made_for.get(pod["metadata"]["uid"]) == uid:
            label, fact = _pod_fact(cluster, pod)
            yield f"target {label}", Fact(fact.text)
    if vmi is not None and state_of(vmi).get("migrationUid") == uid:
        yield "hand-off", Fact(_hand_off(state_of(vmi)).text)
    entry = _ledger(cluster).get(uid)
    if entry is not None:
        yield "slot", Fact(f"granted{' with target node' if entry.get('targetNode') else ''}")
    yield from _deletion(job)


def _ledger(cluster: Cluster) -> dict[str, Json]:
    found = cluster.get("configmaps", "nicplug-migration-slots")
    data = (found.get("data") or {}) if found is not None else {}
    return {uid: json.loads(text) for uid, text in data.items() if uid != "checksum"}


def _of_slots(cluster: Cluster) -> Iterator[tuple[str, Fact]]:
    for job in cluster.shown(MIGRATIONS):
        phase = (job.get("status") or {}).get("phase", "new")
        if phase not in _FINAL:
            yield f"migration {job['metadata']['name']} of {job['spec']['vmiName']}", Fact(phase)


def _of_budget(cluster: Cluster, name: str) -> Iterator[tuple[str, Fact]]:
    vmi = cluster.get(VMIS, name)
    if vmi is None:
        return
    strategy = vmi["spec"].get("evictionStrategy") or _configuration(cluster).get("evictionStrategy") or "None"
    yield "eviction strategy", Fact(strategy)
    for label, fact in sorted(_pod_fact(cluster, pod) for pod in launcher_pods(cluster, vmi["metadata"]["uid"])):
        yield label, Fact(fact.text)


def _configuration(cluster: Cluster) -> Json:
    for body in cluster.shown(KUBEVIRTS):
        configuration: Json = body["spec"]["configuration"]
        return configuration
    return {}


def _of_kubevirt(cluster: Cluster) -> Iterator[tuple[str, Fact]]:
    gates = _configuration(cluster).get("developerConfiguration", {}).get("featureGates", [])
    is_on = "HotplugNICs" in gates
    yield "feature gate HotplugNICs", Fact("on" if is_on else "off", is_usual=is_on)


def _deletion(body: Json) -> Iterator[tuple[str, Fact]]:
    if "deletionTimestamp" in body["metadata"]:
        yield "deletion", Fact("asked for")


def status_with_records(cluster: Cluster, name: str) -> Json:
    """The status of a VMI, with what a companion reports on it."""
    status = (cluster.get(VMIS, name) or {}).get("status") or {}
    report = (cluster.get(REPORTS, name) or {}).get("status") or {}
    conditions = [*(status.get("conditions") or ()), *(report.get("conditions") or ())]
    records = report.get("interfaceOperations") or status.get("interfaceOperations")
    return {**status, "conditions": conditions, "interfaceOperations": records}


def inventory(cluster: Cluster) -> Iterator[str]:
    """A line for each VM without instance, and for each instance: where it runs, and where its NICs are."""
    instances = {body["metadata"]["name"] for body in cluster.shown(VMIS)}
    for vm in cluster.shown(VMS):
        if (name := vm["metadata"]["name"]) not in instances:
            yield f"{name}: not running, template {_nics(vm['spec']['template']['spec'])}"
    for vmi in cluster.shown(VMIS):
        status = status_with_records(cluster, vmi["metadata"]["name"])
        pods = [_pod_fact(cluster, pod) for pod in launcher_pods(cluster, vmi["metadata"]["uid"])]
        where = ", ".join(f"{label} {fact.text}" for label, fact in sorted(pods)) or "no pod"
        ready = [row for row in status.get("conditions") or () if row["type"] == "InterfacesReady"]
        said = f", InterfacesReady {ready[0]['status']}" if ready else ""
        yield f"{vmi['metadata']['name']}: {status.get('phase', 'new')}{said}; {where}"
        records = {row["name"]: row for row in status.get("interfaceOperations") or ()}
        for label, fact in _of_nics(cluster, vmi):
            name = label.removeprefix("NIC ")
            yield f"    {label}: {fact.text or 'nowhere'}{_recorded(records.get(name), cluster.now)}"


def _recorded(row: Json | None, now: datetime) -> str:
    return f" ({record_text(row, now=now).partition(': ')[2]})" if row is not None else ""
