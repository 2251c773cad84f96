"""An operator under a scheduler that decides when each of its requests travels and each event arrives.

The real caches, gatherer, planners, executor, memory, retry policy and reaper; only the queue, the clock and the wire
are the simulation's. Every request stops twice, before and after it takes effect, and may fail or be the last thing
the process does there.
"""

import random
import types
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tests.fakes.listing import relist
from tests.sim.cluster import (
    BUDGETS,
    CONTROLLER_PODS,
    DAEMON_SETS,
    EVENTS,
    KUBEVIRTS,
    MIGRATIONS,
    NADS,
    NAMESPACE,
    NODES,
    PODS,
    REPORTS,
    REVISIONS,
    VMIS,
    VMS,
    Cluster,
    Json,
    is_live,
    launcher_pods,
    owner_of,
)
from tests.sim.kubelet import NETWORKS
from tests.sim.node_agent import state_of

from nicplug.cache.caches import Caches
from nicplug.cache.dynamic_controllers import NamespaceDaemonSets
from nicplug.cache.kinds import CachedKind, kinds_of
from nicplug.cache.reaper import Reaper
from nicplug.kube.api import JsonPatch, Resource
from nicplug.kube.errors import ApiError, Denied, Gone, Rejected, Unavailable
from nicplug.kube.recorder import ObjectReference
from nicplug.model.keys import VmiKey, WorkKey
from nicplug.model.mode import Mode
from nicplug.plan.views import PlanSettings
from nicplug.reconcile.companion import companion_keys, companion_reconcilers
from nicplug.reconcile.delays import RetryPolicy
from nicplug.reconcile.gather import Gatherer
from nicplug.reconcile.memory import Memory, PlanRepeats
from nicplug.reconcile.reconciler import Parts, Reconciler, Reconcilers, standalone_reconcilers

CACHED = {
    VMS: CachedKind.VM,
    VMIS: CachedKind.VMI,
    MIGRATIONS: CachedKind.MIGRATION,
    PODS: CachedKind.POD,
    KUBEVIRTS: CachedKind.KUBEVIRT,
    REVISIONS: CachedKind.REVISION,
    REPORTS: CachedKind.REPORT,
}
NETWORKS_POINTER = "/metadata/annotations/" + NETWORKS.replace("/", "~1")
_OPTIONAL = (NADS, EVENTS, NODES, DAEMON_SETS, CONTROLLER_PODS, BUDGETS)
_PARALLEL = 4


@dataclass(slots=True)
class Faults:
    """How likely each misfortune is, per request or per event."""

    refused: float = 0.0
    answer_lost: float = 0.0
    event_lost: float = 0.0
    event_doubled: float = 0.0
    event_overtakes: float = 0.0

    def end(self) -> None:
        """Let the world become kind."""
        self.refused = self.answer_lost = self.event_lost = self.event_doubled = self.event_overtakes = 0.0

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """None for a while."""
        kept = asdict(self)
        self.end()
        yield
        for name, value in kept.items():
            setattr(self, name, value)


_RECONCILERS: dict[Mode, Callable[[Callable[[VmiKey], None]], Callable[[Parts], Reconcilers]]] = {
    Mode.STANDALONE: lambda _: standalone_reconcilers,
    Mode.COMPANION: lambda wake: partial(companion_reconcilers, wake=wake),
}


@types.coroutine
def _turn() -> Generator[None, None, None]:
    """Let the scheduler decide who goes on."""
    yield


