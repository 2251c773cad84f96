"""LIST: selectors, pages of one snapshot, metadata only."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from tests.fakes.kinds import Json, Kind
from tests.fakes.selectors import Predicate, selector
from tests.fakes.status import ApiFailure, bad_request, expired
from tests.fakes.store import Store, Stored

METADATA_ONLY = "as=PartialObjectMetadataList"
METADATA_OF_ONE = "as=PartialObjectMetadata;"
_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You must start a new list without the continue parameter."
)


@dataclass(frozen=True, slots=True)
class _Page:
    version: int
    rest: list[Stored]


class Lists:
    """Answers LIST requests. Later pages come from the snapshot of the first, as from etcd."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pages: dict[str, _Page | None] = {}

    def expire(self) -> None:
        """Make every `continue` token that is out there answer 410."""
        self._pages = dict.fromkeys(self._pages)

    def _page(self, token: str) -> _Page:
        if token not in self._pages:
            raise bad_request("invalid continue token: continue key is not valid")
        if (page := self._pages[token]) is None:
            raise expired(_EXPIRED)
        return page

    def answer(self, kind: Kind, *, namespace: str, query: Mapping[str, str], accept: str) -> bytes:
        """The body of the answer.

        Raises:
            ApiFailure: a selector or a `continue` token that cannot be used.
        """
        matches = selector(kind, labels=query.get("labelSelector", ""), fields=query.get("fieldSelector", ""))
        if token := query.get("continue"):
            page = self._page(token)
        else:
            found = [stored for _, stored in self._store.items(kind, namespace=namespace)]
            page = _Page(self._store.version, found)
        limit = _number(query.get("limit") or "0") or len(page.rest)
        items, rest = _split(page.rest, limit, matches)
        metadata: Json = {"resourceVersion": str(page.version)}
        if rest:
            metadata["continue"] = uuid.uuid4().hex
            self._pages[metadata["continue"]] = _Page(page.version, rest)
            # With a selector the real one does not know how many are left.
            if matches is None:
                metadata["remainingItemCount"] = len(rest)
        return _body(kind, items, metadata, metadata_only=_wants_metadata(accept))


def _split(objects: list[Stored], limit: int, matches: Predicate | None) -> tuple[list[Stored], list[Stored]]:
    """A page, and what is behind it: not filtered, so that a last page may turn out to be empty."""
    items: list[Stored] = []
    for index, stored in enumerate(objects):
        if matches is None or matches(stored.body):
            items.append(stored)
            if len(items) == limit:
                return items, objects[index + 1 :]
    return items, []


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def written(item: Stored, *, accept: str) -> bytes:
    """The answer to a patch: the object, or its metadata when that is asked for."""
    if "as=" not in accept:
        return item.raw
    if METADATA_OF_ONE not in accept:
        raise ApiFailure(406, "NotAcceptable", f"the fake cannot answer {accept}")
    return json.dumps(_metadata_only(item), separators=(",", ":")).encode()


def _wants_metadata(accept: str) -> bool:
    if "as=" in accept and METADATA_ONLY not in accept:
        raise ApiFailure(406, "NotAcceptable", f"the fake cannot answer {accept}")
    return METADATA_ONLY in accept


def _body(kind: Kind, items: list[Stored], metadata: Json, *, metadata_only: bool) -> bytes:
    if metadata_only:
        header = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
        parts = [json.dumps(_metadata_only(item), separators=(",", ":")).encode() for item in items]
    else:
        if kind.is_custom:
            metadata.setdefault("continue", "")
        header = {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": metadata}
        # The items of built-in lists carry neither kind nor apiVersion.
        parts = [item.raw if kind.is_custom else _untyped(item) for item in items]
    return json.dumps(header, separators=(",", ":")).encode()[:-1] + b',"items":[' + b",".join(parts) + b"]}"


def _metadata_only(item: Stored) -> Json:
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": item.body["metadata"],
    }


def _untyped(item: Stored) -> bytes:
    body = {key: value for key, value in item.body.items() if key not in ("kind", "apiVersion")}
    return json.dumps(body, separators=(",", ":")).encode()
