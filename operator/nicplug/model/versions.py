"""Versions: of nicplug's processes, and of the oldest Kubernetes that they run on."""

import re

# The versions by which the processes name themselves.
#
# `gitVersion` of the aggregated API is that of the KubeVirt release whose requests the API takes, with nicplug's own
# as build metadata, as distributions of Kubernetes name theirs (`v1.30.2+k3s1`). KubeVirt's virtctl compares major
# and minor of it with its own after every command that fails, and warns when they differ
# (docs/adr/0029-version-of-the-aggregated-api.md).

# Of the operator's Lease: which nicplug leads.
VERSION_ANNOTATION = "nicplug.io/version"
KUBEVIRT_API = "1.0.0"
_OURS = "+nicplug."


def served_version(version: str) -> str:
    """What `gitVersion` says.

    Args:
        version: of nicplug.
    """
    # Semantic versions have one plus sign: a local build's own becomes a dot.
    return f"v{KUBEVIRT_API}{_OURS}{version.replace('+', '.')}"


def nicplug_version_in(served: str) -> str:
    """Which nicplug serves, from a `gitVersion`; "" when it is another program."""
    return served.partition(_OURS)[2]


# The oldest Kubernetes that nicplug runs on: its CRDs have rules that call functions of CEL which came with it.

OLDEST = (1, 31)
OLDEST_KUBERNETES = ".".join(map(str, OLDEST))
"""As people write it; `kubeVersion` of the chart says the same."""
TOO_OLD_REMEDY = (
    f"Upgrade to Kubernetes {OLDEST_KUBERNETES} or newer: an older API server refuses the CRDs (docs/support.md)."
)


def is_too_old(git_version: str) -> bool:
    """Whether an API server is older than that; False for what names no version.

    Args:
        git_version: of its /version, such as `v1.30.2-eks-1234`.
    """
    match = re.match(r"v?(\d+)\.(\d+)", git_version)
    return match is not None and (int(match[1]), int(match[2])) < OLDEST
