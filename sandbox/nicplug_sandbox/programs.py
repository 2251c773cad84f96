"""The command lines of etcd, kube-apiserver, kube-scheduler and the controllers.

Every path that is not secret is relative to the sandbox's directory, in which all of them run: Unix
socket names may have only about a hundred characters, and temporary directories are long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nicplug_sandbox.certificates import Pki

ETCD_SOCKET = "etcd-client.sock"
# With what looks like a port: etcd 3.5 insists on one in what it advertises.
ETCD_PEER_SOCKET = "etcd-peer.sock:0"
# By the names that releases since 1.28 know.
UPSTREAM_CONTROLLERS = (
    "serviceaccount-controller",
    "namespace-controller",
    "garbage-collector-controller",
    "daemonset-controller",
    "replicaset-controller",
    "deployment-controller",
    "node-lifecycle-controller",
    "taint-eviction-controller",
    "pod-garbage-collector-controller",
    "disruption-controller",
    "resourcequota-controller",
    "clusterrole-aggregation-controller",
)
SERVICE_NETWORK = "10.0.0.0/24"


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """How each program is started, without its flags: a path, or our binary and a subcommand."""

    etcd: Sequence[str]
    apiserver: Sequence[str]
    scheduler: Sequence[str]
    controllers: Sequence[str]
    upstream_controllers: bool = False  # `controllers` is a real kube-controller-manager, with its flags

    @property
    def commands(self) -> tuple[Sequence[str], ...]:
        """All four, in the order of their start."""
        return (self.etcd, self.apiserver, self.controllers, self.scheduler)


def etcd(programs: Programs) -> list[str]:
    """One member on Unix sockets: no port to lose to a race, and no other user of the machine gets in."""
    client, peer = f"unix://{ETCD_SOCKET}", f"unix://{ETCD_PEER_SOCKET}"
    return [
        *programs.etcd,
        "--name=sandbox",
        "--data-dir=etcd",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}:0",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=sandbox={peer}",
        # A sandbox does not outlive a crash of its machine, so nothing is lost by not waiting for the
        # disk; with fsync the figures of the bench would be those of the disk.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver(
    programs: Programs,
    *,
    pki: Pki,
    port: int,
    audit_policy: Path,
    audit_log: Path,
    admission_plugins: Sequence[str] = (),
) -> list[str]:
    """A kube-apiserver on 127.0.0.1 with RBAC, token issuing, front proxy and audit log."""
    return [
        *programs.apiserver,
        f"--etcd-servers=unix://{ETCD_SOCKET}",
        "--bind-address=127.0.0.1",
        # Named, since a laptop without network has no address that could be found.
        "--advertise-address=127.0.0.1",
        # Loopback addresses are not allowed in endpoints; nobody reaches the server by its Service here.
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        f"--tls-cert-file={pki.file('apiserver.crt')}",
        f"--tls-private-key-file={pki.file('apiserver.key')}",
        f"--client-ca-file={pki.file('ca.crt')}",
        # As on real clusters: a kubelet writes its own node and the pods on it, and no other.
        "--authorization-mode=Node,RBAC",
        f"--enable-admission-plugins={','.join(('NodeRestriction', *admission_plugins))}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki.file('service-account.pub')}",
        f"--service-account-signing-key-file={pki.file('service-account.key')}",
        *_front_proxy(pki),
        f"--audit-policy-file={audit_policy}",
        f"--audit-log-path={audit_log}",
        # Blocking: when a request is answered its line is in the file; batches lose lines at the end.
        "--audit-log-mode=blocking",
        "--audit-log-maxsize=1024",
        "--audit-log-maxbackup=1",
        # Tests and the bench send bursts; what they measure must not be this server's politeness.
        "--max-requests-inflight=3000",
        "--max-mutating-requests-inflight=1500",
        "--allow-privileged=true",
    ]


def _front_proxy(pki: Pki) -> list[str]:
    # --enable-aggregator-routing stays off: with it a Service of type ExternalName, which is how an
    # aggregated API on this host is reached, is refused.
    return [
        f"--requestheader-client-ca-file={pki.file('front-proxy-ca.crt')}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki.file('front-proxy-client.crt')}",
        f"--proxy-client-key-file={pki.file('front-proxy-client.key')}",
    ]


def scheduler(programs: Programs, *, kubeconfig: Path) -> list[str]:
    """The real scheduler with its default plugins; it serves nothing, so it needs no port."""
    return [
        *programs.scheduler,
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
    ]


def controllers(programs: Programs, *, pki: Pki, kubeconfig: Path) -> list[str]:
    """The controllers of sandbox/nicplug_sandbox/go/registry.go, or the same ones of kube-controller-manager."""
    own = [*programs.controllers, f"--kubeconfig={kubeconfig}"]
    if not programs.upstream_controllers:
        return own
    return [
        *own,
        f"--controllers={','.join(UPSTREAM_CONTROLLERS)}",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={pki.file('service-account.key')}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
    ]
