"""Finds NICs whose migration would be created but could not start without help."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from nicplug.cache.kinds import CachedKind
from nicplug.insight.evidence import Evidence
from nicplug.insight.outcome import NicForecast, Outcome
from nicplug.model.frozen_json import thaw
from nicplug.model.keys import MigrationKey, VmiKey
from nicplug.model.metadata import mapping
from nicplug.model.operations import OperationPhase
from nicplug.model.times import format_time
from nicplug.plan.actions import Create
from nicplug.plan.migration.eligibility import find_obstacle
from nicplug.plan.migration.facts import Progress
from nicplug.plan.nic.path.messages import remedy_for
from nicplug.reconcile.gather import Gatherer

_FORESEEN = "foreseen"
"""The uid of a migration that does not exist yet; the API server assigns no such uid."""


def with_stuck_migrations(
    nics: Iterable[NicForecast], evidence: Evidence, gatherer: Gatherer, *, create: Create | None, now: datetime
) -> Iterator[NicForecast]:
    """Yield the NICs of a migration; they need action if it cannot start without help.

    Args:
        gatherer: works on the caches of the evidence.
        create: the migration that would be created; None for none.
    """
    obstacle: Progress | None = None
    is_known = False
    for nic in nics:
        if nic.outcome is not Outcome.BY_MIGRATION or nic.phase != OperationPhase.MIGRATING:
            yield nic
            continue
        if not is_known:
            obstacle, is_known = _find_obstacle(evidence, gatherer, create, now=now), True
        yield _with_obstacle(nic, obstacle)


def _with_obstacle(nic: NicForecast, obstacle: Progress | None) -> NicForecast:
    """Return the NIC in the words of its record once the migration reports what it waits for."""
    if nic.remedy:  # the migration reports it already
        return replace(nic, outcome=Outcome.STUCK)
    if obstacle is None or not obstacle.is_stuck or not (remedy := remedy_for(obstacle.reason)):
        return nic
    return replace(nic, outcome=Outcome.STUCK, message=f"{nic.message} ({obstacle.message})", remedy=remedy)


def _find_obstacle(evidence: Evidence, gatherer: Gatherer, create: Create | None, *, now: datetime) -> Progress | None:
    """Run the migration controller's checks, for the migration under way or the one that would be created."""
    if create is None:
        target = VmiKey(evidence.target.namespace, evidence.target.name)
        waiting = [item for item in evidence.caches.migrations_of(target) if not item.is_final and not item.has_target]
        return _obstacle_of(gatherer, waiting[0].key, now=now) if waiting else None
    raw = _as_created(create, now=now)
    evidence.caches.observe(CachedKind.MIGRATION, raw)
    try:
        return _obstacle_of(gatherer, MigrationKey(create.key.namespace, create.key.name), now=now)
    finally:
        evidence.caches.forget(CachedKind.MIGRATION, raw)


def _obstacle_of(gatherer: Gatherer, key: MigrationKey, *, now: datetime) -> Progress | None:
    view = gatherer.migration_view(key)
    return find_obstacle(view, now=now) if view is not None else None


def _as_created(create: Create, *, now: datetime) -> dict[str, Any]:
    body = thaw(create.body)
    metadata = {**mapping(body.get("metadata")), "uid": _FORESEEN, "creationTimestamp": format_time(now)}
    return {**body, "metadata": metadata}
