"""MAC addresses in the notations that KubeVirt's admission takes."""

import re

_DOTTED = re.compile(r"^[0-9a-fA-F]{4}([.][0-9a-fA-F]{4}){2}$")


def without_dots(mac: str) -> str:
    """`0200.0000.0001` with colons, as CNI plugins read it; any other text as it is."""
    if not _DOTTED.fullmatch(mac):
        return mac
    digits = mac.replace(".", "")
    return ":".join(digits[place : place + 2] for place in range(0, len(digits), 2))


def normalised_mac(mac: str) -> str:
    """A MAC address as it is compared."""
    return without_dots(mac).lower().replace("-", ":")
