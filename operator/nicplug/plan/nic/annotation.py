"""The desired networks annotation of a running launcher pod.

Source: KubeVirt 1.9 `GenerateFromActivePod`, with these differences (docs/differences.md): elements of others
stay; an element is removed only after the guest has released the NIC; removals and additions are never combined in one
write (DNC#157: the added NIC's network-status gets lost); a network that cannot be attached is not requested; failed
requests are retried. A new pod's annotation is that of `plan.vmi.new_pod_networks`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from nicplug.model.attachments import KnownAttachments
from nicplug.model.interface_status import DOMAIN, has_go_ahead, has_source
from nicplug.model.metadata import are_equal_sets, well_formed
from nicplug.model.networks import HOTPLUGGABLE_BINDINGS, Binding, Interface, Network, first_by_name
from nicplug.model.networks_annotation import (
    Element,
    UnreadableAnnotation,
    asks_the_same,
    element_of,
    is_hashed_name,
    parse_annotation,
    render_annotation,
    touched,
)
from nicplug.model.operations import OperationPhase, OperationType
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.attachments import (
    ANNOTATION_IS_FULL,
    LARGEST_ANNOTATION,
    contested,
    name_is_taken,
    refuse_attachment,
    refuse_detachment,
    refuse_use,
)
from nicplug.plan.nic.attempts import Attempts, WaitingNic, attempts_of, select_nics_to_ask
from nicplug.plan.nic.observed import belongs_to_another, has_lost_interface, interface_names, stray_interfaces
from nicplug.plan.nic.path.paths_of_vmi import Chooser
from nicplug.plan.nic.phantoms import may_be_released, overdue_withdrawals, withdraw_attempts, withdrawal_moments
from nicplug.plan.nic.spec_checks import refuse
from nicplug.plan.nic.superseded import Superseded, over_at, was_just_asked
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationDecision:
    """The new text, or None to leave the annotation alone.

    Attributes:
        is_made: False if nothing may be requested from the pod now.
        takes_out: the text removes or replaces one of nicplug's own elements.
        attachments: the NICs that the annotation requests after the patch, each with its `<namespace>/<name>`.
        withheld: NICs that are not requested, and why.
        attempts: by NIC that has not arrived; includes those of this pass.
        first_waiting: the NIC that the controller attaches next; while it fails, those behind it wait too.
        unreadable: why the present text cannot be read, else "".
        again_at: when the decision changes without any other event.
    """

    text: str | None = None
    is_made: bool = False
    takes_out: bool = False
    attachments: Mapping[str, str] = field(default_factory=dict)
    withheld: Mapping[str, Refusal] = field(default_factory=dict)
    attempts: Mapping[str, Attempts] = field(default_factory=dict)
    first_waiting: str = ""
    unreadable: str = ""
    again_at: datetime | None = None


def decide_annotation(chooser: Chooser, *, pod: LauncherPod, additions_due: datetime) -> AnnotationDecision:
    """Compare the spec with the pod's annotation.

    Args:
        additions_due: when removals stop waiting for additions that have not arrived.
    """
    try:
        present = parse_annotation(pod.networks_annotation)
    except UnreadableAnnotation as error:
        return AnnotationDecision(unreadable=str(error))
    vmi = chooser.view.vmi
    names = interface_names(vmi, pod)
    nics = {interface: name for name, interface in names.items()}
    decider = _Decider(
        chooser=chooser,
        vmi=vmi,
        pod=pod,
        known=chooser.view.attachments,
        additions_due=additions_due,
        now=chooser.now,
        left_alone=chooser.left_alone(),
        withdrawn=frozenset(item.name for item in vmi.interfaces if chooser.is_withdrawn(item.name)),
        superseded=frozenset(name for name, item in chooser.superseded.items() if item is Superseded.UNDER_WAY),
        names=names,
        nics=nics,
        strays=stray_interfaces(vmi, pod, access=chooser.view.attachments.access),
        own={str(item.get("interface")): item for item in present if _is_own(item, nics)},
        foreign=[item for item in present if not _is_own(item, nics)],
    )
    return decider.decide(present)


def _is_own(element: Element, nics: Mapping[str, str]) -> bool:
    """True for a hashed name: those are nicplug's own; any other element belongs to its writer."""
    interface = str(element.get("interface") or "")
    return is_hashed_name(interface) or interface in nics


