"""Objects as the API server writes them, and what is put into them."""

import json
from typing import Any

from tests.build import Json


def go(value: Any) -> bytes:
    """As the API server writes a custom resource."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def put(raw: Json, place: tuple[str, ...], value: Any) -> Json:
    parent = raw
    for member in place[:-1]:
        parent = parent.setdefault(member, {})
    parent[place[-1]] = value
    return raw
