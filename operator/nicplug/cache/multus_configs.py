"""Cache of the ConfigMaps of Multus's daemon in the trusted namespaces, each watched by name.

Not one watch of all namespaces: tenants may create a ConfigMap of that name and fill it.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from nicplug.cache.optional_kinds import watch_multus_config
from nicplug.cache.optional_watch import Absence, OptionalWatch
from nicplug.kube.api import WatchingApi
from nicplug.model.nad_policy import (
    MULTUS_CONFIG_MAP,
    MultusConfig,
    MultusFindings,
    findings_of,
    is_upheld,
    parse_multus_config,
)
from nicplug.model.trusted_namespaces import DEFAULT_TRUSTED_NAMESPACES, TRUSTED_NAMESPACES_FIELD

log = structlog.get_logger(__name__)

MOST_NAMESPACES = 8
"""Maximum number of namespaces: each holds a connection. Multus's own namespace should be among the first."""

LONGEST_KEPT = timedelta(seconds=30)
"""Maximum time for which the last conclusion is kept: a new watch takes less than a second; a failing LIST is retried
every few seconds.
"""

_UNKNOWN = MultusFindings()
_REMEDY = (
    "grant the operator get, list and watch of the ConfigMap of Multus's daemon, and name its namespace in "
    f"{TRUSTED_NAMESPACES_FIELD} of the KubeVirt CR, if no tenant may create ConfigMaps there; or set nadPolicy to "
    "SameNamespace, which Multus counts as meanwhile"
)

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


def _ignore_change() -> None:
    pass


