"""How many migrations ran at once, from the API alone: what watches told, in the order in which it was stored.

Pure. Watches of different kinds have no common order, but all objects lie in one etcd, so their resourceVersions
have one. Nothing of the operator's own book-keeping is asked.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nicplug_sandbox.node.api import Json

FINAL = frozenset({"Succeeded", "Failed"})
WAITING = frozenset({"", "Pending"})
JOB_LABEL = "kubevirt.io/migrationJobUID"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationSight:
    """A VirtualMachineInstanceMigration in one version.

    Attributes:
        at: when it was read, in seconds of one clock.
        vmi: `namespace/name`.
        is_gone: it was deleted.
    """

    version: int
    at: float
    uid: str
    name: str
    vmi: str
    phase: str
    is_gone: bool = False

    @property
    def is_unfinished(self) -> bool:
        """It may still make or have a target pod."""
        return not self.is_gone and self.phase not in FINAL


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSight:
    """A target pod in one version; `is_live` until it has ended or is being deleted."""

    version: int
    at: float
    uid: str
    migration_uid: str
    is_live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class VmiSight:
    """Where a VMI is, and what `status.migrationState` says about it, in one version.

    Attributes:
        vmi: `namespace/name`.
        migration_uid: of the migration that the state is about; "" when there is none.
        is_over: the state says that this migration has ended.
    """

    version: int
    at: float
    vmi: str
    node: str
    migration_uid: str = ""
    source_node: str = ""
    target_node: str = ""
    is_over: bool = False


Sight = MigrationSight | TargetSight | VmiSight


@dataclass(slots=True, kw_only=True)
class Concurrency:
    """What a replay found.

    Attributes:
        cluster: the most migrations at once.
        outbound: the most from each node at once.
        inbound: the most that were handed off to each node at once.
        doubled: VMIs that had two unfinished migrations at the same time, with the names of both.
        phases: the last phase of each migration by its uid.
        slots: from the first sign of a target pod until the migration was over, in seconds of the clock, by uid.
        running: how many ran from that moment on.
    """

    cluster: int = 0
    outbound: dict[str, int] = field(default_factory=dict)
    inbound: dict[str, int] = field(default_factory=dict)
    doubled: list[str] = field(default_factory=list)
    phases: dict[str, str] = field(default_factory=dict)
    slots: dict[str, tuple[float, float]] = field(default_factory=dict)
    running: list[tuple[float, int]] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """How many migrations failed."""
        return sum(phase == "Failed" for phase in self.phases.values())

    @property
    def succeeded(self) -> int:
        """How many succeeded."""
        return sum(phase == "Succeeded" for phase in self.phases.values())


def replay(sights: Iterable[Sight]) -> Concurrency:
    """Go through everything that was seen, oldest first, and count after each step."""
    world = _World()
    for sight in sorted(sights, key=lambda one: one.version):
        world.apply(sight)
    return world.found


@dataclass(slots=True)
class _World:
    """The objects at one moment."""

    found: Concurrency = field(default_factory=Concurrency)
    _migrations: dict[str, MigrationSight] = field(default_factory=dict)
    _targets: dict[str, set[str]] = field(default_factory=dict)
    _vmis: dict[str, VmiSight] = field(default_factory=dict)
    _active: set[str] = field(default_factory=set)

    def apply(self, sight: Sight) -> None:
        """One step, and what holds after it."""
        match sight:
            case MigrationSight():
                self._apply_migration(sight)
            case TargetSight():
                pods = self._targets.setdefault(sight.migration_uid, set())
                (pods.add if sight.is_live else pods.discard)(sight.uid)
            case VmiSight():
                self._vmis[sight.vmi] = sight
        self._count(at=sight.at)

    def _apply_migration(self, sight: MigrationSight) -> None:
        if not sight.is_gone:
            self.found.phases[sight.uid] = sight.phase
        if not sight.is_unfinished:
            self._migrations.pop(sight.uid, None)
            return
        others = [one for one in self._migrations.values() if one.vmi == sight.vmi and one.uid != sight.uid]
        if others and sight.uid not in self._migrations:
            self.found.doubled.append(f"{sight.vmi}: {', '.join(sorted(one.name for one in [*others, sight]))}")
        self._migrations[sight.uid] = sight

    def _count(self, *, at: float) -> None:
        active = {uid for uid, one in self._migrations.items() if one.phase not in WAITING or self._targets.get(uid)}
        if active != self._active:
            for uid in active - self._active:
                began, _ = self.found.slots.get(uid, (at, at))
                self.found.slots[uid] = (began, at)
            for uid in self._active - active:
                self.found.slots[uid] = (self.found.slots[uid][0], at)
            self.found.running.append((at, len(active)))
            self._active = active
        self.found.cluster = max(self.found.cluster, len(active))
        _raise(self.found.outbound, Counter(filter(None, map(self._source, active))))
        handed = [one.target_node for one in self._vmis.values() if not one.is_over or one.migration_uid in active]
        _raise(self.found.inbound, Counter(filter(None, handed)))

    def _source(self, uid: str) -> str:
        """The node that it leaves: as it was handed off, else where the VMI is."""
        vmi = self._vmis.get(self._migrations[uid].vmi)
        if vmi is None:
            return ""
        return vmi.source_node if vmi.migration_uid == uid else vmi.node


def _raise(peaks: dict[str, int], counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        peaks[name] = max(peaks.get(name, 0), count)


def see_migration(body: Json, *, at: float, is_gone: bool = False) -> MigrationSight:
    """A migration of the API."""
    metadata = body["metadata"]
    return MigrationSight(
        version=int(metadata["resourceVersion"]),
        at=at,
        uid=metadata["uid"],
        name=metadata["name"],
        vmi=f"{metadata['namespace']}/{(body.get('spec') or {}).get('vmiName', '')}",
        phase=(body.get("status") or {}).get("phase") or "",
        is_gone=is_gone,
    )


def see_target(body: Json, *, at: float, is_gone: bool = False) -> TargetSight | None:
    """A target pod of the API; None for any other pod."""
    metadata, phase = body["metadata"], (body.get("status") or {}).get("phase")
    migration_uid = (metadata.get("labels") or {}).get(JOB_LABEL, "")
    if not migration_uid:
        return None
    return TargetSight(
        version=int(metadata["resourceVersion"]),
        at=at,
        uid=metadata["uid"],
        migration_uid=migration_uid,
        is_live=not is_gone and "deletionTimestamp" not in metadata and phase not in FINAL,
    )


def see_vmi(body: Json, *, at: float, is_gone: bool = False) -> VmiSight:
    """A VMI of the API."""
    metadata, status = body["metadata"], body.get("status") or {}
    state = {} if is_gone else status.get("migrationState") or {}
    return VmiSight(
        version=int(metadata["resourceVersion"]),
        at=at,
        vmi=f"{metadata['namespace']}/{metadata['name']}",
        node="" if is_gone else status.get("nodeName") or "",
        migration_uid=state.get("migrationUid") or "",
        source_node=state.get("sourceNode") or "",
        target_node=state.get("targetNode") or "",
        is_over=bool(state.get("completed") or state.get("failed")),
    )
