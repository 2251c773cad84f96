"""What must hold after every change while VMs are migrated, whoever made it."""

from collections import Counter
from datetime import datetime

from tests.sim.cluster import (
    KUBEVIRTS,
    MIGRATIONS,
    PODS,
    VMIS,
    VMS,
    Change,
    Cluster,
    Json,
    is_live,
    is_target,
    launcher_pods,
    owner_of,
)
from tests.sim.expectations import networks_of
from tests.sim.kubelet import elements_of
from tests.sim.node_agent import go_aheads, is_migrating, state_of

from nicplug.model.networks_annotation import hashed_interface_name

FINAL = ("Succeeded", "Failed")
_HANDED_OFF = ("PreparingTarget", "TargetReady", "Running")
_DEFAULTS = (5, 2, 2)
_OPERATOR = "operator"
_RECORDED_WITHIN_SECONDS = 5.0
_OWN_ANNOTATIONS = (
    "nicplug.io/template-interfaces",
    "nicplug.io/interfaces",
    "kubevirt.io/vm-generation",
    "nicplug.io/rolled-back-interfaces",
)


class MigrationInvariants:
    """Checked after every commit.

    The limits are those that an operator may still believe in: the largest that there have been.
    """

    def __init__(self) -> None:
        self._limits = (0, 0, 0)
        self._rolls_back = False

    def begin_anew(self) -> None:
        """No operator has heard of a limit yet."""
        self._limits = (0, 0, 0)

    def __call__(self, cluster: Cluster) -> None:
        change = cluster.last
        assert change is not None
        if change.plural == KUBEVIRTS:
            self._note_limits(change)
        if change.plural == PODS:
            _check_pod(cluster, change)
            self._check_starts(cluster, change)
        if change.plural == VMIS:
            self._check_hand_offs(cluster, change)
        if change.plural == MIGRATIONS:
            _check_phases(cluster)
        self._rolls_back |= "Rollback" in str(change.after)
        _check_users_words(change, rolls_back=self._rolls_back)

    def _note_limits(self, change: Change) -> None:
        limits = _DEFAULTS if change.type == "DELETED" else _limits(change.after)
        self._limits = tuple(map(max, zip(self._limits, limits, strict=True)))  # type: ignore[assignment]

    def _check_starts(self, cluster: Cluster, change: Change) -> None:
        """A target pod that is made takes a slot of the cluster and of its source's node."""
        if change.before is not None or not _is_target_of_ours(cluster, change):
            return
        per_cluster, outbound, _ = self._limits
        moving = _moving(cluster)
        assert len(moving) <= per_cluster, f"{len(moving)} migrations at once, {per_cluster} are allowed"
        sources = Counter(node for vmi in moving if (node := _source_of(cluster, vmi)))
        for node, count in sources.items():
            assert count <= outbound, f"{count} migrations at once from {node}, {outbound} are allowed"
        vmis = Counter(vmi["metadata"]["uid"] for vmi in moving)
        assert not vmis or max(vmis.values()) == 1, "two migrations of one VMI have target pods"

    def _check_hand_offs(self, cluster: Cluster, change: Change) -> None:
        before = state_of(change.before or {}).get("migrationUid")
        if before == state_of(change.after).get("migrationUid") or not change.by.startswith(_OPERATOR):
            return
        _check_target(cluster, change.after)
        inbound = self._limits[2]
        moving = [state_of(vmi) for vmi in cluster.shown(VMIS) if is_migrating(vmi)]
        made = {
            (pod["metadata"]["name"], cluster.made_for.get(pod["metadata"]["uid"])) for pod in launcher_pods(cluster)
        }
        real = [state for state in moving if (state.get("targetPod"), state["migrationUid"]) in made]
        targets = Counter(state.get("targetNode") for state in real)
        for node, count in targets.items():
            assert count <= inbound, f"{count} migrations at once to {node}, {inbound} are allowed"


