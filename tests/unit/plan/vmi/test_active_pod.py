"""Which of several pods runs the guest."""

from tests.build import Json, a_vmi, pod, vmi, vmi_view

from nicplug.plan.vmi.active_pod import active_pod
from nicplug.plan.vmi.launcher_pod import launcher_pod_key


def _name(raw: Json, *pods: Json) -> str | None:
    found = active_pod(vmi_view(raw, *pods))
    return found.key.name if found else None


def test_the_newest() -> None:
    """Pods of a virt-controller before us have names that we cannot know."""
    old, young = pod(name="old"), pod(name="young", uid="b", creationTimestamp="2026-01-02T03:30:00Z")
    assert _name(vmi(), old, young) == "young"


def test_before_the_vmi_has_a_node_only_our_own() -> None:
    """A forged pod was adopted before the first of our own was made, which then never was."""
    raw = vmi(phase="", node="")
    made = launcher_pod_key(a_vmi(raw)).name
    assert _name(raw, pod(name="forged")) is None
    assert _name(raw, pod(name="forged"), pod(name=made, uid="b")) == made


def test_only_on_the_vmi_s_node() -> None:
    """A forged pod with the right owner uid on another node is nobody's guest."""
    forged = pod(name="forged", uid="b", node="evil", creationTimestamp="2026-01-02T03:30:00Z")
    assert _name(vmi(), pod(), forged) == pod()["metadata"]["name"]
    assert _name(vmi(), forged) is None


def test_a_forged_pod_on_the_same_node() -> None:
    """Right owner uid, right node, and younger: still not the pod that nicplug made."""
    made = pod(name=launcher_pod_key(a_vmi(vmi())).name)
    forged = pod(name="forged", uid="b", creationTimestamp="2026-01-02T03:30:00Z")
    assert _name(vmi(), made, forged) == made["metadata"]["name"]


def test_without_a_time_of_creation() -> None:
    one = pod(name="a", uid="a", creationTimestamp="")
    other = pod(name="b", uid="b", creationTimestamp="")
    assert _name(vmi(), one, other) == "b"
