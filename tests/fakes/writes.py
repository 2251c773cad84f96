"""What happens to an object between the request and the commit: defaults, guards, subresources, deletion.

Knows nothing of HTTP: tests write through the same functions when they play the user or the node.
"""

import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.fakes import status
from tests.fakes.kinds import Json, Kind
from tests.fakes.store import Key, Store, Stored

# Without vowels, as Kubernetes does, so that no words come out.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_KEPT_METADATA = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True, kw_only=True)
class Writer:
    """The write path.

    Attributes:
        graceful_pods: a deleted pod that has a node stays until someone deletes it with grace 0.
        collects_garbage: objects whose last owner is gone are deleted at once.
        now: the clock.
    """

    store: Store
    kinds: dict[str, Kind]
    graceful_pods: bool = False
    collects_garbage: bool = False
    now: Callable[[], datetime] = field(default=_utc_now)

    def create(self, kind: Kind, body: Json, *, namespace: str) -> Stored:
        """POST."""
        metadata = body.setdefault("metadata", {})
        self._check_address(kind, body, namespace=namespace)
        if metadata.get("resourceVersion"):
            text = "resourceVersion should not be set on objects to be created"
            raise status.ApiFailure(500, "", text)
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + "".join(secrets.choice(_ALPHABET) for _ in range(5))
        name = metadata.get("name")
        if not name:
            cause = {
                "reason": "FieldValueRequired",
                "message": "Required value: name or generateName is required",
                "field": "metadata.name",
            }
            raise status.invalid(group_kind=kind.group_kind, name="", causes=[cause])
        if kind.namespaced and not self.store.get(self.kinds["namespaces"], ("", namespace)):
            raise status.not_found(qualified="namespaces", name=namespace)
        key = (namespace if kind.namespaced else "", name)
        if self.store.get(kind, key):
            raise status.already_exists(qualified=kind.qualified, name=name)
        return self.store.commit(kind, key, self._born(kind, body, namespace=namespace))

    def update(self, kind: Kind, key: Key, body: Json, *, subresource: str = "", is_patch: bool = False) -> Stored:
        """PUT or the result of a PATCH; writes nothing when nothing changes."""
        old = self.store.get(kind, key)
        if old is None:
            if kind.creates_on_update and not is_patch:
                return self._create_by_update(kind, key, body)
            raise status.not_found(qualified=kind.qualified, name=key[1])
        self._check_address(kind, body, namespace=key[0])
        self._check_guards(kind, old, body, is_patch=is_patch)
        kind.prune(body)
        new = _status_write(kind, old, body) if subresource == "status" else _main_write(kind, old, body)
        if kind.has_generation and _is_new_generation(kind, old.body, new):
            new["metadata"]["generation"] = old.body["metadata"].get("generation", 1) + 1
        self._validate(kind, new)
        if _is_finished(new):
            return self._remove(kind, key, new)
        if new == old.body:
            return old
        return self.store.commit(kind, key, new)

    def _create_by_update(self, kind: Kind, key: Key, body: Json) -> Stored:
        if uid := body["metadata"].get("uid"):
            raise status.uid_conflict(qualified=kind.qualified, name=key[1], expected=uid, found="")
        body["metadata"].pop("resourceVersion", None)
        return self.create(kind, body, namespace=key[0])

    def delete(
        self,
        kind: Kind,
        key: Key,
        *,
        uid: str | None = None,
        version: str | None = None,
        grace_seconds: int | None = None,
    ) -> tuple[Stored, bool]:
        """DELETE; tells whether the object is away already."""
        old = self.store.get(kind, key)
        if old is None:
            raise status.not_found(qualified=kind.qualified, name=key[1])
        metadata = old.body["metadata"]
        if uid is not None and uid != metadata["uid"]:
            raise status.uid_precondition(group_kind=kind.group_kind, name=key[1], expected=uid, found=metadata["uid"])
        if version is not None and version != metadata["resourceVersion"]:
            raise status.version_precondition(
                group_kind=kind.group_kind,
                name=key[1],
                expected=version,
                found=metadata["resourceVersion"],
            )
        grace = self._grace(kind, old.body, grace_seconds)
        if not metadata.get("finalizers") and not grace:
            last = old.copy()
            if kind.plural == "pods":
                last["metadata"] |= {"deletionTimestamp": self._timestamp(), "deletionGracePeriodSeconds": 0}
            return self._remove(kind, key, last), True
        if "deletionTimestamp" in metadata:
            return old, False
        new = old.copy()
        new["metadata"]["deletionTimestamp"] = self._timestamp()
        new["metadata"]["deletionGracePeriodSeconds"] = grace
        if kind.has_generation:
            new["metadata"]["generation"] = metadata.get("generation", 1) + 1
        return self.store.commit(kind, key, new), False

    def bind(self, key: Key, *, node: str) -> Stored:
        """What the scheduler's POST to `pods/binding` does: the only way by which a pod gets a node."""
        pods = self.kinds["pods"]
        old = self.store.get(pods, key)
        if old is None:
            raise status.not_found(qualified=pods.qualified, name=key[1])
        new = old.copy()
        new["spec"]["nodeName"] = node
        return self.store.commit(pods, key, new)

    def _remove(self, kind: Kind, key: Key, body: Json) -> Stored:
        last = self.store.commit(kind, key, body, removed=True)
        if kind.plural == "namespaces":
            for plural, inner, _ in list(self.store.everything()):
                if inner[0] == key[1]:
                    self.delete(self.kinds[plural], inner, grace_seconds=0)
        if self.collects_garbage:
            self._collect(body["metadata"]["uid"])
        return last

    def _collect(self, uid: str) -> None:
        """Delete what has no living owner any more; a scan, so switch it on for small worlds only."""
        alive = {stored.body["metadata"]["uid"] for _, _, stored in self.store.everything()}
        for plural, key, stored in list(self.store.everything()):
            owners = {owner["uid"] for owner in stored.body["metadata"].get("ownerReferences") or ()}
            if uid in owners and not owners & alive and self.store.get(self.kinds[plural], key):
                self.delete(self.kinds[plural], key)

    def _grace(self, kind: Kind, body: Json, asked: int | None) -> int:
        if kind.plural != "pods" or not self.graceful_pods or not body.get("spec", {}).get("nodeName"):
            return 0
        if asked is not None:
            return asked
        return int(body["spec"].get("terminationGracePeriodSeconds", 30))

    def _born(self, kind: Kind, body: Json, *, namespace: str) -> Json:
        metadata = body["metadata"]
        for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
            metadata.pop(key, None)
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": self._timestamp()}
        if kind.namespaced:
            metadata["namespace"] = namespace
        if kind.has_generation:
            metadata["generation"] = 1
        # A Node brings its own status: kubelet registers with it.
        if kind.has_status and kind.plural != "nodes":
            body.pop("status", None)
        if kind.plural == "pods":
            body["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
        born = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
        kind.prune(born)
        self._validate(kind, born)
        return born

    def _check_address(self, kind: Kind, body: Json, *, namespace: str) -> None:
        found = (body.get("apiVersion", ""), body.get("kind", ""))
        if found not in {(kind.api_version, kind.kind), ("", "")}:
            raise _wrong_type(kind, body, found)
        if kind.namespaced and body["metadata"].get("namespace", namespace) != namespace:
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )

    def _check_guards(self, kind: Kind, old: Stored, body: Json, *, is_patch: bool) -> None:
        known, given = old.body["metadata"], body["metadata"]
        name = known["name"]
        if given.get("name", name) != name:
            raise status.bad_request(
                f"the name of the object ({given['name']}) does not match the name on the URL ({name})"
            )
        if (uid := given.get("uid", known["uid"])) != known["uid"]:
            if is_patch:
                message = f'Invalid value: "{uid}": field is immutable'
                cause = {"reason": "FieldValueInvalid", "message": message, "field": "metadata.uid"}
                raise status.invalid(group_kind=kind.group_kind, name=name, causes=[cause])
            raise status.uid_conflict(qualified=kind.qualified, name=name, expected=uid, found=known["uid"])
        version = given.get("resourceVersion", "")
        if not version and kind.needs_version and not is_patch:
            cause = {
                "reason": "FieldValueInvalid",
                "message": "Invalid value: 0: must be specified for an update",
                "field": "metadata.resourceVersion",
            }
            raise status.invalid(group_kind=kind.qualified, name=name, causes=[cause])
        if version and version != known["resourceVersion"]:
            raise status.conflict(qualified=kind.qualified, name=name)
        added = set(given.get("finalizers") or ()) - set(known.get("finalizers") or ())
        if "deletionTimestamp" in known and added:
            names = ", ".join(sorted(added))
            message = f"Forbidden: no new finalizers can be added if the object is being deleted: {names}"
            cause = {"reason": "FieldValueForbidden", "message": message, "field": "metadata.finalizers"}
            raise status.invalid(group_kind=kind.group_kind, name=name, causes=[cause])

    def _validate(self, kind: Kind, body: Json) -> None:
        if causes := list(kind.validate(body)):
            raise status.invalid(group_kind=kind.group_kind, name=body["metadata"]["name"], causes=causes)

    def _timestamp(self) -> str:
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def _wrong_type(kind: Kind, body: Json, found: tuple[str, str]) -> status.ApiFailure:
    if not kind.is_custom:
        return status.bad_request(f'{found[1]} in version "{found[0]}" cannot be handled as a {kind.kind}')
    message = f'Invalid value: "{found[1]}": must be {kind.kind}'
    cause = {"reason": "FieldValueInvalid", "message": message, "field": "kind"}
    return status.invalid(group_kind=kind.group_kind, name=body["metadata"].get("name", ""), causes=[cause])


