"""What the simulator can be told at start; everything else is told by annotations while it runs."""

from dataclasses import dataclass
from pathlib import Path

PREFIX = "sandbox.nicplug.io/"
FIELD_MANAGER = "nicplug-sandbox-node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One run of the simulator. Durations are in seconds."""

    kubeconfig: Path
    nodes: int = 3
    """How many Node objects to register and play: node01, node02, ..."""
    seed: int = 0
    """Seeds everything random; the same seed and the same objects give the same order."""
    dynamic_controller_nodes: str = "all"
    """`all`, `none`, `not-deployed`, or node names with commas: where the dynamic networks controller runs at start.

    With `none` its DaemonSet exists and selects no node; with `not-deployed` there is no DaemonSet.
    """
    start_seconds: float = 0.0
    """From binding to Running; above 0 the pod shows ContainerCreating meanwhile."""
    termination_seconds: float = 0.05
    """How long containers take to end after SIGTERM; never longer than the pod's own grace period."""
    plug_seconds: float = 0.0
    """How long the guest takes to accept or release a NIC (QEMU: 0.065 to 0.125)."""
    prepare_seconds: float = 0.0
    """How long the target pod of a live migration is prepared once it runs."""
    copy_seconds: float = 0.3
    """How long a live migration copies a guest's memory (QEMU with 192 MiB: 0.44 to 0.52)."""
    cut_over_seconds: float = 0.0
    """How long the guest stands still between the copy and its target (QEMU: 0.008 to 0.074)."""
    vmi_status_subresource: bool = True
    """Whether VMIs have a status subresource; KubeVirt's own CRD has none."""
    guests_socket: Path | None = None
    """Where to tell which guests have which NICs."""
    sandbox_retry_seconds: float = 1.0
    """Between two attempts to create a pod sandbox that failed (a real kubelet: 10 to 15)."""
    heartbeat_seconds: float = 10.0
    """Between two renewals of a node's Lease, as the kubelet does."""
    concurrency: int = 32
    """Connections to the API server, and objects that one role works on at a time."""
    deregister: bool = False
    """Delete the nodes and DaemonSets at the end: for clusters that outlive the simulator."""

    @property
    def node_names(self) -> tuple[str, ...]:
        """The names of the simulated nodes, in order."""
        return tuple(f"node{number:02d}" for number in range(1, self.nodes + 1))

    @property
    def is_dynamic_controller_deployed(self) -> bool:
        """Whether the dynamic networks controller has a DaemonSet."""
        return self.dynamic_controller_nodes != "not-deployed"

    def has_dynamic_controller(self, node: str) -> bool:
        """Whether the dynamic networks controller runs on `node` at start."""
        match self.dynamic_controller_nodes:
            case "all":
                return True
            case "none" | "not-deployed":
                return False
            case names:
                return node in {name.strip() for name in names.split(",")}
