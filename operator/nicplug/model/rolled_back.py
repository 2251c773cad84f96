"""Which NICs of a VMI were taken back (policy `onFailure: Rollback`), and what their owner had written then.

Kept on the VMI in the annotation `nicplug.io/rolled-back-interfaces`, NIC name -> digest of the NIC's entries. Whoever
changes the entries asks for something else, and is served anew. Anybody may write an annotation: one that cannot be
read says nothing.
"""

import hashlib
import json
from collections.abc import Mapping

from nicplug.model.networks import Interface, Network

_DIGITS = 10


def entry_digest(interface: Interface, network: Network) -> str:
    """Of both entries of a NIC, as its owner wrote them."""
    return hashlib.sha256(f"{interface.raw}\n{network.raw}".encode(errors="replace")).hexdigest()[:_DIGITS]


def parse_rolled_back(annotation: str | None) -> dict[str, str]:
    """NIC name -> digest; empty when nobody knows."""
    try:
        found = json.loads(annotation) if annotation else None
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: digest for name, digest in found.items() if isinstance(digest, str)}


def render_rolled_back(digests: Mapping[str, str]) -> str | None:
    """The text of the annotation; None, which is no annotation, when there is nothing to say."""
    return json.dumps(dict(sorted(digests.items())), separators=(",", ":"), ensure_ascii=False) if digests else None