@dataclass(slots=True)
class SimApi:
    """`KubeApi` on the cluster."""

    cluster: Cluster
    who: str
    faults: Faults
    randomness: random.Random
    writes: int = 0
    moving: frozenset[str] = frozenset()
    """uids of the pods that the pass which sends now knew, when it began, to have a guest on the move."""
    known_sources: Callable[[], frozenset[str]] = frozenset
    """The same, as the process knows it now."""

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        await _turn()
        found = self.cluster.get(resource.plural, name)
        if found is None:
            raise Gone(f"{resource.plural} {name} not found", status=404)
        return found

    async def list(self, resource: Resource, **_: Any) -> Json:
        await _turn()
        metadata = {"resourceVersion": str(self.cluster.version)}
        return {"metadata": metadata, "items": self.cluster.in_sight(resource.plural)}

    async def create(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        await self._leave()
        if resource.plural == PODS and self.cluster.is_quota_reached:
            name = body["metadata"]["name"]
            text = f'pods "{name}" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=4, limited: pods=4'
            raise Denied(text, status=403)
        return await self._arrive(self.cluster.create(resource.plural, body, by=self.who))

    async def patch(
        self,
        resource: Resource,
        patch: JsonPatch,
        *,
        name: str,
        namespace: str | None = None,
        subresource: str | None = None,
    ) -> Json:
        if resource.plural == PODS and any(item["path"] == NETWORKS_POINTER for item in patch):
            uids = {item["value"] for item in patch if item["path"] == "/metadata/uid"}
            moving = uids & self.moving
            # A pass plans more than once: the migration may have failed, before the guest left, since it began.
            assert not moving or not moving & self.known_sources(), f"{name}: the networks of a source pod are changed"
        await self._leave()
        answer = self.cluster.patch(resource.plural, name, patch, by=self.who, subresource=subresource)
        return await self._arrive(answer)

    async def replace(self, resource: Resource, body: Json, *, name: str, namespace: str | None = None) -> Json:
        await self._leave()
        return await self._arrive(self.cluster.put(resource.plural, name, body, by=self.who))

    async def delete(
        self,
        resource: Resource,
        *,
        name: str,
        namespace: str | None = None,
        uid: str | None = None,
        version: int | None = None,
    ) -> Json:
        await self._leave()
        return await self._arrive(self.cluster.delete(resource.plural, name, by=self.who, uid=uid, version=version))

    async def close(self) -> None:
        """Nothing to close."""

    async def _leave(self) -> None:
        self.writes += 1
        await _turn()
        if self.randomness.random() < self.faults.refused:
            raise Unavailable(f"{self.who}: connection refused")

    async def _arrive(self, answer: Json) -> Json:
        await _turn()
        if self.randomness.random() < self.faults.answer_lost:
            raise Unavailable(f"{self.who}: time-out after the write")
        return answer


class Events:
    """Keeps the events for people."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def event(
        self, regarding: ObjectReference, *, type: str, reason: str, message: str, is_urgent: bool = False
    ) -> None:
        self.reasons.append(reason)


@dataclass(slots=True)
class Operator:
    """One process: its caches, what it has still to hear, and the passes it is in.

    Attributes:
        seconds_ahead: how far its clock is ahead.
        bugs: errors that no API answer explains; a schedule with one of them has failed.
        on_error: called when a pass ends with an error of the API: the key, the error, seconds until the next pass.
    """

    name: str
    cluster: Cluster
    faults: Faults
    randomness: random.Random
    seconds_ahead: float = 0.0
    mode: Mode = Mode.STANDALONE
    bugs: list[Exception] = field(default_factory=list)
    events: Events = field(default_factory=Events)
    on_error: Callable[[WorkKey, ApiError, float], None] = lambda *_: None
    api: SimApi = field(init=False)
    _caches: Caches = field(init=False)
    _reconciler: Reconciler = field(init=False)
    _reaper: Reaper = field(init=False)
    _retry: RetryPolicy = field(init=False)
    _heard: int = field(init=False)
    _on_the_way: list[tuple[str, str, Json]] = field(init=False)
    _due: dict[WorkKey, datetime] = field(init=False)
    _passes: dict[WorkKey, Coroutine[Any, Any, None]] = field(init=False)
    _moving: dict[WorkKey, frozenset[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.api = SimApi(self.cluster, self.name, self.faults, self.randomness)
        self.api.known_sources = self._known_sources
        self._passes = {}
        self.start()

    def start(self) -> None:
        """A new process: the old one's passes end where they are, its memory is lost, the caches are listed anew."""
        for work in self._passes.values():
            work.close()
        self._passes, self._moving, self._due, self._on_the_way = {}, {}, {}, []
        self._caches = Caches(clock=self._clock, mode=self.mode)
        settings = PlanSettings() if self.mode is Mode.STANDALONE else PlanSettings().beside_kubevirt()
        gatherer = Gatherer(self._caches, Memory(clock=self._clock), settings)
        self._reconciler = Reconciler(
            api=self.api,
            gatherer=gatherer,
            recorder=self.events,
            namespace=NAMESPACE,
            on_dirty=self._look_at,
            make=standalone_reconcilers
            if self.mode is Mode.STANDALONE
            else partial(companion_reconcilers, wake=self._wake),
        )
        self._reaper = Reaper(api=self.api, caches=self._caches, on_dirty=self._look_at)
        self._retry = RetryPolicy(randomness=self.randomness)
        self._caches.attachments.on_change = lambda keys: self._look_at(self._caches.referring(keys))
        self._caches.pod_failures.on_change = lambda uid: self._look_at(self._caches.launchers.vmi_of(uid))
        due = self._caches.due_budgets
        self._caches.budgets.on_change = lambda keys: self._look_at(due() if keys is None else keys)
        self._caches.nodes.on_change = lambda: self._look_at(self._caches.waiting_for_a_node())
        self._caches.controllers.on_change = lambda nodes: self._look_at(self._caches.waiting_for_controller(nodes))
        self._caches.controllers.on_found = self._list_controller_pods
        self._heard = len(self.cluster.history)
        self.relist()
        self._look_at(self._caches.all_keys())

    def _clock(self) -> datetime:
        return self.cluster.now + timedelta(seconds=self.seconds_ahead)

    def _look_at(self, keys: list[WorkKey], *, by: WorkKey | None = None) -> None:
        keys = keys if self.mode is Mode.STANDALONE else companion_keys(keys)
        self._due |= dict.fromkeys(keys, self.cluster.now)

    def _wake(self, key: VmiKey) -> None:
        self._look_at([key])

    def relist(self) -> None:
        """Kopf opens its watches anew: it tells what exists, and nothing of what is gone."""
        self._on_the_way.clear()
        self._heard = len(self.cluster.history)
        for plural, kind in self._cached().items():
            for body in self.cluster.in_sight(plural):
                self._look_at(self._caches.observe(kind, body))
        relist(self._caches.attachments, self.cluster.all(NADS))
        relist(self._caches.nodes, self.cluster.all(NODES))
        relist(self._caches.budgets, self.cluster.in_sight(BUDGETS))
        for daemon_sets in self._caches.controllers.namespaces().values():
            # Of one namespace that was never listed, no absence of a controller would be known.
            relist(daemon_sets, self.cluster.all(DAEMON_SETS))
        self._list_controller_pods()

    def _cached(self) -> dict[str, CachedKind]:
        return {plural: kind for plural, kind in CACHED.items() if kind in kinds_of(self.mode)}

    @property
    def _daemon_sets(self) -> NamespaceDaemonSets:
        return self._caches.controllers.namespaces()["kube-system"]

    def _list_controller_pods(self) -> None:
        for uid in self._caches.controllers.followed():
            if (pods := self._caches.controllers.pods_of(uid)) is not None:
                relist(pods, self.cluster.all(CONTROLLER_PODS))

    def finish(self) -> None:
        """Let every request that is on its way arrive, and hear what there is to hear."""
        for key in list(self._passes):
            self.api.moving = self._moving[key]
            while not _is_over(self._passes[key]):
                pass
            del self._passes[key]
        while self.hear():
            pass

    def sweep(self) -> None:
        """The reaper's round, undisturbed."""
        work = self._reaper.sweep()
        while not _is_over(work):
            pass

    def hear(self) -> bool:
        """One event arrives, or is lost, or comes twice, or overtakes another; False when none is on its way."""
        self._on_the_way += [event for event in self.cluster.history[self._heard :] if event[0] in self._watched()]
        self._heard = len(self.cluster.history)
        if not self._on_the_way:
            return False
        if self._hear_optional():
            return True
        overtakes = self.randomness.random() < self.faults.event_overtakes
        others = [event for event in self._on_the_way if event[0] in CACHED]
        plural, type_, body = event = others[self.randomness.randrange(len(others)) if overtakes else 0]
        self._on_the_way.remove(event)
        if self.randomness.random() < self.faults.event_lost:
            self.cluster.say(f"{self.name}: does not hear {type_} {body['metadata']['name']}")
            return True
        if self.randomness.random() < self.faults.event_doubled:
            self._on_the_way.append(event)
        kind = CACHED[plural]
        keys = self._caches.forget(kind, body) if type_ == "DELETED" else self._caches.observe(kind, body)
        self._look_at(keys)
        return True

    def _watched(self) -> frozenset[str]:
        return frozenset({*self._cached(), *_OPTIONAL})

    def _hear_optional(self) -> bool:
        """Now and then the next line of one of the operator's own watches, which lose nothing and keep their order."""
        optional = [event for event in self._on_the_way if event[0] in _OPTIONAL]
        if not optional or (len(optional) < len(self._on_the_way) and self.randomness.random() < 0.5):
            return False
        plural = self.randomness.choice([event[0] for event in optional])
        event = next(event for event in optional if event[0] == plural)
        self._on_the_way.remove(event)
        self._sinks[plural](*event[1:])
        return True

    @property
    def _sinks(self) -> dict[str, Callable[[str, Json], None]]:
        caches = self._caches
        return {
            NADS: caches.attachments.change,
            EVENTS: caches.pod_failures.change,
            NODES: caches.nodes.change,
            BUDGETS: caches.budgets.change,
            DAEMON_SETS: self._daemon_sets.change,
            CONTROLLER_PODS: self._hear_of_controller,
        }

    def _hear_of_controller(self, type_: str, body: Json) -> None:
        for uid in self._caches.controllers.followed():
            if (pods := self._caches.controllers.pods_of(uid)) is not None:
                pods.change(type_, body)

    def work(self) -> bool:
        """Begin a pass over a key that is due, or go on with one; False when there is nothing to do now."""
        ready = [key for key, due in self._due.items() if due <= self.cluster.now and key not in self._passes]
        if ready and len(self._passes) < _PARALLEL and (not self._passes or self.randomness.random() < 0.5):
            key = self.randomness.choice(ready)
            del self._due[key]
            self._passes[key], self._moving[key] = self._pass(key), frozenset()
        elif not self._passes:
            return False
        key = self.randomness.choice(list(self._passes))
        self.api.moving = self._moving[key]
        if _is_over(self._passes[key]):
            del self._passes[key]
        return True

    def _known_sources(self) -> frozenset[str]:
        """The pods of guests that are on the move, as far as this process has heard of the hand-off and the target pod.

        One that nobody has recorded may be anybody's, and a state that names no migration, or another target pod than
        the migration's, is no hand-off.
        """
        over = {state["migrationUid"] for vmi in self.cluster.shown(VMIS) if (state := state_of(vmi)).get("completed")}
        unfinished = {item.uid for item in self._caches.migrations if not item.is_final} - over
        own = {
            record.uid
            for vmi in self._caches.vmis
            if vmi.migration_state.is_active and vmi.migration_state.migration_uid in unfinished
            for record in self._caches.launchers.records_of(vmi)
            if record.key.name == vmi.migration_state.target_pod
        }
        known = own & {pod.uid for pod in self._caches.launchers.store}
        targets = {
            pod["metadata"]["uid"]: (owner_of(pod) or {})["uid"]
            for pod in launcher_pods(self.cluster)
            if pod["metadata"]["uid"] in known
            and is_live(pod)
            and self.cluster.made_for.get(pod["metadata"]["uid"]) in unfinished
        }
        homes = self.cluster.homes.items()
        return frozenset(home for owner, home in homes if owner in targets.values() and home not in targets)

    def next_due(self) -> datetime | None:
        """When the first key that waits for time is due."""
        return min(self._due.values(), default=None)

    def look_at_everything(self) -> None:
        """As a new leader does."""
        self._look_at(self._caches.all_keys())

    async def _pass(self, key: WorkKey) -> None:
        self._moving[key] = self.api.moving = self._known_sources()
        try:
            again = await self._reconciler.reconcile(key)
            if not self._reconciler.is_refused(key):
                for other in self._retry.succeeded(key):
                    self._reconciler.forget_refusal(other)
                    self._due[other] = self.cluster.now
        except ApiError as error:
            again = self._retry.delay_seconds(key, error)
            self.cluster.say(f"{self.name}: {key}: {type(error).__name__}: {error}")
            self.on_error(key, error, again)
            if isinstance(error, (Denied, Rejected)) and self._reconciler.note_refusal(key, error, seconds=again):
                again = 0.0
        except PlanRepeats as error:
            # People do the same thing again and again here; that it ends is what `Schedule` looks at.
            again = self._retry.delay_seconds(key, error)
        except Exception as error:
            self.bugs.append(error)
            raise
        if again is not None:
            moment = self.cluster.now + timedelta(seconds=again)
            self._due[key] = min(moment, self._due.get(key, moment))


def _is_over(work: Coroutine[Any, Any, None]) -> bool:
    """Let a coroutine run to its next request; True when it has ended."""
    try:
        work.send(None)
    except StopIteration:
        return True
    return False
