"""How nicplug works in a cluster: as its controller of virtual machines, or beside KubeVirt's."""

from enum import StrEnum


class Mode(StrEnum):
    """`nicplug run --mode`."""

    STANDALONE = "standalone"
    """nicplug runs the virtual machines: it is the cluster's virt-controller."""
    COMPANION = "companion"
    """KubeVirt's virt-controller runs them: nicplug writes only its own migrations and reports."""