@dataclass(slots=True, kw_only=True)
class _Decider:
    """One decision: sorts the NICs of the spec into those that stay, wait, and are withheld.

    Attributes:
        left_alone: NICs that must be neither requested from the pod nor detached: they take another path.
        withdrawn: NICs whose elements are removed until network-status drops them; then they are requested again.
        superseded: NICs whose outdated elements stay until the controller has processed them.
        names: pod interface of each secondary network.
        nics: the network of each pod interface.
        strays: the interfaces of the pod that no NIC has; recorded under their own names.
    """

    chooser: Chooser
    vmi: VirtualMachineInstance
    pod: LauncherPod
    known: KnownAttachments
    additions_due: datetime
    now: datetime
    left_alone: frozenset[str]
    withdrawn: frozenset[str]
    superseded: frozenset[str]
    names: Mapping[str, str]
    nics: Mapping[str, str]
    strays: Sequence[str]
    own: Mapping[str, Element]
    foreign: Sequence[Element]
    staying: list[Element] = field(default_factory=list)
    waiting: list[WaitingNic] = field(default_factory=list)
    withheld: dict[str, Refusal] = field(default_factory=dict)
    attempts: dict[str, Attempts] = field(default_factory=dict)

    def decide(self, present: Sequence[Element]) -> AnnotationDecision:
        """Return the decision."""
        now = self.now
        self._sort()
        self.staying += self._still_in_guest()
        staying = {str(item["interface"]) for item in self.staying}
        leaving = [item for interface, item in self.own.items() if interface not in staying and self._has(interface)]
        detaching, taken_out = self._detaching(), self._taken_out()
        # The controller removes nothing before all additions succeed.
        removing = bool(leaving) or self._holds_up_suspects(detaching) or may_be_released(taken_out, now=now)
        turn = select_nics_to_ask(self.waiting, removing=removing, stored_bytes=self.vmi.stored_bytes, now=now)
        admitted = {item.name for item in turn.admitted}
        additions = [item.element for item in turn.admitted]
        defers_removals = bool(leaving and additions) and now < self.additions_due
        kept = [*self._in_spec_order([*self.staying, *additions]), *(leaving if defers_removals else ())]
        again = overdue_withdrawals(taken_out, now=now)
        asked = turn.asked | self._ask_to_detach(detaching, leaving=() if defers_removals else leaving) | again
        for item in self.waiting:
            is_there = item.name in admitted and (self._is_sent or item.is_asked)
            self._note(item.name, item.attempts, is_asked=item.name in turn.asked, is_there=is_there)
        for nic in again:
            self._note(nic, taken_out[nic], is_asked=True, is_there=True)
        elements = [*kept, *self.foreign]
        # Order means nothing to the controller, and a rewrite costs a patch.
        text = None if are_equal_sets(present, elements) else render_annotation(elements)
        if text is None and asked:
            text = touched(self.pod.networks_annotation or "", elements)
        asked_for = {self.nics[item["interface"]]: item for item in kept if item["interface"] in self.nics}
        moments = [turn.again_at, self.additions_due if defers_removals else None]
        moments += [self.attempts[name].due_at for name in detaching if name not in self.withheld]
        moments += withdrawal_moments(taken_out, now=now)
        moments += [over_at(self.chooser.records.get(name)) for name in self.superseded]
        return AnnotationDecision(
            text=text,
            is_made=True,
            takes_out=self._takes_out(kept),
            attachments={name: self._attachment(item) for name, item in asked_for.items()},
            withheld=self.withheld,
            attempts=self.attempts,
            first_waiting=turn.admitted[0].name if turn.admitted else "",
            again_at=min((moment for moment in moments if moment is not None and moment > now), default=None),
        )

    def _takes_out(self, kept: Sequence[Element]) -> bool:
        """True if an element is removed or replaced: this is guarded by the pod's network-status."""
        wanted = {str(item["interface"]): item for item in kept}
        return any(
            interface not in wanted or not asks_the_same(item, wanted[interface])
            for interface, item in self.own.items()
        )

    def _sort(self) -> None:
        networks = {network.name: network for network in self.vmi.networks}
        size = len(render_annotation([*self.own.values(), *self.foreign]).encode())
        placed: set[str] = set()
        for interface in self.vmi.interfaces:
            network = networks.get(interface.name)
            if network is not None and network.is_secondary and network.name not in placed:
                placed.add(network.name)
                size += self._place(interface, network, size)

    def _place(self, interface: Interface, network: Network, size: int) -> int:
        """Sort one NIC into its group; returns the bytes that it adds to the annotation."""
        name, pod_interface = interface.name, self.names[interface.name]
        row = self.vmi.status.interfaces.get(name)
        existing, in_guest = self.own.get(pod_interface), has_source(row, DOMAIN)
        # A lost interface is requested again, like one that was never attached.
        is_lost = has_lost_interface(row, pod=self.pod)
        is_attached = self._has(pod_interface) or (in_guest and not is_lost)
        is_left_alone = name in self.left_alone
        if name in self.withdrawn or name in self.superseded:
            self.staying += [existing] if existing is not None and name in self.superseded else []
            return 0
        if interface.is_absent:
            is_kept = in_guest or (is_left_alone and is_attached)
            self.staying += [existing] if existing is not None and is_kept else []
            return 0
        if not has_go_ahead(row) and (forbidden := self._refuse_use(network)):
            self.withheld[name] = forbidden
            return 0
        if existing is not None and (is_attached or not _is_pluggable(interface)):
            # Never rewritten: a changed MAC or definition would make the controller detach and attach it again.
            self.staying.append(existing)
            pod, access = self.pod, self.known.access
            if not has_go_ahead(row) and belongs_to_another(
                pod_interface, network=network, vmi=self.vmi, pod=pod, access=access
            ):
                self.withheld[name] = name_is_taken(pod_interface, pod=pod)
            return 0
        if is_left_alone and not is_attached:
            return 0
        if not _is_pluggable(interface) or refuse(interface, network) is not None:
            return 0
        namespace = self.vmi.key.namespace
        wanted = element_of(interface=interface, network=network, pod_interface=pod_interface, namespace=namespace)
        added = len(render_annotation([wanted]).encode()) if existing is None else 0
        refusal = self._refuse(network, wanted, existing, size=size + added, is_attached=is_attached)
        if refusal is not None:
            self.withheld[name] = refusal
            self.staying += [existing] if existing and refusal.reason == Reason.ANNOTATION_CONTESTED else []
            return 0
        if is_attached:
            self.staying.append(wanted)
        else:
            self.waiting.append(self._waiting(name, network, wanted, existing, is_lost=is_lost))
        return added

    def _refuse(
        self, network: Network, wanted: Element, existing: Element | None, *, size: int, is_attached: bool
    ) -> Refusal | None:
        interface, asked = str(wanted["interface"]), f"{wanted['namespace']}/{wanted['name']}"
        if existing is None and self.pod.network_status.network_of(interface) not in ("", asked):
            return name_is_taken(interface, pod=self.pod)
        record = self.chooser.records.get(network.name)
        is_own = existing is None or asks_the_same(existing, wanted)
        if existing is not None and not is_own and was_just_asked(record, vmi=self.vmi, pod=self.pod):
            return contested(self._attachment(existing), interface=interface, pod=self.pod)
        if size > LARGEST_ANNOTATION:
            return ANNOTATION_IS_FULL
        if is_attached:
            return self._refuse_use(network)
        return refuse_attachment(network, namespace=self.vmi.key.namespace, known=self.known)

    def _refuse_use(self, network: Network) -> Refusal | None:
        return refuse_use(network, namespace=self.vmi.key.namespace, known=self.known)

    def _waiting(
        self, name: str, network: Network, wanted: Element, existing: Element | None, *, is_lost: bool
    ) -> WaitingNic:
        record = self.chooser.records.get(name)
        attempts = attempts_of(
            record,
            view=self.chooser.view,
            operation=OperationType.PLUG,
            definition=self.chooser.definition_of(network),
            failure=self.chooser.failures.get(str(wanted["interface"])),
            is_heard=self._is_heard,
        )
        if record is not None and record.phase == OperationPhase.READY:  # lost since
            attempts = Attempts(is_reset=True, is_heard=self._is_heard)
        is_asked = existing is not None and asks_the_same(existing, wanted)
        return WaitingNic(name=name, element=wanted, is_asked=is_asked, attempts=attempts, is_lost=is_lost)

    def _still_in_guest(self) -> list[Element]:
        """Elements of NICs that were deleted from the spec while the guest still has them: they stay attached."""
        held = {row.pod_interface for row in self.vmi.status.interfaces.values() if has_source(row, DOMAIN)}
        return [item for interface, item in self.own.items() if interface in held and interface not in self.nics]

    def _detaching(self) -> list[str]:
        """Released NICs that the pod still has though they are not requested any more, and stray interfaces."""
        status = self.pod.network_status
        released = [
            interface.name
            for interface in self.vmi.interfaces
            if interface.is_absent
            and (pod_interface := self.names.get(interface.name)) is not None
            and pod_interface not in self.own
            and interface.name not in self.vmi.status.in_guest
            and status.has(pod_interface)
        ]
        return [*released, *(interface for interface in self.strays if interface not in self.own)]

    def _ask_to_detach(self, detaching: Sequence[str], *, leaving: Sequence[Element]) -> frozenset[str]:
        """Record the removals of this pass, and the earlier ones that have to be retried."""
        overdue: set[str] = set()
        for name in detaching:
            attempts = self._detach_attempts(name)
            if attempts.is_due(self.now) and name not in self.withheld:
                overdue.add(name)
            self._note(name, attempts, is_asked=name in overdue, is_there=True)
        for item in leaving:
            interface = str(item["interface"])
            name = self.nics.get(interface, interface if interface in self.strays else "")
            if name and name not in self.withdrawn:  # that is no new attempt
                self._note(name, Attempts(), is_asked=True, is_there=self._is_sent)
        return frozenset(overdue)

    def _detach_attempts(self, name: str) -> Attempts:
        return attempts_of(
            self.chooser.records.get(name),
            view=self.chooser.view,
            operation=OperationType.UNPLUG,
            definition=self.chooser.definition_of(self._network(name)),
            failure=self.chooser.failures.get(self.names.get(name, name)),
            is_heard=self._is_heard,
        )

    def _holds_up_suspects(self, detaching: Sequence[str]) -> bool:
        """True if a removal in progress may still succeed, which it cannot if its network is gone."""
        namespace, known = self.vmi.key.namespace, self.known
        for name in detaching:
            network = self._network(name)
            if network and (refusal := refuse_detachment(network, namespace=namespace, known=known)):
                self.withheld[name] = refusal
        return any(not self._detach_attempts(name).is_suspect for name in detaching if name not in self.withheld)

    def _taken_out(self) -> dict[str, Attempts]:
        """Attempts to detach the withdrawn NICs that the pod still lists, except for those that it cannot detach."""
        found: dict[str, Attempts] = {}
        for name in self.withdrawn:
            network, interface = self._network(name), self.names.get(name)
            record = self.chooser.records.get(name)  # that of one that has just been rolled back comes with this pass
            if network is None or interface is None or record is None or not self._has(interface):
                continue
            if refuse_attachment(network, namespace=self.vmi.key.namespace, known=self.known) is None:
                found[name] = withdraw_attempts(
                    record,
                    is_leaving=interface in self.own,
                    definition=self.chooser.definition_of(network),
                    failure=self.chooser.failures.get(interface),
                    now=self.now,
                    is_heard=self._is_heard,
                )
        return found

    def _note(self, name: str, attempts: Attempts, *, is_asked: bool, is_there: bool) -> None:
        now, generation = self.now, self.vmi.generation
        # Requested by an earlier pass whose record was not written: counted from when it is observed.
        is_unrecorded = attempts.count == 0 and (is_there or bool(attempts.error))
        is_made = is_unrecorded or (is_asked and self._is_sent)
        noted = attempts.again(generation=generation, now=now) if is_made else attempts
        # What is not sent is no attempt: counted, it was written down every two seconds, and its pauses grew.
        self.attempts[name] = attempts if self.chooser.view.refusal is not None else noted

    def _has(self, pod_interface: str) -> bool:
        """True if the pod has the interface; without network-status, if the NIC's row says so.

        A missing source is no evidence, and must not cause the removal of an interface that the guest uses.
        """
        if not self.pod.network_status.problem:
            return self.pod.network_status.has(pod_interface)
        return has_go_ahead(self.vmi.status.interfaces.get(self.nics.get(pod_interface, "")))

    @property
    def _is_sent(self) -> bool:
        """True if nicplug sends the annotation; beside KubeVirt, virt-controller does, and is only observed."""
        return self.chooser.view.settings.asks_pods

    @property
    def _is_heard(self) -> bool:
        """True if nicplug may ask again, and a dynamic networks controller may be on the pod's node."""
        return self._is_sent and not self.chooser.view.controller.is_absent

    def _network(self, name: str) -> Network | None:
        return first_by_name(self.vmi.networks).get(name)

    def _attachment(self, element: Element) -> str:
        return well_formed(f"{element.get('namespace') or self.vmi.key.namespace}/{element.get('name')}")

    def _in_spec_order(self, elements: Sequence[Element]) -> list[Element]:
        """Sort in spec order, in which the controller adds."""
        order = {self.names.get(item.name, ""): index for index, item in enumerate(self.vmi.interfaces)}
        return sorted(elements, key=lambda item: order.get(str(item["interface"]), len(order)))


def _is_pluggable(interface: Interface) -> bool:
    """False for SR-IOV: its device is allocated when a pod is created, so a running pod cannot be given one."""
    return interface.binding in HOTPLUGGABLE_BINDINGS and interface.binding is not Binding.SRIOV
