"""LIST and WATCH of a kind that may be missing, forbidden, installed later or taken away: never a reason to end.

Kopf cannot serve these here: it has no field selectors, and a CRD that is missing when it starts, with
scanning off, is never watched (docs/adr/0009). A relist replaces everything, so unlike Kopf's it tells of
deletions too.
"""

import asyncio
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol, TypeVar

import structlog

from nicplug.kube.api import Resource, WatchingApi
from nicplug.kube.errors import MANIFESTS, ApiError, Denied, Gone, Stale, Throttled, Unavailable
from nicplug.model.metadata import mapping, objects, text

log = structlog.get_logger(__name__)

_PAGE = 500
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
# A 404 costs the API server next to nothing, and somebody who installs the CRD is waiting.
_NOT_SERVED_PAUSE_SECONDS = 5.0
_DENIED_PAUSE_SECONDS = 30.0
# An API server that has just started denies everything for a second or two, before it has read its roles.
_DOUBTED_DENIALS = 4
_DOUBTED_PAUSE_SECONDS = 0.5


T = TypeVar("T")


class Absence(Enum):
    """Why there is nothing to be known about a kind."""

    NOT_SERVED = "not served"
    DENIED = "denied"


class Sink(Protocol[T]):
    """Whoever keeps what the watch brings; never raises for what an object says."""

    def project(self, item: Mapping[str, Any]) -> T | None:
        """What is to be kept of an object of a list, page by page; None for nothing. Changes nothing that is known."""
        ...

    def replace(self, items: Iterable[T]) -> None:
        """All that exists, as `project` made it, after the last page of a LIST."""
        ...

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """One line of the watch: ADDED, MODIFIED or DELETED."""
        ...

    def lose(self, absence: Absence) -> None:
        """The kind is not served, or must not be read; what was known is no longer true."""
        ...


@dataclass(slots=True)
class OptionalWatch:
    """One kind, followed indefinitely.

    Attributes:
        not_served: what a person can do where the kind is not served, and what it means until then.
        missing_right: the right that is missing where it must not be read, and what that means until it is given.
        namespace: where it is followed; None for everywhere.
        settled: set after the first LIST, or when it is known that there can be none.
    """

    api: WatchingApi
    resource: Resource
    sink: Sink[Any]
    not_served: str
    missing_right: str
    field_selector: str | None = None
    label_selector: str | None = None
    namespace: str | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    _absence: Absence | None = None
    _failures: int = 0
    _denials: int = 0
    _version: str = ""

    async def run(self) -> None:
        """Follow the kind until cancelled."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._follow()
                continue
            except Gone as error:
                pause = self._lose(Absence.NOT_SERVED, error)
            except Denied as error:
                pause = self._doubt_or_lose(error)
            except Stale:
                # 410: the version is too old to go on from.
                self._version, pause = "", self._pause()
            except Throttled as error:
                pause = error.after
            except ApiError as error:
                pause = self._pause()
                log.debug("optional watch broke", kind=self.resource.kind, error=str(error))
            await asyncio.sleep(pause)

    async def read(self) -> Absence | None:
        """Hand over what exists now, and follow nothing: for those who ask a single question.

        Raises:
            ApiError: any other reason than that the kind is not served or must not be read.
        """
        try:
            await self._list()
        except Gone:
            self.sink.lose(absence := Absence.NOT_SERVED)
            return absence
        except Denied:
            self.sink.lose(absence := Absence.DENIED)
            return absence
        return None

    async def _list(self) -> None:
        """Hand over what exists when it is known as a whole: a LIST that breaks off loses nothing."""
        kept: list[Any] = []
        token: str | None = None
        while True:
            metadata = await self._take_page(token, kept)
            token = text(metadata.get("continue")) or None
            if token is None:
                break
        if self._absence is not None:
            log.info("can be read now", kind=self.resource.kind)
        self._absence, self._denials = None, 0
        self.sink.replace(kept)
        self.settled.set()
        self._version = text(metadata.get("resourceVersion"))

    async def _take_page(self, token: str | None, kept: list[Any]) -> Mapping[str, Any]:
        """Add what the sink keeps of a page; the page itself goes before the next one comes."""
        page = await self.api.list(
            self.resource,
            namespace=self.namespace,
            label_selector=self.label_selector,
            field_selector=self.field_selector,
            limit=_PAGE,
            continue_token=token,
        )
        projections = map(self.sink.project, objects(page.get("items")))
        kept += [projection for projection in projections if projection is not None]
        return mapping(page.get("metadata"))

    async def _follow(self) -> None:
        """Take in the lines, until the server ends the stream.

        Raises:
            Stale: the server no longer has what came after the version.
        """
        lines = self.api.watch(
            self.resource,
            resource_version=self._version,
            namespace=self.namespace,
            label_selector=self.label_selector,
            field_selector=self.field_selector,
        )
        count = 0
        async for line in lines:
            type_, item = text(line.get("type")), mapping(line.get("object"))
            if type_ == "ERROR":
                raise _error_of(item)
            self._failures, self._denials, count = 0, 0, count + 1
            if type_ != "BOOKMARK":
                self.sink.change(type_, item)
            self._version = text(mapping(item.get("metadata")).get("resourceVersion")) or self._version
        if not count:
            # A server that ends every stream at once is not asked in a tight loop.
            await asyncio.sleep(self._pause())

    def _doubt_or_lose(self, error: Denied) -> float:
        """What could be read a moment ago is not given up at the first denial."""
        self._denials += 1
        if self._version and self._denials <= _DOUBTED_DENIALS:
            return float(_DOUBTED_PAUSE_SECONDS * 2 ** (self._denials - 1))
        return self._lose(Absence.DENIED, error)

    def _lose(self, absence: Absence, error: ApiError) -> float:
        if self._absence is not absence:
            is_denied = absence is Absence.DENIED
            remedy = f"{MANIFESTS} give the {self.missing_right}" if is_denied else self.not_served
            log.warning("cannot be read", kind=self.resource.kind, error=str(error), remedy=remedy)
        self._absence, self._version = absence, ""
        self.sink.lose(absence)
        self.settled.set()
        return _NOT_SERVED_PAUSE_SECONDS if absence is Absence.NOT_SERVED else _DENIED_PAUSE_SECONDS

    def _pause(self) -> float:
        self._failures += 1
        limit = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(self._failures, 10), _LONGEST_PAUSE_SECONDS)
        return random.uniform(limit / 2, limit)


def _error_of(status: Mapping[str, Any]) -> ApiError:
    code, message = status.get("code"), text(status.get("message"))
    return Stale(message, status=410) if code == 410 else Unavailable(f"ERROR in the watch: {message}")
