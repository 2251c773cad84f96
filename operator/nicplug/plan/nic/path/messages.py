"""What is said of a NIC whose path was chosen: one sentence for each rule, with names and numbers."""

from nicplug.model.dynamic_controller import ControllerState
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.operations import OperationType
from nicplug.plan.nic.path.evidence import FAILED_ATTEMPTS, PathEvidence

CONTROLLER = "the dynamic networks controller"


def where(evidence: PathEvidence) -> str:
    """The node."""
    return f"node {evidence.node}" if evidence.node else "the VM's node"


def change(evidence: PathEvidence) -> str:
    """What the pod is asked for: `attach network default/blue to pod p`."""
    network = f"network {evidence.network}" if evidence.network else "the network"
    pod = f"pod {evidence.pod}" if evidence.pod else "the launcher pod"
    is_unplug = evidence.operation is OperationType.UNPLUG
    return f"detach {network} from {pod}" if is_unplug else f"attach {network} to {pod}"


def _daemon_set(evidence: PathEvidence) -> str:
    name = evidence.controller.daemon_set
    return f" (DaemonSet {name})" if name else ""


def _seconds(evidence: PathEvidence) -> str:
    return f"{evidence.policy.dynamic_timeout.total_seconds():g} s"


def _quoted(error: str) -> str:
    return f": {error}" if error else ""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _policy(evidence: PathEvidence, field: str, value: str) -> str:
    return f"{field} is {value} ({evidence.policy.origin(field)})"


def _held_by(evidence: PathEvidence) -> str:
    """The part of the policy that forbids to migrate now."""
    policy = evidence.policy
    if policy.dynamic_path == "Always":
        return _policy(evidence, "dynamicPath", policy.dynamic_path)
    return _policy(evidence, "onFailure", policy.on_failure)


def link(evidence: PathEvidence) -> str:
    """The node agent does it."""
    return f"waiting for the node agent on {where(evidence)} to set the link"


def no_slot(evidence: PathEvidence) -> str:
    """A migration takes the slots along as they are."""
    return f"{evidence.no_slot}, and only a restart brings more"


def free_a_slot(_: PathEvidence) -> str:
    """Slots go with NICs."""
    return "Unplug a NIC, or restart the VM"


def sriov(_: PathEvidence) -> str:
    """A device is allocated with the pod."""
    return "an SR-IOV device is given to a pod only when the pod is made"


def network_change(evidence: PathEvidence) -> str:
    """A link cannot be changed under a guest."""
    network = f"network {evidence.network}" if evidence.network else "another network"
    return f"a NIC that the guest has gets to {network} only in a new pod"


def never_in_place(evidence: PathEvidence) -> str:
    """The policy says so."""
    return f"{_policy(evidence, 'dynamicPath', 'Never')}, so the pod is not asked"


def coming_back(evidence: PathEvidence) -> str:
    """It may be restarting."""
    return f"{_absence(evidence)}; it may be restarting, so it is waited for"


def no_controller(evidence: PathEvidence) -> str:
    """Nobody would notice what the pod is asked for."""
    return _absence(evidence)


def no_controller_and_always(evidence: PathEvidence) -> str:
    """Neither way."""
    return f"{_absence(evidence)}, and {_policy(evidence, 'dynamicPath', 'Always')}"


def run_a_controller(evidence: PathEvidence) -> str:
    """Either way, or a restart."""
    return f"Run the controller there, set dynamicPath to Auto{_or_restart(evidence)}"


def _absence(evidence: PathEvidence) -> str:
    if evidence.controller.state is ControllerState.NOT_DEPLOYED:
        return "no trusted namespace has a dynamic networks controller"
    if evidence.controller.state is ControllerState.NOT_ON_NODE:
        return f"{CONTROLLER}{_daemon_set(evidence)} does not run on {where(evidence)}"
    why = _quoted(evidence.controller.message)
    return f"{CONTROLLER}{_daemon_set(evidence)} on {where(evidence)} is not ready{why}"


def not_ready(evidence: PathEvidence) -> str:
    """It runs there, and does not work."""
    return _absence(evidence)


