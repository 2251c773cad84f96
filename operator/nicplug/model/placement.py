"""The members of a VMI spec that say where its pods may run."""

from collections.abc import Mapping
from typing import Any

from nicplug.model.frozen_json import FrozenJson, freeze, shared

PLACEMENT_MEMBERS = ("affinity", "nodeSelector", "tolerations")


def parse_placement(spec: Mapping[str, Any]) -> FrozenJson:
    """Those that say something: a record keeps them apart, so that no pass has to parse a whole spec for them."""
    return shared(freeze({member: value for member in PLACEMENT_MEMBERS if (value := spec.get(member))}))
