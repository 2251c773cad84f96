"""What a person can do about a migration that cannot begin, for the records of the NICs that wait for it.

Found by the reason that the migration itself reports and by nothing else, so that a record changes with the message
that it quotes, and costs no write of its own. Left out is what may pass without anybody's help: a node that is lost, a
target pod that the scheduler or a kubelet holds up, a launcher pod that is still ending.
"""

from collections.abc import Mapping

from nicplug.model.migration import Migration
from nicplug.plan.reasons import Reason

_REMEDIES: Mapping[str, str] = {
    Reason.NETWORK_NOT_ALLOWED: "Ask the cluster admin to allow that network, or unplug the NIC that the message "
    "names: the VM is then migrated automatically",
    Reason.ATTACHMENT_DEFINITION_MISSING: "Create the network attachment definition that the message names, or "
    "unplug its NIC: the VM is then migrated automatically",
    Reason.ATTACHMENT_DEFINITION_INVALID: "Correct the network attachment definition that the message names, or "
    "unplug its NIC: the VM is then migrated automatically",
    Reason.MULTUS_NOT_INSTALLED: "Ask the cluster admin to install Multus: the VM is then migrated automatically",
}


def remedy_for(reason: str) -> str:
    """What to do about a migration that reports this reason and waits for somebody; "" when it may go on by itself."""
    return _REMEDIES.get(reason, "")


def remedy_of(migration: Migration) -> str:
    """The same for a migration as its condition `Progressing` says; "" for one that goes on."""
    return remedy_for(migration.progress_reason) if migration.is_stuck else ""
