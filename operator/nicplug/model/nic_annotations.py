"""What annotations of a VMI remember of its NICs: which came from the template, which were rolled back."""

import hashlib
import json
from collections.abc import Iterable, Mapping

from nicplug.model.networks import Interface, Network

# Where a NIC of a VM's VMI comes from: the VM's template, or a person who added it to the VMI alone.
#
# Kept on the VMI in the annotation `nicplug.io/template-interfaces`, a JSON list of the names that came from the
# template. Anybody may write an annotation: one that cannot be read says nothing, and then no NIC is taken out for
# what the template lacks.


def parse_origin(annotation: str | None) -> frozenset[str] | None:
    """The names that came from the template; None when nobody knows."""
    try:
        names = json.loads(annotation) if annotation else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return frozenset(names)


def render_origin(names: Iterable[str]) -> str:
    """The text of the annotation: sorted, so that equal sets are equal texts."""
    return json.dumps(sorted(set(names)), separators=(",", ":"), ensure_ascii=False)


# Which NICs of a VMI were rolled back (policy `onFailure: Rollback`), and what their owner had written then.
#
# Kept on the VMI in the annotation `nicplug.io/rolled-back-interfaces`, NIC name -> digest of the NIC's entries.
# Whoever changes the entries asks for something else, and is served anew. Anybody may write an annotation: one that
# cannot be read says nothing.

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
