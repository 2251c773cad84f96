"""What annotations of a VMI record about its NICs: which came from the template, and which were rolled back."""

import hashlib
import json
from collections.abc import Iterable, Mapping

from nicplug.model.metadata import json_in, mapping
from nicplug.model.networks import Interface, Network

# Where a NIC of a VM's VMI comes from: the VM's template, or a user who added it to the VMI alone.
#
# The annotation `nicplug.io/template-interfaces` of the VMI holds a JSON list of the names that came from the template.
# Any client may write an annotation: one that cannot be read counts as unknown, and then no NIC is unplugged because
# the template lacks it.


def parse_origin(annotation: str | None) -> frozenset[str] | None:
    """Return the names that came from the template; None if unknown."""
    names = json_in(annotation)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return frozenset(names)


def render_origin(names: Iterable[str]) -> str:
    """Return the text of the annotation: sorted, so that equal sets are equal texts."""
    return json.dumps(sorted(set(names)), separators=(",", ":"), ensure_ascii=False)


# Which NICs of a VMI were rolled back (policy `onFailure: Rollback`), and what their owner had written then.
#
# The annotation `nicplug.io/rolled-back-interfaces` of the VMI maps NIC names to digests of the NIC's entries. Changing
# the entries is a new request, which nicplug tries again. Any client may write an annotation: one that cannot be read
# counts as empty.

_DIGITS = 10


def entry_digest(interface: Interface, network: Network) -> str:
    """Return the digest of both entries of a NIC, as its owner wrote them."""
    return hashlib.sha256(f"{interface.raw}\n{network.raw}".encode(errors="replace")).hexdigest()[:_DIGITS]


def parse_rolled_back(annotation: str | None) -> dict[str, str]:
    """Return NIC name -> digest; empty if unknown."""
    return {name: digest for name, digest in mapping(json_in(annotation)).items() if isinstance(digest, str)}


def render_rolled_back(digests: Mapping[str, str]) -> str | None:
    """Return the text of the annotation; None, which removes it, if there are no digests."""
    return json.dumps(dict(sorted(digests.items())), separators=(",", ":"), ensure_ascii=False) if digests else None
