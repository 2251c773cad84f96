"""Turns events into keys to reconcile: the only way into the caches and the queue."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.model.conditions import INTERFACES_READY, Status
from nicplug.model.keys import SLOTS, AttachmentKey, WorkKey
from nicplug.model.metadata import generation, mapping
from nicplug.reconcile.delays import SLOTS_SECONDS, delay_seconds
from nicplug.reconcile.queue import Priority, WorkQueue

log = structlog.get_logger(__name__)

# An edit of a single definition may affect every VM of the cluster.
_MOST_LIVE_KEYS = 64


@dataclass(slots=True)
class Intake:
    """Processes watch events and responses.

    Attributes:
        relisted: set whenever a kind is listed again, and with each object of such a list: its list or its watch was
            broken, and deletions may have been missed.
        is_busy: returns whether more keys wait than there are workers; reports and confirmations are then batched for
            longer.
        keys_of: returns the keys to reconcile for those that an event affects.
        on_bug: called for an object that could not be processed.
        on_kubevirts: called when a KubeVirt CR is created, deleted or changed.
        on_installation: called when nodes, controllers, or the knowledge of Multus and its networks have changed.
    """

    caches: Caches
    queue: WorkQueue[WorkKey]
    relisted: asyncio.Event = field(default_factory=asyncio.Event)
    is_busy: Callable[[], bool] = lambda: False
    keys_of: Callable[[list[WorkKey]], list[WorkKey]] = lambda keys: keys
    on_bug: Callable[[], None] = lambda: None
    on_kubevirts: Callable[[], None] = lambda: None
    on_installation: Callable[[], None] = lambda: None
    _is_complete: bool = False
    _problems: tuple[str, ...] = ()

    def hear(self, kind: CachedKind | str, event: Mapping[str, Any]) -> None:
        """Process one watch event; `kind` may be the API's name of the kind."""
        self.enqueue(self._learn(CachedKind(kind), event))

    def hear_listed(self, kind: str, raw: Mapping[str, Any]) -> None:
        """Process an object of a LIST, before the watch of its kind opens."""
        keys = self._learn(CachedKind(kind), {"type": "ADDED", "object": raw})
        if self._is_complete:
            self.relisted.set()
            self.enqueue(keys, priority=Priority.SWEEP)
        # All keys are reconciled once the caches are complete; this one first, as a user has been waiting for it.
        elif _has_changed_unreported(raw):
            self.enqueue(keys)

    def _learn(self, kind: CachedKind, event: Mapping[str, Any]) -> list[WorkKey]:
        keys = self._update_caches(kind, event)
        if kind is CachedKind.KUBEVIRT:
            self._log_problems()
            self.on_kubevirts()
        return keys

    def _update_caches(self, kind: CachedKind, event: Mapping[str, Any]) -> list[WorkKey]:
        """Update the caches; an error is contained, so that no tenant's object can block the others."""
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

    def _log_problems(self) -> None:
        """Warn of invalid policy values: our CRD rejects them, but with another or an older CRD they have no effect."""
        config = self.caches.config()
        problems = config.problems if config is not None else ()
        if problems and problems != self._problems:
            log.warning("policy for hot-plug has values without effect", problems=problems)
        self._problems = problems

    def attachments_changed(self, attachments: Iterable[AttachmentKey] | None) -> None:
        """Enqueue the keys affected by changed network attachment definitions; None for all: isolation has changed.

        If very many VMs share a definition, their keys queue behind live changes, so that nothing else waits for them.
        """
        keys = self.caches.referring(attachments)
        if attachments is None:
            self.on_installation()
        is_sweep = attachments is None or len(keys) > _MOST_LIVE_KEYS
        self.enqueue(keys, priority=Priority.SWEEP if is_sweep else Priority.LIVE)

    def pod_failed(self, pod_uid: str) -> None:
        """Enqueue the VMI of a pod for which the dynamic networks controller or the kubelet reports a failure."""
        self.enqueue(self.caches.launchers.vmi_of(pod_uid))

    def policy_changed(self) -> None:
        """Enqueue all keys after the HotplugPolicy has changed the effective configuration."""
        self._log_problems()
        self.on_kubevirts()
        self.enqueue(self.caches.all_keys(), priority=Priority.SWEEP)

    def nodes_changed(self) -> None:
        """Enqueue all keys that wait for a node after a node was created, deleted or changed."""
        self.on_installation()
        self.enqueue(self.caches.waiting_for_a_node(), priority=Priority.SWEEP)

    def budgets_changed(self, keys: list[WorkKey] | None) -> None:
        """Enqueue changed disruption budgets; None if they have only now become readable."""
        if keys is None:
            self.enqueue(self.caches.due_budgets(), priority=Priority.SWEEP)
        else:
            self.enqueue(keys)

    def controllers_changed(self, nodes: Iterable[str] | None) -> None:
        """Enqueue the keys affected by a change of the dynamic networks controller; None for all nodes."""
        self.on_installation()
        priority = Priority.SWEEP if nodes is None else Priority.LIVE
        self.enqueue(self.caches.waiting_for_controller(nodes), priority=priority)

    def enqueue(self, keys: list[WorkKey], *, priority: Priority = Priority.LIVE, by: WorkKey | None = None) -> None:
        """Enqueue the keys: the first one, the object itself, immediately, and its neighbours after a short delay.

        Args:
            by: the key whose pass has changed them by a request.
        """
        is_busy, keys = self.is_busy(), self.keys_of(keys)
        for key in keys:
            if priority is Priority.LIVE:
                delay = delay_seconds(key, of=keys[0], by=by, caches=self.caches, is_busy=is_busy)
            else:
                delay = SLOTS_SECONDS if key == SLOTS else 0.0
            self.queue.add(key, priority=priority, delay_seconds=delay)

    def expect_no_more_lists(self) -> None:
        """Note that the caches are complete: any object listed from now on means that a watch was reopened."""
        self._is_complete = True

    def enqueue_all(self) -> None:
        """Enqueue all keys behind live changes: for a new leader, or once the caches are complete."""
        self.enqueue(self.caches.all_keys(), priority=Priority.SWEEP)


def _has_changed_unreported(raw: Mapping[str, Any]) -> bool:
    """Report whether the spec was changed after the last report on its NICs: while no operator was running."""
    reported = Status(mapping(raw.get("status"))).condition(INTERFACES_READY).observed_generation
    return reported is not None and reported != generation(mapping(raw.get("metadata")))
