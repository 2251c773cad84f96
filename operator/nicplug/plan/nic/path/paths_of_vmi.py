"""The path of each NIC of one VMI; chosen first, as all requests to pods and migrations depend on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from nicplug.model.attachments import AttachmentDefinition
from nicplug.model.conditions import LIVE_MIGRATABLE
from nicplug.model.networks import HOTPLUGGABLE_BINDINGS, Binding, Interface, Network, first_by_name
from nicplug.model.operations import InterfaceOperation, MigrationFailures, OperationPath, OperationPhase, OperationType
from nicplug.model.pod import LauncherPod
from nicplug.model.pod_failures import PodFailure
from nicplug.plan.candidates import Candidates, find_candidates, node_needs, refuse_devices
from nicplug.plan.nic.attempts import Attempts, Failures, attempts_of
from nicplug.plan.nic.observed import interface_names
from nicplug.plan.nic.path import messages as say
from nicplug.plan.nic.path.blame import BlockingNetwork, change_fingerprint, find_blocking_networks
from nicplug.plan.nic.path.choice import PathChoice, choose_path, may_migrate
from nicplug.plan.nic.path.evidence import PathEvidence
from nicplug.plan.nic.path.migration_history import failed_migrations, is_given_up, is_left_out
from nicplug.plan.nic.path.rules import Verdict, is_pod_left_alone
from nicplug.plan.nic.pci_slots import PciSlots
from nicplug.plan.nic.phantoms import Phantom, PhantomState
from nicplug.plan.nic.rollback import entry_of, is_rolled_back
from nicplug.plan.nic.superseded import Superseded
from nicplug.plan.nic.unasked import unasked_nics
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A chosen path, and its input.

    Attributes:
        change: the fingerprint of the change, which a migration for it names.
        failures: the failed migrations for it.
    """

    choice: PathChoice
    evidence: PathEvidence
    change: str
    failures: MigrationFailures

    @property
    def waiting_since(self) -> datetime | None:
        """Start of the wait; None without a pending request to the pod, so that a new controller has its full time."""
        is_tried = (
            not is_pod_left_alone(self.evidence)
            and not self.evidence.controller.is_absent
            and not self.evidence.rolled_back
            and self.evidence.is_asked
        )
        return self.evidence.waiting_since if is_tried else None


