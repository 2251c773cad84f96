"""Outcomes of a migration: why it failed or waits, and which NICs caused the failure."""

from dataclasses import dataclass

from nicplug.model.conditions import FALSE, TRUE
from nicplug.model.networks import Network
from nicplug.model.networks_annotation import hashed_interface_name, plugin_interface_name
from nicplug.plan.migration.facts import MigrationFacts
from nicplug.plan.migration.target_networks import missing_interfaces
from nicplug.plan.nic.path.migration_history import cause_at_fault, causes_of
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Failure of a migration.

    Attributes:
        event: KubeVirt's text.
        message: of the condition, where there is more to say than the event does.
        is_abort: the migration was cancelled before the node agents had it.
    """

    reason: Reason
    event: str
    message: str = ""
    is_abort: bool = False

    @property
    def told(self) -> str:
        """The text for users."""
        return self.message or self.event


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Content of the condition `Progressing`.

    Attributes:
        is_stuck: nicplug can do nothing until something changes.
    """

    reason: str
    message: str
    is_stuck: bool = False

    @property
    def status(self) -> str:
        """Status of the condition."""
        return FALSE if self.is_stuck else TRUE


def nics_at_fault(facts: MigrationFacts, ending: Ending) -> list[str]:
    """List the NICs at fault where the failure names an interface or a network, in spec order; else [].

    All NICs count, not only those that the migration was for: each target pod has the others, too. If Multus
    reports none at all, only the NICs that the migration was for are at fault, not those that the guest has.
    """
    pod, vmi = facts.target, facts.vmi
    if pod is None or vmi is None or ending.reason is not Reason.TARGET_POD_NOT_READY:
        return []
    if facts.named_nics:
        return list(facts.named_nics)
    made_for = causes_of(facts.migration)
    # Multus reports only after it has attached everything: before the pod runs, a missing interface means nothing.
    unreported = frozenset(missing_interfaces(pod, vmi)) if pod.is_ready else frozenset[str]()
    missing = [item.name for item in vmi.networks if item.is_secondary and not unreported.isdisjoint(_names(item))]
    return [name for name in missing if name in made_for] or missing


def causes_at_fault(view: MigrationView, facts: MigrationFacts, names: list[str]) -> dict[str, str]:
    """Fingerprints of the NICs at fault that the migration was not for, so that a correction of them is noticed."""
    vmi, made_for = facts.vmi, causes_of(facts.migration)
    if vmi is None:
        return {}
    causes = {name: cause_at_fault(vmi, name=name, known=view.attachments) for name in names if name not in made_for}
    return {name: cause for name, cause in causes.items() if cause}


def _names(network: Network) -> tuple[str, str]:
    """Names of the NIC's pod interface and of its binding plugin's."""
    return hashed_interface_name(network.name), plugin_interface_name(network.name)
