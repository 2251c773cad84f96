"""The versions by which the processes name themselves.

`gitVersion` of the aggregated API is that of the KubeVirt release whose requests the API takes, with nicplug's own as
build metadata, as distributions of Kubernetes name theirs (`v1.30.2+k3s1`). KubeVirt's virtctl compares major and minor
of it with its own after every command that fails, and warns when they differ
(docs/adr/0029-version-of-the-aggregated-api.md).
"""

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
