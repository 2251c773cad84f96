"""By which network attachment definition (NAD) a NIC was attached, so that a later change of the NAD can be told.

Of a NIC that a pod was made with, an annotation of the pod says so; of one that was plugged into it, the NIC's record.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nicplug.model.attachments import AttachmentDefinition
from nicplug.model.metadata import mapping, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """What a definition was when a NIC was attached by it.

    Attributes:
        config_hash: of its `spec.config`.
        pod: uid of the pod that was asked for it; "" of what a pod says of itself.
    """

    uid: str
    config_hash: str
    pod: str = ""

    def is_of(self, definition: AttachmentDefinition) -> bool:
        """The definition is what it was."""
        return (self.uid, self.config_hash) == (definition.uid, definition.digest)

    def to_row(self) -> dict[str, Any]:
        """As it stands in the record."""
        return {"uid": self.uid, "configHash": self.config_hash, "pod": self.pod}


def parse_attached(value: Any) -> Attached | None:
    """Of a record; None when it does not say."""
    row = mapping(value)
    uid, config_hash = text(row.get("uid")), text(row.get("configHash"))
    return Attached(uid=uid, config_hash=config_hash, pod=text(row.get("pod"))) if uid and config_hash else None


def format_attached(definitions: Mapping[str, AttachmentDefinition]) -> str:
    """The annotation of a pod: NIC name -> `<uid>/<hash>`."""
    found = {name: f"{item.uid}/{item.digest}" for name, item in sorted(definitions.items())}
    return json.dumps(found, separators=(",", ":"))


def attached_at_birth(annotation: str) -> dict[str, Attached]:
    """By NIC, of a pod's annotation; nothing of one that cannot be read."""
    try:
        found = mapping(json.loads(annotation or "{}"))
    except (ValueError, RecursionError):
        return {}
    parts = {name: text(value).partition("/") for name, value in found.items()}
    return {name: Attached(uid=uid, config_hash=digest) for name, (uid, _, digest) in parts.items() if uid and digest}
