"""What is said of what could not be read, to somebody who may not read the cluster."""

from nicplug.insight.evidence import Unknown
from nicplug.insight.trimmed import trimmed_unknown

DAEMON_SETS = [
    Unknown(kind="daemonsets", why="denied", remedy="x", namespace=namespace) for namespace in ("kube-system", "net")
]


def test_where_it_is_read_is_said_to_who_may_know() -> None:
    assert [item.what for item in DAEMON_SETS] == ["daemonsets in namespace kube-system", "daemonsets in namespace net"]
    assert [item.what for item in trimmed_unknown(DAEMON_SETS)] == ["daemonsets"]
