"""Whose network the kubelet's words about a target pod name, where they name one."""

from nicplug.model.attachments import attachment_key
from nicplug.model.networks import Network
from nicplug.model.pod_failures import PodFailure
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.views import MigrationView


def nics_named(view: MigrationView, vmi: VirtualMachineInstance, failure: PodFailure | None) -> tuple[str, ...]:
    """The NICs of the VMI on the network that is named, in spec order; several may be on one."""
    if failure is None or not failure.network:
        return ()
    return tuple(item.name for item in vmi.networks if item.attachment and _is_named(item, failure.network, view))


def is_of_networks(view: MigrationView, vmi: VirtualMachineInstance, failure: PodFailure | None) -> bool:
    """One of the VMI's networks is named, or may be: by what name Multus quotes a definition stands in it.

    Else it is the node's container runtime, the cluster's own network, or a chained plugin that somebody puts into
    every pod: nobody could fix that by an edit of the VM or of its networks.
    """
    if failure is None:
        return False
    if failure.is_of_networks or nics_named(view, vmi, failure):
        return True
    definitions = view.attachments.definitions
    namespace = view.migration.key.namespace
    is_known = all(attachment_key(item, namespace=namespace) in definitions for item in vmi.networks if item.attachment)
    return bool(failure.network) and "/" not in failure.network and not is_known


def _is_named(network: Network, name: str, view: MigrationView) -> bool:
    key = attachment_key(network, namespace=view.migration.key.namespace)
    if "/" in name:
        return name == f"{key.namespace}/{key.name}"
    definition = view.attachments.definitions.get(key)
    return name == (definition.network_name if definition is not None else key.name)