def not_ready_in_time(evidence: PathEvidence) -> str:
    """The policy is against migrating, so it has all the time there is."""
    return f"{_absence(evidence)}; it is waited for"


def failed(evidence: PathEvidence) -> str:
    """The controller said so, more than once."""
    # Counted no further than it decides: of a later attempt a new leader does not know whether its failure was told.
    # The record says how often the pod was asked.
    tried = _times(evidence.failed_attempts) if evidence.failed_attempts <= FAILED_ATTEMPTS else "again and again"
    return f"{CONTROLLER} on {where(evidence)} failed {tried} to {change(evidence)}{_quoted(evidence.error)}"


def failed_once(evidence: PathEvidence) -> str:
    """One more is tried."""
    return f"{failed(evidence)}; retrying"


def failed_and_held(evidence: PathEvidence) -> str:
    """The policy is against migrating."""
    return f"{failed(evidence)}; {_held_by(evidence)}, so it is retried with back-off"


def correct_or_migrate(evidence: PathEvidence) -> str:
    """The policy leaves it to a person."""
    if evidence.error:
        return "Correct what the controller says (lastError), or let the policy migrate the VM"
    return f"Look at {CONTROLLER} on {where(evidence)}, or let the policy migrate the VM"


def late(evidence: PathEvidence) -> str:
    """Its time is over."""
    if evidence.controller.state is ControllerState.NOT_READY:
        return f"{_absence(evidence)}, and has not come back within {_seconds(evidence)}"
    asked = f"{CONTROLLER} on {where(evidence)}"
    if evidence.controller.state is ControllerState.UNKNOWN:
        asked = f"{CONTROLLER} on {where(evidence)}, if there is one,"
    return f"{asked} did not {change(evidence)} within {_seconds(evidence)}{_quoted(evidence.error)}"


def late_and_held(evidence: PathEvidence) -> str:
    """The policy is against migrating."""
    return f"{late(evidence)}; {_held_by(evidence)}, so it is retried with back-off"


def waiting(evidence: PathEvidence) -> str:
    """The usual case."""
    return f"waiting for {CONTROLLER} on {where(evidence)} to {change(evidence)}"


def waiting_for_unknown(evidence: PathEvidence) -> str:
    """The benefit of the doubt."""
    return f"{waiting(evidence)}; whether it runs there is not known, as DaemonSets or pods cannot be read"


def rolled_back_in_place(evidence: PathEvidence) -> str:
    """The dynamic path has failed."""
    why = failed(evidence) if evidence.failed_attempts > 1 else late(evidence)
    return f"{why}; it was taken back, as {_policy(evidence, 'onFailure', 'Rollback')}"


def write_it_anew(_: PathEvidence) -> str:
    """Nothing more is tried of what was taken back."""
    return "To try again, change its entry or onFailure"


def migrated(cause: str) -> str:
    """Nothing is in the way."""
    return f"{cause}: the VM is migrated"


def by(said: str, migration: str, *, is_retried_alone: bool) -> str:
    """What was said, with the migration that brings it about.

    Args:
        is_retried_alone: what was said is `migrated_again` of a NIC that is migrated by itself.
    """
    comma = "," if is_retried_alone else ""
    return f"{said}{comma} by {migration}"


def held(cause: str, obstacle: str) -> str:
    """Neither way, but a controller that may do it after all."""
    return f"{cause}; it is retried with back-off. The VM is not migrated: {obstacle}"


def obstructed(cause: str, obstacle: str) -> str:
    """Only a migration would do, and it cannot be made."""
    return f"{cause}, and the VM is not migrated: {obstacle}"


def migration_forbidden(evidence: PathEvidence) -> str:
    """The policy says so."""
    return _policy(evidence, "migration", "Never")


def allow_migration(evidence: PathEvidence) -> str:
    """Where it stands, the message says."""
    return _alternative(evidence, "Set migration to Allowed")


def workload_update_forbids(_: PathEvidence) -> str:
    """The KubeVirt CR says so."""
    return "spec.workloadUpdateStrategy.workloadUpdateMethods of the KubeVirt CR does not list LiveMigrate"