def _main_write(kind: Kind, old: Stored, body: Json) -> Json:
    new = {**body, "metadata": _metadata(old, body["metadata"])}
    if kind.has_status:
        new.pop("status", None)
        if "status" in old.body:
            new["status"] = old.body["status"]
    if kind.plural == "pods" and new.get("spec") != old.body.get("spec"):
        message = "Forbidden: pod updates may not change fields other than those of a few"
        cause = {"reason": "FieldValueForbidden", "message": message, "field": "spec"}
        raise status.invalid(group_kind=kind.group_kind, name=new["metadata"]["name"], causes=[cause])
    return new


def _status_write(kind: Kind, old: Stored, body: Json) -> Json:
    new = {key: value for key, value in old.body.items() if key != "status"}
    if "status" in body:
        new["status"] = body["status"]
    # The status of built-in kinds lets labels and annotations through: Multus writes its annotation that way.
    new["metadata"] = dict(old.body["metadata"]) if kind.is_custom else _metadata(old, body["metadata"])
    if kind.plural == "pods":
        new["metadata"].pop("ownerReferences", None)
        if "ownerReferences" in old.body["metadata"]:
            new["metadata"]["ownerReferences"] = old.body["metadata"]["ownerReferences"]
    return new


def _metadata(old: Stored, given: Json) -> Json:
    known = old.body["metadata"]
    kept = {key: known[key] for key in _KEPT_METADATA if key in known}
    free = {key: value for key, value in given.items() if key not in _KEPT_METADATA and value not in (None, {}, [])}
    return {**free, **kept, "name": known["name"], "resourceVersion": known["resourceVersion"]} | (
        {"namespace": known["namespace"]} if "namespace" in known else {}
    )


def _is_new_generation(kind: Kind, old: Json, new: Json) -> bool:
    ignored = {"metadata", "status"} if kind.has_status else {"metadata"}
    return any(new.get(key) != old.get(key) for key in (new.keys() | old.keys()) - ignored)


def _is_finished(body: Json) -> bool:
    metadata = body["metadata"]
    waits = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
    return "deletionTimestamp" in metadata and not waits