def _check_target(cluster: Cluster, vmi: Json) -> None:
    """A guest moves to a pod that was made with every NIC that it has, or that its node agent may plug any moment."""
    name, state = vmi["metadata"]["name"], state_of(vmi)
    targets = [pod for pod in launcher_pods(cluster, vmi["metadata"]["uid"]) if is_named(pod, state.get("targetPod"))]
    staying = {item["name"] for item in nics_of(vmi["spec"]) if item.get("state") != "absent"}
    given = {*cluster.guests.get(vmi["metadata"]["uid"], ()), *(go_aheads(vmi) & staying)}
    given &= networks_of(vmi["spec"]).keys()
    for pod in targets:
        made_with = {item["interface"] for item in elements_of(pod)}
        lacking = {nic for nic in given if hashed_interface_name(nic) not in made_with}
        assert not lacking, f"{name} is handed over to {pod['metadata']['name']}, which lacks {sorted(lacking)}"


def is_named(pod: Json, name: str | None) -> bool:
    """It has that name."""
    return bool(pod["metadata"]["name"] == name)


def _limits(body: Json) -> tuple[int, int, int]:
    configuration = body["spec"]["configuration"]
    migrations, hotplug = configuration.get("migrations") or {}, configuration["network"].get("hotplug") or {}
    return (
        migrations.get("parallelMigrationsPerCluster", _DEFAULTS[0]),
        migrations.get("parallelOutboundMigrationsPerNode", _DEFAULTS[1]),
        hotplug.get("parallelInboundMigrationsPerNode", _DEFAULTS[2]),
    )


def _is_target_of_ours(cluster: Cluster, change: Change) -> bool:
    return is_target(cluster, change.after) and change.by.startswith(_OPERATOR)


def _moving(cluster: Cluster) -> list[Json]:
    """The VMI of each migration that has not ended and has a live target pod.

    Two leaders may each make one for a migration, of which one is recorded.
    """
    jobs = {job["metadata"]["uid"] for job in cluster.shown(MIGRATIONS) if _phase(job) not in FINAL}
    vmis = {vmi["metadata"]["uid"]: vmi for vmi in cluster.shown(VMIS)}
    owners = {
        cluster.made_for[pod["metadata"]["uid"]]: (owner_of(pod) or {})["uid"]
        for pod in launcher_pods(cluster)
        if is_live(pod) and cluster.made_for.get(pod["metadata"]["uid"]) in jobs and _may_be_used(cluster, pod)
    }
    return [vmis[uid] for uid in owners.values() if uid in vmis]


def _may_be_used(cluster: Cluster, pod: Json) -> bool:
    """It is recorded, or may still be: one that was not within that time is deleted."""
    is_new = (cluster.now - _created(pod)).total_seconds() < _RECORDED_WITHIN_SECONDS
    return is_new or pod["metadata"]["uid"] in cluster.recorded


def _created(pod: Json) -> datetime:
    """When it was made."""
    return datetime.fromisoformat(pod["metadata"]["creationTimestamp"])


def _source_of(cluster: Cluster, vmi: Json) -> str:
    """The node that its migration takes it from; it may have left that already, and somebody forged where it was."""
    state = state_of(vmi)
    jobs = {job["metadata"]["uid"] for job in cluster.shown(MIGRATIONS) if _phase(job) not in FINAL}
    if state.get("migrationUid") in jobs:
        return str(state.get("sourceNode"))
    has_moved = cluster.made_for.get(cluster.homes.get(vmi["metadata"]["uid"], "")) in jobs
    return "" if has_moved else str(vmi["status"].get("nodeName"))


def _phase(job: Json) -> str:
    phase: str = (job.get("status") or {}).get("phase", "")
    return phase


def _check_phases(cluster: Cluster) -> None:
    """Of one VMI, one migration at a time is with the node agents."""
    handed_off = Counter(job["spec"]["vmiName"] for job in cluster.shown(MIGRATIONS) if _phase(job) in _HANDED_OFF)
    for vmi, count in handed_off.items():
        assert count == 1, f"{count} migrations of {vmi} are with the node agents"


