"""Default names for NICs. Pure."""

import re
from collections.abc import Iterable

LONGEST_NAME = 63


def free_name(network: str, *, taken: Iterable[str]) -> str:
    """Return a name based on that of the definition, without invalid characters, with a number if it is taken."""
    base = re.sub(r"[^A-Za-z0-9_-]", "-", network.rpartition("/")[2]).strip("-_")[: LONGEST_NAME - 4] or "nic"
    known, number = set(taken), 2
    name = base
    while name in known:
        name, number = f"{base}-{number}", number + 1
    return name
