"""From events to dirty keys: the only way into the caches and the queue."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from nicplug.cache.caches import CachedKind, Caches
from nicplug.model.conditions import INTERFACES_READY, find_condition
from nicplug.model.keys import SLOTS, AttachmentKey, WorkKey
from nicplug.model.metadata import generation, mapping, objects
from nicplug.reconcile.delays import SLOTS_SECONDS, delay_seconds, never_busy
from nicplug.reconcile.queue import Priority, WorkQueue

log = structlog.get_logger(__name__)

# One edit of one definition may concern every VM of the cluster.
_MOST_LIVE_KEYS = 64


@dataclass(slots=True)
class Intake:
    """Takes in watch lines and answers.

    Attributes:
        relisted: set whenever a kind is listed again, and with each object of such a list: its list or its watch was
            broken, and deletions may have been missed.
        is_busy: more keys wait than there are workers: what only reports or confirms then waits longer for company.
        on_bug: called for an object that could not be taken in.
        on_kubevirts: called when a KubeVirt CR came, went or changed.
        on_installation: called when nodes, controllers, or what is known of Multus and its networks have changed.
    """

    caches: Caches
    queue: WorkQueue[WorkKey]
    relisted: asyncio.Event = field(default_factory=asyncio.Event)
    is_busy: Callable[[], bool] = never_busy
    on_bug: Callable[[], None] = lambda: None
    on_kubevirts: Callable[[], None] = lambda: None
    on_installation: Callable[[], None] = lambda: None
    _is_complete: bool = False
    _problems: tuple[str, ...] = ()

    def hear(self, kind: CachedKind, event: Mapping[str, Any]) -> None:
        """Take in one line of a watch."""
        self.enqueue(self._learn(kind, event))

    def hear_directly(self, kind: str, event: Mapping[str, Any]) -> None:
        """Take in one line of a watch.

        Args:
            kind: as the API names it.
        """
        self.hear(CachedKind(kind), event)

    def hear_listed(self, kind: str, raw: Mapping[str, Any]) -> None:
        """Take in an object that a LIST has shown, before a watch of its kind was opened.

        Args:
            kind: as the API names it.
        """
        keys = self._learn(CachedKind(kind), {"type": "ADDED", "object": raw})
        if self._is_complete:
            self.relisted.set()
            self.enqueue(keys, priority=Priority.SWEEP)
        # Everything is looked at when the caches are complete, and this first: somebody has been waiting for it.
        elif _has_changed_unreported(raw):
            self.enqueue(keys)

    def _learn(self, kind: CachedKind, event: Mapping[str, Any]) -> list[WorkKey]:
        keys = self._take_in(kind, event)
        if kind is CachedKind.KUBEVIRT:
            self._tell_of_problems()
            self.on_kubevirts()
        return keys

    def _take_in(self, kind: CachedKind, event: Mapping[str, Any]) -> list[WorkKey]:
        """The object of one tenant, whatever it is, must not keep the others from being served."""
        raw = event["object"]
        try:
            if event["type"] == "DELETED":
                return self.caches.forget(kind, raw)
            return self.caches.observe(kind, raw)
        except Exception:  # a parser that raises is a bug of ours
            metadata = mapping(raw.get("metadata"))
            name = f"{metadata.get('namespace')}/{metadata.get('name')}"
            log.exception("object not understood; what was known of it stays", kind=kind.value, object=name)
            self.on_bug()
            self.caches.note_unreadable(kind, raw)
            return []

    def _tell_of_problems(self) -> None:
        """Our CRD refuses such values; under another one, or from before, they have no effect."""
        config = self.caches.config()
        problems = config.problems if config is not None else ()
        if problems and problems != self._problems:
            log.warning("policy for hot-plug has values without effect", problems=problems)
        self._problems = problems

    def attachments_changed(self, attachments: Iterable[AttachmentKey] | None) -> None:
        """Network attachment definitions came, went or changed; None for all of them.

        A definition that very many VMs share keeps nobody else waiting: its keys are looked at behind live changes.
        """
        keys = self.caches.referring(attachments)
        if attachments is None:
            self.on_installation()
        is_sweep = attachments is None or len(keys) > _MOST_LIVE_KEYS
        self.enqueue(keys, priority=Priority.SWEEP if is_sweep else Priority.LIVE)

    def isolation_changed(self) -> None:
        """Multus enforces something else between namespaces than before, or it is known only now."""
        self.attachments_changed(None)

    def pod_failed(self, pod_uid: str) -> None:
        """The dynamic networks controller, or the kubelet, says that it failed on this pod."""
        self.enqueue(self.caches.launchers.vmi_of(pod_uid))

    def nodes_changed(self) -> None:
        """A node came, went or changed: whoever waits for one to go to has to look again."""
        self.on_installation()
        self.enqueue(self.caches.waiting_for_a_node(), priority=Priority.SWEEP)

    def budgets_changed(self, keys: list[WorkKey] | None) -> None:
        """Disruption budgets came, went or changed; None: they can be read only now."""
        if keys is None:
            self.enqueue(self.caches.due_budgets(), priority=Priority.SWEEP)
        else:
            self.enqueue(keys)

    def controllers_changed(self, nodes: Iterable[str] | None) -> None:
        """The dynamic networks controller has changed on these nodes; None for all of them."""
        self.on_installation()
        priority = Priority.SWEEP if nodes is None else Priority.LIVE
        self.enqueue(self.caches.waiting_for_controller(nodes), priority=priority)

    def answered(self, keys: list[WorkKey], *, by: WorkKey | None = None, is_conclusive: bool = False) -> None:
        """Have the keys looked at that an answer has changed.

        Args:
            by: the key whose pass has written what was answered.
            is_conclusive: a pass over that key would find nothing to do (`reconcile.conclusive`).
        """
        self.enqueue(keys, by=by, is_conclusive=is_conclusive)

    def enqueue(
        self,
        keys: list[WorkKey],
        *,
        priority: Priority = Priority.LIVE,
        by: WorkKey | None = None,
        is_conclusive: bool = False,
    ) -> None:
        """Have the keys looked at: the object itself, which comes first, now, and its neighbours in a moment."""
        is_busy = self.is_busy()
        for key in keys:
            if is_conclusive and key == by:
                continue
            if priority is Priority.LIVE:
                delay = delay_seconds(key, of=keys[0], by=by, caches=self.caches, is_busy=is_busy)
            else:
                delay = SLOTS_SECONDS if key == SLOTS else 0.0
            self.queue.add(key, priority=priority, delay_seconds=delay)

    def expect_no_more_lists(self) -> None:
        """The caches are complete: from now on a listed object means that a watch was opened anew."""
        self._is_complete = True

    def enqueue_all(self) -> None:
        """Have everything looked at, behind whatever happens now: a new leader, or the caches just complete."""
        self.enqueue(self.caches.all_keys(), priority=Priority.SWEEP)


def _has_changed_unreported(raw: Mapping[str, Any]) -> bool:
    """Its spec was changed after what is said of its NICs: while no operator ran."""
    row = find_condition(objects(mapping(raw.get("status")).get("conditions")), INTERFACES_READY)
    reported = row.get("observedGeneration") if row is not None else None
    return reported is not None and reported != generation(mapping(raw.get("metadata")))