@dataclass(slots=True)
class MultusConfigs:
    """The isolation between namespaces that Multus enforces, as far as it is known.

    Attributes:
        clock: current time, UTC.
        on_change: called when the findings change.
        on_namespaces: called when the trusted namespaces change.
    """

    clock: Callable[[], datetime]
    on_change: Callable[[], None] = _ignore_change
    on_namespaces: Callable[[], None] = _ignore_change
    _namespaces: tuple[str, ...] = DEFAULT_TRUSTED_NAMESPACES
    _configs: dict[str, MultusConfig | None] = field(default_factory=dict)
    _unreadable: set[str] = field(default_factory=set)
    _findings: MultusFindings = _UNKNOWN
    _drawn_from: dict[str, MultusConfig | None] = field(default_factory=dict)
    _kept_until: datetime | None = None
    _is_trust_known: bool = False

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces whose ConfigMap is watched."""
        return self._namespaces

    @property
    def unreadable(self) -> frozenset[str]:
        """The watched namespaces without permission to read the ConfigMap."""
        return frozenset(self._unreadable)

    @property
    def findings(self) -> MultusFindings:
        """The conclusion from all ConfigMaps together."""
        is_over = self._kept_until is not None and self.clock() >= self._kept_until
        return _UNKNOWN if is_over else self._findings

    def look_in(self, namespaces: Iterable[str]) -> None:
        """Watch the ConfigMap in these namespaces.

        The last conclusion stays in force until all of them have been read, but at most for `LONGEST_KEPT`. A
        conclusion from the default namespaces is dropped as soon as the cluster admin's list is known: the admin may
        not trust them.
        """
        wanted = tuple(namespaces)[:MOST_NAMESPACES]
        was_trust_known, self._is_trust_known = self._is_trust_known, True
        if wanted == self._namespaces:
            return
        self._namespaces = wanted
        for gone in self._configs.keys() - set(wanted):
            del self._configs[gone]
        self._unreadable &= set(wanted)
        if not was_trust_known:
            self._take(_UNKNOWN)
        if self._kept_until is None:
            # Another change while namespaces are being read does not extend the time.
            self._kept_until = self.clock() + LONGEST_KEPT
        self._conclude()
        if self._kept_until is not None and self._findings.isolation is None:
            # There is no conclusion to keep, and its reason was about the former list.
            self._take(_UNKNOWN)
        self.on_namespaces()

    def put(self, namespace: str, config: MultusConfig | None, *, is_readable: bool = True) -> None:
        """Set the configuration of one namespace."""
        if namespace not in self._namespaces:
            return
        self._configs[namespace] = config
        (self._unreadable.discard if is_readable else self._unreadable.add)(namespace)
        self._conclude()

    def expire(self) -> float:
        """Drop the last conclusion if it has been kept too long; returns the seconds until the next call, or 0."""
        if self._kept_until is None:
            return 0.0
        left = (self._kept_until - self.clock()).total_seconds()
        if left <= 0:
            self._drop()
        return max(left, 0.0)

    def _conclude(self) -> None:
        """Draw a conclusion once every namespace has been read, since a later one may disagree.

        Until then the last conclusion is kept, unless a namespace that has been read contradicts it. Otherwise every VM
        with a network of another namespace would be refused it, and its owner alarmed, for the moment that a new watch
        takes.
        """
        if self._configs.keys() >= set(self._namespaces):
            # If its time was over, readers have seen it as unknown since: the conclusion is news even if it is equal.
            self._findings = self.findings
            self._kept_until, self._drawn_from = None, dict(self._configs)
            self._take(findings_of(self._configs, unreadable=frozenset(self._unreadable)))
        elif not is_upheld(self._findings, drawn_from=self._drawn_from, read=self._configs):
            self._drop()

    def _drop(self) -> None:
        """Reset to unknown, as at start, until every namespace has been read."""
        if self._findings == _UNKNOWN:
            return
        unread = ", ".join(sorted(set(self._namespaces) - self._configs.keys()))
        problem = f"ConfigMap {MULTUS_CONFIG_MAP} has not been read yet in trusted namespaces {unread}"
        log.warning("network isolation of Multus", problem=problem, remedy=_REMEDY)
        self._take(_UNKNOWN)

    def _take(self, findings: MultusFindings) -> None:
        if findings == self._findings:
            return
        self._findings = findings
        if findings.problem and findings != _UNKNOWN:
            log.warning("network isolation of Multus", problem=findings.problem, remedy=_REMEDY)
        elif findings.isolation is not None:
            log.info("network isolation of Multus", said_by=findings.origin, is_on=findings.isolation.is_on)
        self.on_change()


@dataclass(slots=True)
class MultusConfigOf:
    """The ConfigMap of one namespace; a `Sink` of `OptionalWatch`."""

    namespace: str
    configs: MultusConfigs

    def project(self, item: Mapping[str, Any]) -> MultusConfig:
        """Parse the ConfigMap from a LIST."""
        return parse_multus_config(item)

    def replace(self, items: Iterable[MultusConfig]) -> None:
        """Replace the ConfigMap after a LIST."""
        self.configs.put(self.namespace, next(iter(items), None))

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """Apply one watch event."""
        self.configs.put(self.namespace, None if type_ == "DELETED" else parse_multus_config(item))

    def lose(self, absence: Absence) -> None:
        """Discard the ConfigMap: permission to read it is missing."""
        self.configs.put(self.namespace, None, is_readable=False)


@dataclass(slots=True)
class MultusConfigWatches:
    """One optional watch per namespace, opened and closed as the trusted namespaces change.

    Attributes:
        spawn: starts a task and handles its failure.
        later: calls a function after a number of seconds.
    """

    api: WatchingApi
    configs: MultusConfigs
    spawn: Spawn
    later: Callable[[float, Callable[[], None]], object]
    _open: dict[str, tuple[OptionalWatch, asyncio.Task[None]]] = field(default_factory=dict)

    def adjust(self) -> None:
        """Open missing watches, and stop those that are no longer needed."""
        wanted = self.configs.namespaces
        for namespace in self._open.keys() - set(wanted):
            self._open.pop(namespace)[1].cancel()
        for namespace in wanted:
            if namespace not in self._open:
                sink = MultusConfigOf(namespace=namespace, configs=self.configs)
                watch = watch_multus_config(self.api, sink=sink, namespace=namespace)
                self._open[namespace] = (watch, self.spawn(watch.run()))
        self._expire()

    def _expire(self) -> None:
        """Drop the kept conclusion when its time is over. Needs a timer: a LIST that fails triggers no reconcile."""
        if left := self.configs.expire():
            self.later(left, self._expire)

    async def settle(self) -> None:
        """Wait until each ConfigMap is known, or known to be missing or unreadable."""
        await asyncio.gather(*(watch.settled.wait() for watch, _ in self._open.values()))
