"""Versions: of nicplug's processes, and of the oldest Kubernetes that they support."""

import re

# `gitVersion` of the aggregated API is that of the KubeVirt release whose requests the API accepts, with nicplug's own
# as build metadata, as distributions of Kubernetes name theirs (`v1.30.2+k3s1`). KubeVirt's virtctl compares its major
# and minor version with its own after every command that fails, and warns if they differ
# (docs/adr/0029-version-of-the-aggregated-api.md).

# On the operator's Lease: the version of the leader.
VERSION_ANNOTATION = "nicplug.io/version"
# On the same Lease: its setting `allow_kubevirt_version`, for commands that predict what it does; "" without one.
ALLOWED_KUBEVIRT_ANNOTATION = "nicplug.io/allowed-kubevirt-version"
KUBEVIRT_API = "1.0.0"
_OURS = "+nicplug."


def served_version(version: str) -> str:
    """Return the `gitVersion` to serve."""
    # Semantic versions have one plus sign: that of a local build becomes a dot.
    return f"v{KUBEVIRT_API}{_OURS}{version.replace('+', '.')}"


def nicplug_version_in(served: str) -> str:
    """Return the version of the nicplug that serves a `gitVersion`; "" if it is another program."""
    return served.partition(_OURS)[2]


# The oldest Kubernetes that nicplug supports: its CRDs have rules that call CEL functions introduced in it.

OLDEST = (1, 31)
OLDEST_KUBERNETES = ".".join(map(str, OLDEST))
"""The short form for people; equals `kubeVersion` of the chart."""
TOO_OLD_REMEDY = (
    f"Upgrade to Kubernetes {OLDEST_KUBERNETES} or newer: an older API server refuses the CRDs (docs/support.md)."
)


def is_too_old(git_version: str) -> bool:
    """Report whether an API server is older than that; False if the text is not a version.

    Args:
        git_version: that of its /version, such as `v1.30.2-eks-1234`.
    """
    match = re.match(r"v?(\d+)\.(\d+)", git_version)
    return match is not None and (int(match[1]), int(match[2])) < OLDEST
