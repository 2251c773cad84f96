"""LIST and WATCH of a kind that may be missing, forbidden, installed later or removed, without ever failing.

Kopf cannot watch these: it has no field selectors, and with scanning off it never watches a CRD that is missing when it
starts (docs/adr/0009). A relist replaces everything, so unlike Kopf's it also reports deletions.
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
# A 404 costs the API server next to nothing, and the user who installs the CRD is waiting.
_NOT_SERVED_PAUSE_SECONDS = 5.0
_DENIED_PAUSE_SECONDS = 30.0
# For a second or two after its start, an API server denies everything, until it has read its roles.
_DOUBTED_DENIALS = 4
_DOUBTED_PAUSE_SECONDS = 0.5


T = TypeVar("T")


class Absence(Enum):
    """Why a kind cannot be read."""

    NOT_SERVED = "not served"
    DENIED = "denied"


class Sink(Protocol[T]):
    """Stores what a watch delivers; never raises because of an object's content."""

    def project(self, item: Mapping[str, Any]) -> T | None:
        """Convert an object of a LIST into a record, or None. Called page by page; must not change the store."""
        ...

    def replace(self, items: Iterable[T]) -> None:
        """Replace all records with those made by `project`, after the last page of a LIST."""
        ...

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """Apply one watch event: ADDED, MODIFIED or DELETED."""
        ...

    def lose(self, absence: Absence) -> None:
        """Discard all records: the kind is not served, or permission to read it is missing."""
        ...


@dataclass(slots=True)
class OptionalWatch:
    """Follows one kind indefinitely.

    Attributes:
        not_served: remedy if the kind is not served, and the effect until then.
        missing_right: permission needed to read the kind, and the effect while it is missing.
        namespace: namespace to follow; None for all.
        settled: set after the first LIST, or once the kind is known to be unreadable.
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
                # 410: the watch cannot continue from a version this old.
                self._version, pause = "", self._pause()
            except Throttled as error:
                pause = error.after
            except ApiError as error:
                pause = self._pause()
                log.debug("optional watch broke", kind=self.resource.kind, error=str(error))
            await asyncio.sleep(pause)

    async def read(self) -> Absence | None:
        """Pass the existing objects to the sink once, without a watch.

        Returns:
            Why the kind cannot be read, or None.

        Raises:
            ApiError: any other failure.
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
        """Pass all objects to the sink after the last page: an interrupted LIST discards nothing."""
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
        """Convert the objects of one page; the page itself is freed before the next one is read."""
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
        """Apply watch events until the server ends the stream.

        Raises:
            Stale: the server no longer has the changes since the version.
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
            # Do not retry in a tight loop if the server ends every stream at once.
            await asyncio.sleep(self._pause())

    def _doubt_or_lose(self, error: Denied) -> float:
        """Return the seconds until the next attempt; tolerates a few denials if the kind could be read before."""
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
