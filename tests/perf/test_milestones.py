"""What the bench's watches make of what they see."""

import asyncio
from typing import Any

from tests.perf.milestones import Hotplug, Milestone, Milestones

Json = dict[str, Any]


class Watch:
    """A mirror whose lines the test writes."""

    def __init__(self, vmi: Json) -> None:
        self.vmi = vmi
        self.tell: Any = None

    def listen(self, listener: Any) -> None:
        self.tell = listener

    def by_index(self, _index: str, value: str) -> list[Json]:
        return [self.vmi] if value == self.vmi["metadata"]["uid"] else []


def vmi(*, sources: str = "", nics: tuple[str, ...] = (), observed: int = 1, ready: str = "True") -> Json:
    condition = {"type": "InterfacesReady", "status": ready, "observedGeneration": observed}
    rows = [{"name": "blue", "infoSource": sources}] if sources else []
    return {
        "metadata": {"name": "vm", "uid": "u1", "generation": 2 if nics else 1},
        "spec": {"networks": [{"name": name} for name in nics]},
        "status": {"interfaces": rows, "conditions": [condition]},
    }


def pod(annotation: str | None) -> Json:
    annotations = {"k8s.v1.cni.cncf.io/networks": annotation} if annotation is not None else None
    return {"metadata": {"labels": {"kubevirt.io/created-by": "u1"}, "annotations": annotations}}


async def test_a_hotplug_is_done_when_every_watch_has_told() -> None:
    """Its pod's line may come after the VMI is ready: the two watches are two streams."""
    watch = Watch(vmi())
    milestones = Milestones(vmis=watch, pods=(pods := Watch(vmi())))  # type: ignore[arg-type]
    hotplug = Hotplug(vm="vm", nic="blue")
    milestones.expect(hotplug)
    watch.tell(None, vmi())
    watch.tell(None, vmi(nics=("blue",)))
    pods.tell(None, pod(None))
    pods.tell(None, pod('[{"name": "green"}]'))
    assert hotplug.seen == {}, "ready for an older spec, and the annotation of another NIC"
    watch.tell(None, vmi(nics=("blue",), sources="multus-status"))
    assert hotplug.seen.keys() == {Milestone.IN_STATUS}
    watch.tell(None, vmi(nics=("blue",), sources="domain, multus-status", observed=2, ready="False"))
    assert hotplug.seen.keys() == {Milestone.IN_STATUS, Milestone.IN_GUEST}
    watch.tell(None, vmi(nics=("blue",), sources="domain, multus-status", observed=2))
    assert not hotplug.done.is_set()
    pods.tell(None, pod('[{"name": "blue"}]'))
    async with asyncio.timeout(1):
        await hotplug.done.wait()
    assert hotplug.seen.keys() == set(Milestone)
