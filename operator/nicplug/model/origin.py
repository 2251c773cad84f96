"""Where a NIC of a VM's VMI comes from: the VM's template, or a person who added it to the VMI alone.

Kept on the VMI in the annotation `nicplug.io/template-interfaces`, a JSON list of the names that came from the
template. Anybody may write an annotation: one that cannot be read says nothing, and then no NIC is taken out for
what the template lacks.
"""

import json
from collections.abc import Iterable


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