def allow_workload_update(evidence: PathEvidence) -> str:
    """An empty list forbids it, none does not."""
    return _alternative(evidence, "Add LiveMigrate, or remove the list")


def not_live_migratable(evidence: PathEvidence) -> str:
    """The node agent says so."""
    return f"it cannot be ({evidence.not_migratable})"


def make_it_migratable(evidence: PathEvidence) -> str:
    """What the node agent quotes may be the VM's own."""
    return _alternative(evidence, "Correct what the condition LiveMigratable says")


def plug_again(evidence: PathEvidence) -> str:
    """There is a way in place, in two steps."""
    return f"Unplug the NIC and plug it again{_or_restart(evidence)}"


def no_candidate(evidence: PathEvidence) -> str:
    """Said with the numbers."""
    return evidence.candidates.message or f"0 of {evidence.candidates.total} nodes can take the VM"


def make_a_candidate(evidence: PathEvidence) -> str:
    """The message counts what is against each node."""
    return _alternative(evidence, "Let another node fit it, or change its nodeSelector, affinity or tolerations")


def migration_given_up(evidence: PathEvidence) -> str:
    """It would only fail again."""
    return f"{_failed_migrations(evidence)}. It is tried again when the NIC, or what failed, changes"


def correct_what_failed(_: PathEvidence) -> str:
    """The message quotes it."""
    return "Correct what the last migration failed of, or change the NIC"


def hindered(evidence: PathEvidence) -> str:
    """It is no fault of this NIC."""
    return f"{evidence.blocking_network}. It is tried again when that NIC or its network changes"


def correct_the_other(_: PathEvidence) -> str:
    """What was changed on a node, nobody sees from here."""
    return "Correct that NIC or its network; if you have repaired a node, migrate the VM yourself"


def blocked_by(name: str, *, network: str, error: str) -> str:
    """Whose network it is."""
    return (
        f'the last migration failed not of this NIC, but of NIC "{name}" on network {network}, which comes with every '
        f"target pod{_quoted(error)}"
    )


def migrated_again(evidence: PathEvidence) -> str:
    """The migration controller spaces them."""
    if evidence.is_retried_alone:
        failed = _failed_migrations(evidence)
        return f"{failed}; nobody can tell for which of its NICs, so each is tried by itself"
    return f"{_failed_migrations(evidence)}; it is retried with back-off"


def rolled_back_before(error: str, policy: HotplugPolicy) -> str:
    """Whoever took it back has left no sentence, or one about another state of the VM."""
    origin = policy.origin("onFailure")
    why = f"the last attempt failed: {error}" if error else "it could not be brought about"
    return f"{why}; it was taken back, as onFailure is {policy.on_failure} ({origin})"


def rolled_back_after_migrations(evidence: PathEvidence) -> str:
    """The migrations have failed for good."""
    return f"{_failed_migrations(evidence)}. It was taken back, as {_policy(evidence, 'onFailure', 'Rollback')}"


def _failed_migrations(evidence: PathEvidence) -> str:
    return f"migrating failed {_times(evidence.failed_migrations)}{_quoted(evidence.migration_error)}"


def _alternative(evidence: PathEvidence, remedy: str) -> str:
    if evidence.operation is OperationType.UNPLUG:
        return f"{remedy}; or leave it: what the pod still has ends with the pod"
    if evidence.controller.is_absent and not evidence.is_sriov and evidence.operation is OperationType.PLUG:
        remedy = f"{remedy}, run a dynamic networks controller on {where(evidence)}"
    return f"{remedy}{_or_restart(evidence)}"


def _or_restart(evidence: PathEvidence) -> str:
    """Unless the new pod would probably not start, and a VM that runs be down for one NIC."""
    if devices := evidence.candidates.devices_nowhere:
        return f"; do not restart the VM: it would not start, as no node offers {', '.join(devices)}"
    if evidence.candidates.restarts_nowhere:
        return "; do not restart the VM: it would not start, as no node can take it, not even the one that runs it"
    if evidence.error and evidence.operation is OperationType.PLUG:
        return ", or correct what lastError says; until then a restarted VM may not start"
    return ", or restart the VM"
