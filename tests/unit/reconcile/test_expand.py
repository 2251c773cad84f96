"""What is made of an object that is too large to be kept is whole when it is sent."""

from typing import Any

import pytest
from tests.build import NAMESPACE, NOW, Json, kubevirt, nic, primary, vm
from tests.fakes.direct import DirectApi, DirectWorld
from tests.fakes.store import as_text

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.elided import ELIDED, has_elided
from nicplug.kube.errors import Stale
from nicplug.kube.object_text import ObjectText
from nicplug.model.frozen_json import freeze, thaw
from nicplug.model.keys import VmiKey, VmKey, WorkKey
from nicplug.plan.actions import Kind, PatchSpec, PatchStatus
from nicplug.plan.views import PlanSettings
from nicplug.plan.vm.start import start_vmi
from nicplug.plan.vmi.launcher_pod import create_launcher_pod
from nicplug.reconcile.execute import Executor
from nicplug.reconcile.gather import Gatherer
from nicplug.reconcile.large_objects import Expander, LargeTurns, TurnTaken
from nicplug.reconcile.memory import Memory

LARGE: Json = {
    "volumes": [{"name": "c", "cloudInitNoCloud": {"userData": "<b>\u00e9" * 10_000}}],
    "x": [{"a": 1}] * 5_000,
    "tolerations": [{"key": f"k{number}", "operator": "Exists"} for number in range(1_000)],
}
OWNER = VmKey(NAMESPACE, "v")


class Cluster:
    """An API server, what nicplug knows of it, and the executor."""

    def __init__(self) -> None:
        self.world = DirectWorld()
        self.api = DirectApi(self.world)
        self.caches = Caches(clock=lambda: NOW)
        self.dirty: list[WorkKey] = []
        self.caches.observe(CachedKind.KUBEVIRT, kubevirt())
        self.turns = LargeTurns(on_turn=self.dirty.append)
        expander = Expander(self.api, self.caches, self.dirty.extend, self.turns)
        self.executor = Executor(self.api, self.caches, self._look_at, expander)

    def _look_at(self, keys: list[WorkKey], *, by: WorkKey | None = None) -> None:
        self.dirty += keys

    def put(self, raw: Json) -> None:
        """As a user writes it."""
        body = {**raw, "metadata": {"name": raw["metadata"]["name"], "namespace": NAMESPACE}}
        self.world.writer.create(self.world.kinds["virtualmachines"], body, namespace=NAMESPACE)

    def see(self, kind: CachedKind, plural: str, name: str) -> None:
        """As a watch brings it."""
        self.caches.observe(kind, ObjectText(plural).read(as_text(self.object(plural, name))))

    def object(self, plural: str, name: str) -> Json:
        found = self.world.object(plural, name, namespace=NAMESPACE)
        assert found is not None
        return found

    def start(self) -> list[Any]:
        gatherer = Gatherer(self.caches, Memory(clock=lambda: NOW), PlanSettings())
        view = gatherer.vm_view(VmKey(NAMESPACE, "v"))
        assert view is not None
        return start_vmi(view, paused=False)


def large_vm(**members: Any) -> Json:
    raw = vm(primary(), nic("blue"), name="v")
    raw["spec"]["template"]["spec"] |= {**LARGE, **members}
    return raw


@pytest.fixture
def cluster() -> Cluster:
    made = Cluster()
    made.put(large_vm())
    made.see(CachedKind.VM, "virtualmachines", "v")
    return made


async def test_a_vm_with_a_large_template_starts_whole(cluster: Cluster) -> None:
    actions = cluster.start()
    assert all(has_elided(thaw(action.body)) for action in actions)
    for action in actions:
        await cluster.executor.execute(action, by=OWNER)
    template = cluster.object("virtualmachines", "v")["spec"]["template"]
    assert cluster.object("virtualmachineinstances", "v")["spec"] == template["spec"]
    assert cluster.object("controllerrevisions", actions[0].key.name)["data"]["spec"]["template"] == template


async def test_no_vmi_is_made_of_a_template_that_has_changed_since(cluster: Cluster) -> None:
    actions = cluster.start()
    kind, key = cluster.world.kinds["virtualmachines"], (NAMESPACE, "v")
    body = cluster.object("virtualmachines", "v")
    body["spec"]["template"]["spec"]["volumes"][0]["name"] = "d"
    cluster.world.writer.update(kind, key, body)
    with pytest.raises(Stale, match="has changed"):
        await cluster.executor.execute(actions[1], by=OWNER)
    assert cluster.world.object("virtualmachineinstances", "v", namespace=NAMESPACE) is None
    # What was read meanwhile is known: the next plan is right.
    assert VmKey(NAMESPACE, "v") in cluster.dirty
    await cluster.executor.execute(cluster.start()[1], by=OWNER)
    assert cluster.object("virtualmachineinstances", "v")["spec"]["volumes"][0]["name"] == "d"


async def test_no_vmi_is_made_of_a_namesake(cluster: Cluster) -> None:
    actions = cluster.start()
    kind, key = cluster.world.kinds["virtualmachines"], (NAMESPACE, "v")
    cluster.world.writer.delete(kind, key)
    with pytest.raises(Stale):
        await cluster.executor.execute(actions[1], by=OWNER)
    cluster.put(large_vm())
    with pytest.raises(Stale):
        await cluster.executor.execute(actions[1], by=OWNER)


