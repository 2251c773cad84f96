"""Beside which versions of KubeVirt nicplug acts, and beside which it only reports.

Pure. What differs between the versions is a table in docs/beside-kubevirt.md.
"""

import re

OLDEST_KUBEVIRT = (1, 4)
NEWEST_KUBEVIRT = (1, 9)
MINOR_VERSION = r"^[0-9]{1,4}\.[0-9]{1,4}$"
_VERSION = re.compile(r"v?([0-9]{1,4})\.([0-9]{1,4})(?![0-9])")


def why_only_report(version: str, *, allowed: str = "") -> str:
    """Return why nicplug must not act beside this KubeVirt, as a sentence without a full stop; "" if it may.

    Args:
        version: `status.observedKubeVirtVersion` of the KubeVirt CR, such as `v1.9.0`.
        allowed: the minor version, newer than nicplug knows, beside which it may act: `1.10`.
    """
    if not version:
        return "KubeVirt has not reported its version (status.observedKubeVirtVersion of the KubeVirt CR)"
    found = _VERSION.match(version)
    if found is None:
        return f'KubeVirt reports the version "{version[:40]}", which nicplug cannot compare'
    minor = (int(found[1]), int(found[2]))
    name = ".".join(map(str, minor))
    if minor < OLDEST_KUBEVIRT:
        return f"KubeVirt {name} is older than {_name(OLDEST_KUBEVIRT)}, the oldest that nicplug knows"
    if minor > NEWEST_KUBEVIRT and name != allowed:
        return f"KubeVirt {name} is newer than {_name(NEWEST_KUBEVIRT)}, the newest that nicplug knows"
    return ""


def remedy_for(version: str) -> str:
    """Return what makes nicplug act beside this KubeVirt; "" if nothing but another version of it does."""
    found = _VERSION.match(version)
    if found is None or (int(found[1]), int(found[2])) <= NEWEST_KUBEVIRT:
        return ""
    name = f"{int(found[1])}.{int(found[2])}"
    return f"Upgrade nicplug, or let it act beside this version: --allow-kubevirt-version {name}"


def _name(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
