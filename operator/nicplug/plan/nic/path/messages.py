"""Messages about the path of a NIC: renders the sentences of the rules, and defines their phrases."""

from collections.abc import Mapping
from dataclasses import dataclass

from nicplug.model.dynamic_controller import ControllerState
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.operations import OperationType
from nicplug.plan.nic.path.evidence import FAILED_ATTEMPTS, PathEvidence
from nicplug.plan.reasons import Reason

CONTROLLER = "the dynamic networks controller"


def render(sentence: str, evidence: PathEvidence) -> str:
    """Render the sentence of a rule for one NIC: each `{name}` in it is a phrase, or a member of the evidence."""
    return sentence.format_map(_Phrases(evidence))


@dataclass(frozen=True, slots=True)
class _Phrases:
    """The phrases, computed on demand. Those that end a sentence start with a comma."""

    of: PathEvidence

    def __getitem__(self, name: str) -> str:
        return str(getattr(self if hasattr(type(self), name) else self.of, name))

    @property
    def where(self) -> str:
        return f"node {self.of.node}" if self.of.node else "the VM's node"

    @property
    def change(self) -> str:
        """The change requested from the pod: `attach network default/blue to pod p`."""
        network = f"network {self.of.network}" if self.of.network else "the network"
        pod = f"pod {self.of.pod}" if self.of.pod else "the launcher pod"
        is_unplug = self.of.operation is OperationType.UNPLUG
        return f"detach {network} from {pod}" if is_unplug else f"attach {network} to {pod}"

    @property
    def other_network(self) -> str:
        return f"network {self.of.network}" if self.of.network else "another network"

    @property
    def dynamic_path(self) -> str:
        return self._policy("dynamicPath", self.of.policy.dynamic_path)

    @property
    def on_failure(self) -> str:
        return self._policy("onFailure", self.of.policy.on_failure)

    @property
    def migration(self) -> str:
        return self._policy("migration", self.of.policy.migration)

    @property
    def allow_migration(self) -> str:
        return self.of.policy.migration_remedy

    @property
    def held_by(self) -> str:
        """The part of the policy that forbids a migration now."""
        return self.dynamic_path if self.of.policy.dynamic_path == "Always" else self.on_failure

    @property
    def absence(self) -> str:
        """Why no controller handles the pod."""
        if self.of.controller.state is ControllerState.NOT_DEPLOYED:
            return "no trusted namespace has a dynamic networks controller"
        name = self.of.controller.daemon_set
        controller = f"{CONTROLLER} (DaemonSet {name})" if name else CONTROLLER
        if self.of.controller.state is ControllerState.NOT_ON_NODE:
            return f"{controller} does not run on {self.where}"
        return f"{controller} on {self.where} is not ready{_quoted(self.of.controller.message)}"

    @property
    def waiting(self) -> str:
        return f"waiting for {CONTROLLER} on {self.where} to {self.change}"

    @property
    def failed(self) -> str:
        """The failure that the controller reported.

        Counted only up to the number that ends the path: a new leader cannot know whether failures of later attempts
        were reported. The record has the number of attempts.
        """
        count = self.of.failed_attempts
        tried = _times(count) if count <= FAILED_ATTEMPTS else "repeatedly"
        return f"{CONTROLLER} on {self.where} failed {tried} to {self.change}{_quoted(self.of.error)}"

    @property
    def late(self) -> str:
        within = f"within {self.of.policy.dynamic_timeout.total_seconds():g} s"
        if self.of.controller.state is ControllerState.NOT_READY:
            return f"{self.absence}, and has not come back {within}"
        asked = f"{CONTROLLER} on {self.where}"
        if self.of.controller.state is ControllerState.UNKNOWN:
            asked = f"{asked}, if there is one,"
        return f"{asked} did not {self.change} {within}{_quoted(self.of.error)}"

    @property
    def failed_or_late(self) -> str:
        return self.failed if self.of.has_failed else self.late

    @property
    def correct_it(self) -> str:
        if self.of.error:
            return "Correct what the controller says (lastError)"
        return f"Look at {CONTROLLER} on {self.where}"

    @property
    def failures(self) -> str:
        """The number of failed migrations."""
        return f"migrating failed {_times(self.of.failed_migrations)}{_quoted(self.of.migration_error)}"

    @property
    def retry(self) -> str:
        """How the migration controller continues."""
        if self.of.is_retried_alone:
            return "nobody can tell for which of its NICs, so each is tried by itself"
        return "it is retried with back-off"

    @property
    def pod_retry(self) -> str:
        """What follows a failure in place."""
        return "it is retried with back-off" if self.of.asks_again else "KubeVirt does not ask for it again"

    @property
    def no_candidate(self) -> str:
        candidates = self.of.candidates
        return candidates.message or f"0 of {candidates.total} nodes can take the VM"

    @property
    def or_else(self) -> str:
        """Alternatives to a migration that is not possible."""
        if self.of.operation is OperationType.UNPLUG:
            return "; or leave it: what the pod still has ends with the pod"
        if self.of.controller.is_absent and not self.of.is_sriov and self.of.operation is OperationType.PLUG:
            return f", run a dynamic networks controller on {self.where}{self.or_restart}"
        return self.or_restart

    @property
    def or_restart(self) -> str:
        """The alternative of a restart, unless the new pod would probably not start and leave the VM down."""
        if devices := self.of.candidates.devices_nowhere:
            return f"; do not restart the VM: it would not start, as no node offers {', '.join(devices)}"
        if self.of.candidates.restarts_nowhere:
            return "; do not restart the VM: it would not start, as no node can take it, not even the one that runs it"
        if self.of.error and self.of.operation is OperationType.PLUG:
            return ", or correct what lastError says; until then a restarted VM may not start"
        return ", or restart the VM"

    def _policy(self, field: str, value: str) -> str:
        return f"{field} is {value} ({self.of.policy.origin(field)})"


def _quoted(error: str) -> str:
    return f": {error}" if error else ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def by(said: str, migration: str, *, is_retried_alone: bool) -> str:
    """Add the migration to a message about one.

    Args:
        is_retried_alone: the message is about a NIC with a migration of its own.
    """
    comma = "," if is_retried_alone else ""
    return f"{said}{comma} by {migration}"


def blocked_by(name: str, *, network: str, error: str) -> str:
    """The NIC whose network keeps target pods from starting."""
    return (
        f'the last migration failed not of this NIC, but of NIC "{name}" on network {network}, which comes with every '
        f"target pod{_quoted(error)}"
    )


def rolled_back_before(error: str, policy: HotplugPolicy) -> str:
    """The message about an earlier rollback whose own message is unknown, or about another state of the VM."""
    origin = policy.origin("onFailure")
    why = f"the last attempt failed: {error}" if error else "it could not be brought about"
    return f"{why}; rolled back, as onFailure is {policy.on_failure} ({origin})"


# Remedies for a migration that cannot begin, for the records of the NICs that wait for it.
#
# The migration's reported reason is the only key, so that a record changes together with the message that it quotes,
# and causes no additional write. Obstacles that may pass without help have none: a lost node, a target pod that the
# scheduler or a kubelet delays, a launcher pod that is still terminating.

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
    """The remedy for a migration that reports this reason; "" if it may proceed without help."""
    return _REMEDIES.get(reason, "")
