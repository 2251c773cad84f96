"""The oldest Kubernetes that nicplug runs on: its CRDs have rules that call functions of CEL which came with it."""

import re

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
