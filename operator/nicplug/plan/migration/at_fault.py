"""Which of the NICs that a migration was for it has failed of, where the failure names an interface or a network."""

from nicplug.model.interface_names import hashed_interface_name, plugin_interface_name
from nicplug.model.networks import Network
from nicplug.model.pod import LauncherPod
from nicplug.plan.migration.ending import Ending
from nicplug.plan.migration.facts import Facts
from nicplug.plan.migration.target_networks import missing_interfaces
from nicplug.plan.nic.path.causes import causes_of
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView


def nics_at_fault(view: MigrationView, facts: Facts, ending: Ending) -> list[str]:
    """Of those that the migration says it was for, in spec order; [] when nothing is named, or nothing of them."""
    pod, vmi = facts.target, facts.vmi
    if pod is None or vmi is None or ending.reason is not Reason.TARGET_POD_NOT_READY:
        return []
    made_for = causes_of(view.migration)
    networks = [network for network in vmi.networks if network.is_secondary and network.name in made_for]
    named = [item for item in networks if item.name in facts.named_nics or _is_missing(item, pod, facts)]
    return [network.name for network in named]


def _is_missing(network: Network, pod: LauncherPod, facts: Facts) -> bool:
    """Multus lists what it has attached when all is done: before the pod runs, what is missing says nothing."""
    if facts.vmi is None or not pod.is_ready:
        return False
    missing = missing_interfaces(pod, facts.vmi)
    return any(scheme(network.name) in missing for scheme in (hashed_interface_name, plugin_interface_name))
