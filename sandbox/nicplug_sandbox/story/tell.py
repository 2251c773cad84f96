"""The whole story: both paths, a NIC that cannot come, and everything given back.

Needs a cluster with simulated nodes and a running operator; does not care whose cluster it is.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nicplug_sandbox.kubectl import Kubectl
from nicplug_sandbox.screen import Screen
from nicplug_sandbox.story import blocked, by_migration, in_place
from nicplug_sandbox.story.scene import Scene, set_scene
from nicplug_sandbox.story.timeline import Timeline

Interfaces = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What one run measured.

    Attributes:
        plug_seconds: in place, from the request for the NIC to the status that says it is in the guest.
        own_seconds: what of these the operator took: spec to annotation, network-status to status. By the audit log,
            or by the watches where there is none.
        migration_seconds: by migration, from the request to the same.
        copy_seconds: what of these the copy of the guest took.
        unplug_seconds: from `state: absent` to the status without the NIC.
        interfaces: `status.interfaces` of each VMI while the NIC was there.
        plug_writes, migration_writes: the operator's writes by resource; None without an audit log.
    """

    plug_seconds: float
    own_seconds: float
    migration_seconds: float
    copy_seconds: float
    unplug_seconds: float
    interfaces: dict[str, Interfaces]
    plug_writes: dict[str, int] | None
    migration_writes: dict[str, int] | None

    def sources(self, vmi: str) -> dict[str, str]:
        """`infoSource` of each NIC of a VMI while the plugged one was there."""
        return {row["name"]: row["infoSource"] for row in self.interfaces[vmi]}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plugged:
    timeline: Timeline
    interfaces: Interfaces
    writes: dict[str, int] | None
    own_seconds: float | None = None


def tell(*, admin: Kubectl, screen: Screen, audit_log: Path | None, commands: Path, has_api: bool) -> Figures:
    """Play the whole story.

    Args:
        admin: may do everything in the cluster.
        audit_log: of the API server, to count writes; None where it cannot be read.
        commands: the folder with `nicplug` and `virtctl`.
        has_api: `nicplug api` serves the cluster; without it NICs are asked for by patches.

    Raises:
        SandboxError: a command failed or something did not happen in time; the text says what.
    """
    with set_scene(admin=admin, screen=screen, audit_log=audit_log, commands=commands, has_api=has_api) as scene:
        in_place.start(scene)
        placed = _plug_in_place(scene)
        node = by_migration.start(scene)
        moved = _plug_by_migration(scene)
        _show_both(scene)
        blocked.ask_why(scene)
        unplugged = _give_back(scene, node=node)
    times = placed.timeline
    return Figures(
        plug_seconds=times.seconds(in_place.IN_GUEST),
        own_seconds=_own_seconds(placed),
        migration_seconds=moved.timeline.seconds(by_migration.IN_GUEST),
        copy_seconds=moved.timeline.between(by_migration.COPIED, by_migration.ARRIVED),
        unplug_seconds=unplugged.seconds(in_place.GONE),
        interfaces={in_place.NIC.vmi: placed.interfaces, by_migration.NIC.vmi: moved.interfaces},
        plug_writes=placed.writes,
        migration_writes=moved.writes,
    )


def _plug_in_place(scene: Scene) -> _Plugged:
    mark = scene.mark()
    timeline = in_place.plug(scene)
    interfaces = scene.show_interfaces(in_place.NIC.vmi)
    scene.show_events(in_place.NIC.vmi, until=in_place.NIC.name)
    own = scene.own_seconds_since(mark, nic=in_place.NIC)
    return _Plugged(timeline=timeline, interfaces=interfaces, writes=scene.writes_since(mark), own_seconds=own)


def _own_seconds(placed: _Plugged) -> float:
    if placed.own_seconds is not None:
        return placed.own_seconds
    times = placed.timeline
    return times.seconds(in_place.ANNOTATED) + times.between(in_place.ATTACHED, in_place.FOUND)


def _plug_by_migration(scene: Scene) -> _Plugged:
    mark = scene.mark()
    timeline = by_migration.plug(scene)
    scene.show_events(by_migration.NIC.vmi, until=f'NIC "{by_migration.NIC.name}"')
    interfaces = scene.show_interfaces(by_migration.NIC.vmi)
    return _Plugged(timeline=timeline, interfaces=interfaces, writes=scene.writes_since(mark))


def _show_both(scene: Scene) -> None:
    """Who has what, and how it came."""
    scene.screen.section("Both have their NIC")
    scene.run("kubectl get vmi")
    scene.run("kubectl get vmim")


def _give_back(scene: Scene, *, node: str) -> Timeline:
    scene.screen.section("And out again")
    by_migration.restore_controller(scene, node=node)
    blocked.take_back(scene)
    by_migration.unplug(scene)
    return in_place.unplug(scene)
