"""The ConfigMaps of Multus's daemon in the trusted namespaces, each followed by a watch of that one name.

Not one watch of all namespaces: a tenant may give a ConfigMap of his own that name, and fill it.
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
"""Each costs a connection that is open all the time; Multus's own namespace is to be among the first ones."""

LONGEST_KEPT = timedelta(seconds=30)
"""A new watch takes less than a second, and its LIST is repeated every few seconds while it fails."""

_UNKNOWN = MultusFindings()
_REMEDY = (
    "grant the operator get, list and watch of the ConfigMap of Multus's daemon, and name its namespace in "
    f"{TRUSTED_NAMESPACES_FIELD} of the KubeVirt CR, if no tenant may create ConfigMaps there; or set nadPolicy to "
    "SameNamespace, which Multus counts as meanwhile"
)

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


def _tell_nobody() -> None:
    pass


@dataclass(slots=True)
class MultusConfigs:
    """What Multus enforces between namespaces, as far as it is known.

    Attributes:
        clock: current time, UTC.
        on_change: called when it is another than before.
        on_namespaces: called when other namespaces are trusted.
    """

    clock: Callable[[], datetime]
    on_change: Callable[[], None] = _tell_nobody
    on_namespaces: Callable[[], None] = _tell_nobody
    _namespaces: tuple[str, ...] = DEFAULT_TRUSTED_NAMESPACES
    _configs: dict[str, MultusConfig | None] = field(default_factory=dict)
    _unreadable: set[str] = field(default_factory=set)
    _findings: MultusFindings = _UNKNOWN
    _drawn_from: dict[str, MultusConfig | None] = field(default_factory=dict)
    _kept_until: datetime | None = None
    _is_trust_known: bool = False

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Those that are looked at."""
        return self._namespaces

    @property
    def unreadable(self) -> frozenset[str]:
        """Namespaces in which it must not be read, of those that are looked at."""
        return frozenset(self._unreadable)

    @property
    def findings(self) -> MultusFindings:
        """What all of them together say."""
        is_over = self._kept_until is not None and self.clock() >= self._kept_until
        return _UNKNOWN if is_over else self._findings

    def look_in(self, namespaces: Iterable[str]) -> None:
        """Follow the ConfigMap in these namespaces.

        What is known stays in force until all of them have been read, but for `LONGEST_KEPT` at most. What the default
        namespaces said before the cluster admin's list was known is dropped at once: nobody has said that they are
        trusted.
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
            # Another change while namespaces are being read makes it no longer.
            self._kept_until = self.clock() + LONGEST_KEPT
        self._conclude()
        if self._kept_until is not None and self._findings.isolation is None:
            # There is nothing to keep, and the reason was about the former list.
            self._take(_UNKNOWN)
        self.on_namespaces()

    def put(self, namespace: str, config: MultusConfig | None, *, is_readable: bool = True) -> None:
        """Take in what one namespace has."""
        if namespace not in self._namespaces:
            return
        self._configs[namespace] = config
        (self._unreadable.discard if is_readable else self._unreadable.add)(namespace)
        self._conclude()

    def expire(self) -> float:
        """Drop the last conclusion if it was kept for too long; the seconds after which to call this again, or 0."""
        if self._kept_until is None:
            return 0.0
        left = (self._kept_until - self.clock()).total_seconds()
        if left <= 0:
            self._drop()
        return max(left, 0.0)

    def _conclude(self) -> None:
        """Only when every namespace has been read, since another one may disagree.

        Until then the last conclusion is kept, unless what has been read contradicts it. Without it every VM with a
        network of another namespace would be refused it for the moment that a new watch takes, and its owner alarmed.
        """
        if self._configs.keys() >= set(self._namespaces):
            # If its time was over, it was unknown to everybody who has looked since: this is news even if it is equal.
            self._findings = self.findings
            self._kept_until, self._drawn_from = None, dict(self._configs)
            self._take(findings_of(self._configs, unreadable=frozenset(self._unreadable)))
        elif not is_upheld(self._findings, drawn_from=self._drawn_from, read=self._configs):
            self._drop()

    def _drop(self) -> None:
        """What Multus enforces is as unknown as at the start, until every namespace has been read."""
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
        """The ConfigMap of a list."""
        return parse_multus_config(item)

    def replace(self, items: Iterable[MultusConfig]) -> None:
        """The one there is, or none."""
        self.configs.put(self.namespace, next(iter(items), None))

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """One line of the watch."""
        self.configs.put(self.namespace, None if type_ == "DELETED" else parse_multus_config(item))

    def lose(self, absence: Absence) -> None:
        """It must not be read."""
        self.configs.put(self.namespace, None, is_readable=False)


@dataclass(slots=True)
class MultusConfigWatches:
    """One optional watch for each namespace, opened and closed as the cluster admin's trust changes.

    Attributes:
        spawn: starts a task, and sees to it if it fails.
        later: calls after so many seconds.
    """

    api: WatchingApi
    configs: MultusConfigs
    spawn: Spawn
    later: Callable[[float, Callable[[], None]], object]
    _open: dict[str, tuple[OptionalWatch, asyncio.Task[None]]] = field(default_factory=dict)

    def adjust(self) -> None:
        """Open and close watches."""
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
        """Whoever relies on what is kept has to look again when its time is over; a LIST that fails wakes nobody."""
        if left := self.configs.expire():
            self.later(left, self._expire)

    async def settle(self) -> None:
        """Wait until each ConfigMap is known, or known to be missing or unreadable."""
        await asyncio.gather(*(watch.settled.wait() for watch, _ in self._open.values()))