def _check_pod(cluster: Cluster, change: Change) -> None:
    """No pod of somebody else's is touched, and none is deleted under its guest."""
    pod = change.after
    name, owner = pod["metadata"]["name"], owner_of(pod)
    if not change.by.startswith(_OPERATOR):
        return
    assert owner is not None, f"{name} is nobody's"
    assert owner["kind"] == "VirtualMachineInstance", f"{name} is not ours"
    is_made = pod["metadata"]["uid"] in cluster.made
    assert is_made or change.type == "DELETED" or "deletionTimestamp" in pod["metadata"], f"{name} is not ours: changed"
    assert is_made or "nicplug.io/pod-spec" in pod["metadata"]["annotations"], f"{name} is not ours: deleted"
    was_asked_to_go = change.before is not None and "deletionTimestamp" in change.before["metadata"]
    if "deletionTimestamp" not in pod["metadata"] or was_asked_to_go:
        return
    vmi = next((item for item in cluster.shown(VMIS) if item["metadata"]["uid"] == owner["uid"]), None)
    if vmi is None or "deletionTimestamp" in vmi["metadata"] or vmi.get("status", {}).get("phase") in FINAL:
        return
    is_home = cluster.homes.get(owner["uid"]) == pod["metadata"]["uid"] and owner["uid"] in cluster.guests
    assert not (is_home and pod["status"]["phase"] == "Running"), f"{name} was deleted with the guest in it"


def _check_users_words(change: Change, *, rolls_back: bool) -> None:
    """Of a VM the operator takes NICs out that shall go, and nothing else; of a VMI it leaves what others wrote.

    Args:
        rolls_back: somebody has set the policy by which a NIC that cannot come is taken out of its VMI.
    """
    if change.before is None or not change.by.startswith(_OPERATOR):
        return
    before, after = change.before, change.after
    if change.plural in (VMS, VMIS, MIGRATIONS):
        lost = _notes(before).items() - _notes(after).items()
        assert not lost, f"annotations of others are lost: {lost}"
    if change.plural == VMIS and owner_of(before) is None and not rolls_back:
        asked = {item["name"]: item for item in nics_of(before["spec"])}
        gone = [item for name, item in asked.items() if name not in {item["name"] for item in nics_of(after["spec"])}]
        assert all(item.get("state") == "absent" for item in gone), f"taken out of a VMI of nobody's: {gone}"
    if change.plural == VMS:
        asked = {item["name"]: item for item in _nics(before)}
        left = {item["name"]: item for item in _nics(after)}
        requested = _requested(before)
        gone = [item for name, item in asked.items() if name not in left.keys() | requested]
        assert all(item.get("state") == "absent" for item in gone), f"taken out of the template: {gone}"
        kept = {name: item for name, item in left.items() if name not in requested}
        assert all(asked.get(name) == item for name, item in kept.items()), "a NIC of the template was changed"
        assert _rest(before) == _rest(after), "the VM's template was changed"


def _notes(body: Json) -> dict[str, str]:
    found = body["metadata"].get("annotations") or {}
    return {name: text for name, text in found.items() if name not in _OWN_ANNOTATIONS}


def _requested(vm: Json) -> set[str]:
    """The NICs that somebody has asked for, or asked to go, in the status."""
    requests = vm.get("status", {}).get("interfaceRequests") or []
    return {options["name"] for request in requests for options in request.values()}


def nics_of(spec: Json) -> list[Json]:
    """The interfaces of a VMI's spec."""
    nics: list[Json] = spec["domain"]["devices"].get("interfaces") or []
    return nics


def _nics(vm: Json) -> list[Json]:
    return nics_of(vm["spec"]["template"]["spec"])


def _rest(vm: Json) -> Json:
    spec = vm["spec"]["template"]["spec"]
    domain = {name: value for name, value in spec["domain"].items() if name != "devices"}
    others = {name: value for name, value in spec.items() if name not in ("networks", "domain")}
    return {**others, "domain": domain, "metadata": vm["spec"]["template"].get("metadata")}