async def test_a_pod_gets_what_its_vmi_says_and_no_annotation_that_nobody_has_seen(cluster: Cluster) -> None:
    """An annotation hidden among thousands would ask for any network."""
    raw = large_vm()
    hidden = {f"a{number}": "x" * 20 for number in range(3_000)} | {"k8s.v1.cni.cncf.io/other": "red/secret"}
    raw["spec"]["template"]["metadata"] = {
        "annotations": hidden,
        "labels": {f"a-longer-name-{name}": "x" for name in hidden},
    }
    cluster = Cluster()
    cluster.put(raw)
    cluster.see(CachedKind.VM, "virtualmachines", "v")
    for action in cluster.start():
        await cluster.executor.execute(action, by=OWNER)
    made = cluster.object("virtualmachineinstances", "v")
    assert hidden.items() <= made["metadata"]["annotations"].items()
    cluster.see(CachedKind.VMI, "virtualmachineinstances", "v")
    vmi = cluster.caches.vmis.get(VmiKey(NAMESPACE, "v"))
    assert vmi is not None
    action = create_launcher_pod(vmi=vmi, settings=PlanSettings())
    await cluster.executor.execute(action, by=OWNER)
    pod = cluster.object("pods", action.key.name)
    assert pod["spec"]["tolerations"] == LARGE["tolerations"]
    assert not any("other" in name or ELIDED in name for name in pod["metadata"]["annotations"])
    assert len(pod["metadata"]["labels"]) < 20


async def test_members_that_follow_a_large_template_arrive_whole(cluster: Cluster) -> None:
    for action in cluster.start():
        await cluster.executor.execute(action, by=OWNER)
    cluster.see(CachedKind.VMI, "virtualmachineinstances", "v")
    vmi, owner = cluster.caches.vmis.get(VmiKey(NAMESPACE, "v")), cluster.object("virtualmachines", "v")
    assert vmi is not None
    owner["spec"]["template"]["spec"]["tolerations"].append({"operator": "Exists"})
    cluster.world.writer.update(cluster.world.kinds["virtualmachines"], (NAMESPACE, "v"), owner)
    cluster.see(CachedKind.VM, "virtualmachines", "v")
    record = cluster.caches.vms.get(VmKey(NAMESPACE, "v"))
    assert record is not None
    patch = PatchSpec(
        kind=Kind.VMI,
        key=vmi.key,
        uid=vmi.uid,
        version=vmi.resource_version,
        seen=freeze({"tolerations": thaw(vmi.spec)["tolerations"]}),
        wanted=freeze({"tolerations": record.read_template()["spec"]["tolerations"]}),
    )
    paths = [operation["path"] for operation in patch.json_patch() if operation["op"] == "test"]
    assert paths == ["/metadata/uid", "/metadata/resourceVersion"]
    await cluster.executor.execute(patch, by=OWNER)
    changed = cluster.object("virtualmachineinstances", "v")["spec"]["tolerations"]
    assert changed == owner["spec"]["template"]["spec"]["tolerations"]


async def test_a_status_whose_rows_are_large_is_written_whole(cluster: Cluster) -> None:
    owner = cluster.object("virtualmachines", "v")
    owner["status"] = {"conditions": [{"type": "Foreign", "message": "x" * 40_000}]}
    cluster.world.writer.update(cluster.world.kinds["virtualmachines"], (NAMESPACE, "v"), owner, subresource="status")
    cluster.see(CachedKind.VM, "virtualmachines", "v")
    record = cluster.caches.vms.get(VmKey(NAMESPACE, "v"))
    assert record is not None
    seen = record.status.members["conditions"]
    action = PatchStatus(
        kind=Kind.VM, key=record.key, uid=record.uid, version=record.resource_version,
        seen=freeze({"conditions": seen}), wanted=freeze({"conditions": [*seen, {"type": "Ours"}]}),
    )  # fmt: skip
    await cluster.executor.execute(action, by=OWNER)
    conditions = cluster.object("virtualmachines", "v")["status"]["conditions"]
    assert conditions == [{"type": "Foreign", "message": "x" * 40_000}, {"type": "Ours"}]


async def test_a_large_object_waits_while_another_key_has_one_in_memory(cluster: Cluster) -> None:
    """A hundred of them that are started at once would be a hundred times 1.4 MB, several times over."""
    for action in cluster.start():
        await cluster.executor.execute(action, by=OWNER)
    cluster.see(CachedKind.VMI, "virtualmachineinstances", "v")
    vmi = cluster.caches.vmis.get(VmiKey(NAMESPACE, "v"))
    assert vmi is not None
    pod = create_launcher_pod(vmi=vmi, settings=PlanSettings())
    with pytest.raises(TurnTaken):
        await cluster.executor.execute(pod, by=vmi.key)
    assert cluster.world.object("pods", pod.key.name, namespace=NAMESPACE) is None
    cluster.turns.leave(OWNER)
    assert cluster.dirty[-1] == vmi.key
    await cluster.executor.execute(pod, by=vmi.key)