@dataclass(slots=True, kw_only=True)
class Chooser:
    """Chooses the paths of one VMI in one pass.

    Attributes:
        records: the records before this pass.
        slots: PCI slots of the guest.
        failures: the last reported failure of each interface of the pod.
        superseded: NICs whose pod has, or is requested, what the spec no longer requests.
        phantoms: NICs that the pod probably does not have.
    """

    view: VmiView
    pod: LauncherPod | None
    records: Mapping[str, InterfaceOperation]
    now: datetime
    failures: Failures = field(default_factory=dict)
    slots: PciSlots = field(default_factory=PciSlots)
    superseded: Mapping[str, Superseded] = field(default_factory=dict)
    phantoms: Mapping[str, Phantom] = field(default_factory=dict)
    _candidates: Candidates | None = field(default=None, init=False)
    _refused: dict[str, Candidates] = field(default_factory=dict, init=False)
    _chosen: dict[tuple[OperationType, Interface, Network | None], Chosen] = field(default_factory=dict, init=False)
    _blocking_networks: Sequence[BlockingNetwork] | None = field(default=None, init=False)

    def choose(self, *, operation: OperationType, interface: Interface, network: Network | None) -> Chosen:
        """Choose the path of one NIC; the result is cached, so all checks of a pass get the same one."""
        asked = (operation, interface, network)
        if (chosen := self._chosen.get(asked)) is None:
            chosen = self._chosen[asked] = self._choose(operation=operation, interface=interface, network=network)
        return chosen

    def reasons(self) -> Mapping[tuple[str, OperationType, OperationPath], Reason]:
        """The reasons of the paths chosen in this pass, by name of the NIC, operation and path."""
        return {
            (interface.name, operation, chosen.choice.path): chosen.choice.reason
            for (operation, interface, _), chosen in self._chosen.items()
        }

    def give_slots(self, slots: PciSlots) -> None:
        """Use these slots from now on; the path of a NIC without a slot is chosen again."""
        self.slots = slots
        for asked in [asked for asked in self._chosen if asked[1].name in slots.refused]:
            del self._chosen[asked]

    def out_of_reach(self) -> frozenset[str]:
        """NICs of the VMI that are not requested from any pod until something changes: they need no PCI slot."""
        entries = (entry for name in self.left_alone() if (entry := entry_of(name, self.view.vmi)) is not None)
        return frozenset(
            interface.name
            for interface, network in entries
            if self.choose(operation=OperationType.PLUG, interface=interface, network=network).choice.verdict
            in (Verdict.RESTART, Verdict.ROLL_BACK)
        )

    def _choose(self, *, operation: OperationType, interface: Interface, network: Network | None) -> Chosen:
        record = self.records.get(interface.name)
        record = record if record is not None and record.operation == operation else None
        change = change_fingerprint(
            vmi=self.view.vmi,
            operation=operation,
            interface=interface,
            network=network,
            definition=self.definition_of(network),
        )
        failures = failed_migrations(
            self.view.migrations,
            vmi_uid=self.view.vmi.uid,
            name=interface.name,
            change=change,
            since=record.start_time if record is not None else self.view.spec_seen_at,
            remembered=record.failures if record is not None else None,
        )
        evidence = self._evidence(
            operation=operation, interface=interface, network=network, record=record, failures=failures
        )
        if may_migrate(evidence):
            blocking_network = self._find_blocking_network(interface.name)
            evidence = replace(
                evidence,
                candidates=self.could_move_to(interface.name),
                blocking_network=self._describe(blocking_network) if blocking_network is not None else "",
                blocked_until=blocking_network.until if blocking_network is not None else None,
            )
        return Chosen(choice=choose_path(evidence), evidence=evidence, change=change, failures=failures)

    def is_withdrawn(self, name: str) -> bool:
        """True if it is, or is to be, removed from the annotation until network-status drops it."""
        phantom = self.phantoms.get(name)
        is_phantom = phantom is not None and phantom.state is PhantomState.WITHDRAWN
        return is_phantom or self.superseded.get(name) is Superseded.WITHDRAWN

    def left_alone(self) -> frozenset[str]:
        """NICs of the VMI's spec that must be neither requested from the running pod nor detached."""
        networks = {network.name: network for network in self.view.vmi.networks if network.is_secondary}
        return frozenset(
            item.name
            for item in self.view.vmi.interfaces
            if item.name in networks
            and item.binding in HOTPLUGGABLE_BINDINGS
            and item.name not in self.view.vmi.status.in_guest
            and not self._asks_pod(item, networks[item.name])
        )

    def _asks_pod(self, interface: Interface, network: Network) -> bool:
        operation = OperationType.UNPLUG if interface.is_absent else OperationType.PLUG
        return self.choose(operation=operation, interface=interface, network=network).choice.asks_pod

    def _evidence(
        self,
        *,
        operation: OperationType,
        interface: Interface,
        network: Network | None,
        record: InterfaceOperation | None,
        failures: MigrationFailures,
    ) -> PathEvidence:
        view, pod = self.view, self.pod
        definition = self.definition_of(network)
        failure = self.failure(interface.name)
        attempts = attempts_of(record, view=view, operation=operation, definition=definition, failure=failure)
        is_asked = self._is_asked(interface.name)
        return PathEvidence(
            policy=view.policy,
            operation=operation,
            is_sriov=interface.binding is Binding.SRIOV,
            controller=view.controller,
            failed_attempts=_failed_attempts(attempts, failure),
            asks_again=view.settings.asks_pods,
            failed_at=failure.heard_at if failure is not None and attempts.error else None,
            attempts=attempts.count,
            error=attempts.error,
            waiting_since=self._waiting_since(record, definition) if is_asked else self.now,
            not_migratable=_not_migratable(view),
            candidates=Candidates(),
            workload_update_allows=view.config is None or view.config.workload_update_allows,
            failed_migrations=failures.count,
            migration_error=failures.message,
            migration_given_up=is_given_up(failures),
            is_retried_alone=failures.retry_alone,
            now=self.now,
            is_asked=is_asked,
            no_slot=self.slots.refusal(interface.name) if operation is OperationType.PLUG else "",
            rolled_back=self._rolled_back(
                interface.name, network, operation=operation, record=record, failures=failures
            ),
            node=pod.node_name if pod is not None else "",
            pod=pod.key.name if pod is not None else "",
            network=_reference(network, view),
        )

    def definition_of(self, network: Network | None) -> AttachmentDefinition | None:
        """The network attachment definition of a secondary network, as far as it is known."""
        if network is None or not network.is_secondary:
            return None
        return self.view.attachments.definition_of(network, namespace=self.view.vmi.key.namespace)

    def failure(self, name: str) -> PodFailure | None:
        """The last failure reported for its pod interface."""
        names = interface_names(self.view.vmi, self.pod)
        return self.failures.get(names.get(name, "")) if self.pod is not None else None

    def _is_asked(self, name: str) -> bool:
        if self.view.settings.asks_pods or self.pod is None:
            return True
        return name not in unasked_nics(self.view.vmi, self.pod)

    def _waiting_since(self, record: InterfaceOperation | None, definition: AttachmentDefinition | None) -> datetime:
        """Start of the present attempt in place.

        Reset by a change of the network's configuration, and by any change of the VMI after a failed attempt: not by
        another NIC, as each has a deadline of its own.
        """
        if record is None or record.waiting_since is None:
            return self.now
        changed_at = definition.changed_at if definition is not None else None
        # Not for a NIC that is not requested until its former interface is detached: it would be reset indefinitely.
        is_detached_first = record.is_suspect or record.name in self.superseded
        is_spec_new = record.observed_generation != self.view.vmi.generation and not is_detached_first
        if (changed_at is not None and changed_at > record.waiting_since) or (
            record.phase == OperationPhase.FAILED and is_spec_new
        ):
            return self.now
        return record.waiting_since

    def _rolled_back(
        self,
        name: str,
        network: Network | None,
        *,
        operation: OperationType,
        record: InterfaceOperation | None,
        failures: MigrationFailures,
    ) -> str:
        view = self.view
        is_asked_for = operation in (OperationType.PLUG, OperationType.CHANGE_NETWORK)
        if not is_asked_for or not view.keeps_rollbacks or not self._is_rolled_back(name, network):
            return ""
        is_known = record is not None and record.reason == Reason.ROLLED_BACK and operation is OperationType.PLUG
        # A record of an earlier version has it only in its message, which is quoted unchanged from now on.
        if is_known and record is not None and (cause := record.rollback_cause or record.message):
            return cause
        error = failures.message or (record.last_error if record is not None else "")
        return say.rolled_back_before(error, view.policy)

    def _is_rolled_back(self, name: str, network: Network | None) -> bool:
        """True if it was rolled back; with rollout strategy Stage the VMI's own entries decide for its own network."""
        view, mine = self.view, entry_of(name, self.view.vmi)
        is_staged = view.config is not None and view.config.stages_changes
        is_of_vmi = is_staged and mine is not None and mine[1] == network
        return is_rolled_back(name, vm=None if is_of_vmi else view.vm, vmi=view.vmi)

    def _find_blocking_network(self, name: str) -> BlockingNetwork | None:
        """Find another NIC whose network keeps target pods from starting."""
        if self._blocking_networks is None:
            found = find_blocking_networks(self.view.migrations, vmi=self.view.vmi, known=self.view.attachments)
            present = (item for item in found if item.until is None or item.until > self.now)
            along = (item for item in present if item.is_in_every_pod or self._comes_along(item.interface))
            self._blocking_networks = sorted(along, key=lambda item: item.until or _NEVER, reverse=True)
        return next((item for item in self._blocking_networks if item.interface != name), None)

    def _comes_along(self, name: str) -> bool:
        record = self.records.get(name)
        is_left = record is not None and record.operation == OperationType.PLUG and is_left_out(record)
        return name in self.view.vmi.status.in_guest or not is_left

    def _describe(self, blocking_network: BlockingNetwork) -> str:
        network = first_by_name(self.view.vmi.networks).get(blocking_network.interface)
        reference = _reference(network, self.view)
        return say.blocked_by(blocking_network.interface, network=reference, error=blocking_network.error)

    def could_move_to(self, name: str) -> Candidates:
        """The nodes that could take the VM with this NIC; computed once per pass, and only to migrate."""
        if self._candidates is None:
            vmi, nodes, known = self.view.vmi, self.view.nodes, self.view.attachments
            asked = (item.name for item in vmi.interfaces if not item.is_absent)
            lacking = [name for name in asked if name not in vmi.status.in_guest]
            needs = node_needs(vmi, attachments=known, left_out=frozenset(lacking))
            self._candidates = find_candidates(nodes, source=vmi.node_name, needs=needs)
            self._refused = refuse_devices(nodes, vmi=vmi, lacking=lacking, attachments=known)
        return self._refused.get(name, self._candidates)


def _failed_attempts(attempts: Attempts, failure: PodFailure | None) -> int:
    """Number of failures that the controller reported; reports before the last attempt are not about that one."""
    if not attempts.error:
        return 0
    is_answered = failure is not None and (attempts.last_at is None or failure.heard_at >= attempts.last_at)
    return max(1, attempts.count if is_answered else attempts.count - 1)


def _not_migratable(view: VmiView) -> str:
    if view.vmi.is_migratable:
        return ""
    condition = view.vmi.status.condition(LIVE_MIGRATABLE)
    if not condition.status:
        return "the node agent has not reported that the VM can be migrated"
    parts = (item for item in (condition.reason, condition.message) if item)
    return ": ".join(parts) or "its condition LiveMigratable is not True"


def _reference(network: Network | None, view: VmiView) -> str:
    if network is None or not network.attachment:
        return ""
    return network.reference(namespace=view.vmi.key.namespace)
