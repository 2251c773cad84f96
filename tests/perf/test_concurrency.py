"""The counting of migrations that run at once, without a cluster: it really sees what breaks a limit."""

from typing import Any

import pytest
from tests.perf.concurrency import Sight, VmiSight, replay, see_migration, see_target, see_vmi


class Story:
    """Sights in the order of their versions, one second apart."""

    def __init__(self) -> None:
        self.sights: list[Sight] = []

    def migration(self, name: str, phase: str, *, vmi: str = "", is_gone: bool = False) -> "Story":
        body = {
            "metadata": {"uid": name, "name": name, "namespace": "a", "resourceVersion": str(self._version)},
            "spec": {"vmiName": vmi or f"vm-{name}"},
            "status": {"phase": phase},
        }
        self.sights.append(see_migration(body, at=float(self._version), is_gone=is_gone))
        return self

    def target(self, job: str, **status: Any) -> "Story":
        metadata = {"uid": f"pod-{job}", "resourceVersion": str(self._version)}
        labels = {"kubevirt.io/migrationJobUID": job}
        sight = see_target({"metadata": {**metadata, "labels": labels}, "status": status}, at=float(self._version))
        assert sight is not None
        self.sights.append(sight)
        return self

    def vmi(self, name: str, node: str, **state: Any) -> "Story":
        body = {
            "metadata": {"namespace": "a", "name": name, "resourceVersion": str(self._version)},
            "status": {"nodeName": node, "migrationState": state or None},
        }
        self.sights.append(see_vmi(body, at=float(self._version)))
        return self

    @property
    def _version(self) -> int:
        return len(self.sights) + 1


def moving(name: str, story: Story, *, source: str, target: str) -> Story:
    """A migration that was handed off."""
    story.vmi(f"vm-{name}", source).migration(name, "Pending").target(name, phase="Pending").migration(
        name, "Scheduled"
    )
    return story.vmi(f"vm-{name}", source, migrationUid=name, sourceNode=source, targetNode=target)


def test_a_migration_counts_from_its_target_pod_until_it_is_final() -> None:
    found = replay(
        Story().migration("x", "Pending").target("x").migration("x", "Running").migration("x", "Failed").sights
    )
    assert (found.cluster, found.failed, found.succeeded) == (1, 1, 0)
    assert found.slots == {"x": (2.0, 4.0)}
    assert found.running == [(2.0, 1), (4.0, 0)]


@pytest.mark.parametrize("phase", ["", "Pending"])
def test_one_that_waits_does_not_count(phase: str) -> None:
    assert replay(Story().migration("x", phase).sights).cluster == 0


def test_cluster_outbound_and_inbound_are_counted_apart() -> None:
    story = Story()
    moving("x", story, source="node01", target="node02")
    moving("y", story, source="node01", target="node03")
    moving("z", story, source="node03", target="node02")
    found = replay(story.sights)
    assert found.cluster == 3
    assert found.outbound == {"node01": 2, "node03": 1}
    assert found.inbound == {"node02": 2, "node03": 1}


def test_a_slot_that_follows_another_does_not_count_beside_it() -> None:
    story = moving("x", Story(), source="node01", target="node02")
    story.vmi("vm-x", "node02", migrationUid="x", completed=True, sourceNode="node01", targetNode="node02")
    story.migration("x", "Succeeded")
    moving("y", story, source="node01", target="node02")
    found = replay(story.sights)
    assert (found.cluster, found.outbound, found.inbound) == (1, {"node01": 1}, {"node02": 1})


def test_the_source_is_that_of_the_hand_off_when_the_guest_has_already_moved() -> None:
    story = moving("x", Story(), source="node01", target="node02")
    story.vmi("vm-x", "node02", migrationUid="x", sourceNode="node01", targetNode="node02")
    assert replay(story.sights).outbound == {"node01": 1}


def test_order_is_that_of_the_versions_not_of_the_watches() -> None:
    """A watch that lags must not look like a limit that was exceeded."""
    story = Story().migration("x", "Running").migration("x", "Succeeded").target("y").migration("y", "Running")
    late = [*story.sights[2:], *story.sights[:2]]
    assert replay(late).cluster == 1


def test_two_unfinished_migrations_of_one_vmi_are_told() -> None:
    story = Story().migration("x", "Running", vmi="vm").migration("y", "", vmi="vm").migration("y", "Pending", vmi="vm")
    assert replay(story.sights).doubled == ["a/vm: x, y"]


def test_a_migration_after_another_is_not_doubled() -> None:
    story = Story().migration("x", "Failed", vmi="vm").migration("y", "Pending", vmi="vm")
    assert replay(story.sights).doubled == []
    gone = Story().migration("x", "Pending", vmi="vm").migration("x", "Pending", vmi="vm", is_gone=True)
    assert replay(gone.migration("y", "Pending", vmi="vm").sights).doubled == []


def test_pods_of_no_migration_are_left_out() -> None:
    body = {"metadata": {"uid": "u", "resourceVersion": "1", "labels": {"kubevirt.io": "virt-launcher"}}}
    assert see_target(body, at=0.0) is None


def test_a_state_that_is_over_counts_as_long_as_its_migration_does() -> None:
    story = moving("x", Story(), source="node01", target="node02")
    story.vmi("vm-x", "node02", migrationUid="x", completed=True, sourceNode="node01", targetNode="node02")
    moving("y", story, source="node01", target="node02")
    assert replay(story.sights).inbound == {"node02": 2}


def test_a_gone_vmi_is_nowhere() -> None:
    metadata = {"namespace": "a", "name": "vm", "resourceVersion": "3"}
    state = {"migrationUid": "x", "targetNode": "m"}
    body = {"metadata": metadata, "status": {"nodeName": "n", "migrationState": state}}
    assert see_vmi(body, at=0.0, is_gone=True) == VmiSight(version=3, at=0.0, vmi="a/vm", node="")
    assert see_vmi(body, at=0.0).target_node == "m"
