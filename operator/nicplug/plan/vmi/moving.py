"""Whether a VMI is being migrated, and what the pod it moves to was made with.

While it moves, nothing is done to its source pod: the target pod was made from the same spec, and what is asked of
only one of the two would be lost, or be in the guest of neither.
"""

from nicplug.model.interface_names import hashed_interface_name
from nicplug.model.metadata import mapping, text
from nicplug.model.migration import Migration, MigrationState, parse_migration_state
from nicplug.model.networks_annotation import UnreadableAnnotation, parse_annotation
from nicplug.model.pod import LauncherPod
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.launcher_pod import target_pod_key


def is_moving(view: VmiView) -> bool:
    """A target pod exists, or an unfinished migration says so; until both node agents are through with it."""
    return target_pod(view) is not None or any(item.has_target for item in _under_way(view))


def target_pod(view: VmiView) -> LauncherPod | None:
    """The live pod that the VMI moves to, or has just moved to while its migration goes on; None when there is none.

    Whoever may create pods may name our VMI as their owner and label them: only the name that we give, or that the
    hand-off has written into the status, is believed.
    """
    state = migration_state(view)
    names = {target_pod_key(view.vmi, migration_uid=item.uid) for item in _under_way(view)}
    found = [pod for pod in view.pods if not pod.is_finished]
    handed_off = [pod for pod in found if state.is_active and pod.key.name == state.target_pod]
    made = [pod for pod in found if pod.key in names]
    return next(iter((*handed_off, *made)), None)


def target_networks(view: VmiView) -> dict[str, str]:
    """The secondary networks that the target pod was made with: NIC name -> `<namespace>/<attachment definition>`.

    Empty without a target pod. A NIC of the spec that is missing here does not come with this migration, and one
    with another definition than the spec's comes with the old one.
    """
    pod = target_pod(view)
    if pod is None:
        return {}
    try:
        elements = parse_annotation(pod.networks_annotation)
    except UnreadableAnnotation:
        return {}
    asked = {text(item.get("interface")): item for item in map(mapping, elements)}
    own = {network.name: hashed_interface_name(network.name) for network in view.vmi.networks if network.is_secondary}
    return {
        name: f"{text(item.get('namespace')) or view.vmi.key.namespace}/{text(item.get('name'))}"
        for name, interface in own.items()
        if (item := asked.get(interface)) is not None
    }


def migration_state(view: VmiView) -> MigrationState:
    """What the VMI's status says about its present or last migration."""
    return parse_migration_state(view.vmi.read_status())


def _under_way(view: VmiView) -> list[Migration]:
    """The migrations that have not ended, by their own word or by that of the node agents."""
    state = migration_state(view)
    over = state.migration_uid if not state.is_active else ""
    return [item for item in view.migrations if not item.is_final and item.uid != over]
