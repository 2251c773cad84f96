"""When a role of the node agents has to look at a VMI."""

from collections.abc import Callable

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.migration import OWNER_LABEL, label_of
from nicplug_sandbox.node.mirror import Mirror


def watch_vmis(*, vmis: Mirror, pods: Mirror, nodes: Mirror, enqueue: Callable[[Json], None]) -> None:
    """Call `enqueue` with every VMI now, and with one at each change of it, of its pods, or of its nodes."""

    def on_vmi(_old: Json | None, new: Json | None) -> None:
        if new is not None:
            enqueue(new)

    def on_pod(old: Json | None, new: Json | None) -> None:
        pod = new or old
        assert pod is not None
        uid = label_of(pod, OWNER_LABEL)
        for vmi in vmis.by_index("uid", uid) if uid else ():
            enqueue(vmi)

    def on_node(_old: Json | None, new: Json | None) -> None:
        # Any change may be a fault that comes or goes; nodes change rarely.
        if new is not None:
            for vmi in vmis.by_index("node", new["metadata"]["name"]):
                enqueue(vmi)

    for vmi in vmis.all():
        enqueue(vmi)
    vmis.listen(on_vmi)
    pods.listen(on_pod)
    nodes.listen(on_node)
