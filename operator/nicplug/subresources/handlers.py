"""One handler for each subresource: reads the objects, and asks for a decision."""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from nicplug.apiserver.bodies import BadBody, decode
from nicplug.apiserver.calls import Accepted, Call, Handlers, Subresource
from nicplug.apiserver.calls import Answer as Reply
from nicplug.apiserver.statuses import Cause, Details, Status, service_unavailable
from nicplug.kube.errors import ApiError
from nicplug.model.keys import ObjectKey
from nicplug.model.names import VM_KIND
from nicplug.model.networks import Binding, Network
from nicplug.model.requests import AddInterface, InterfaceRequest, parse_interface_requests
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.requested import object_to
from nicplug.plan.subresources.answers import Answer, Endpoint, not_reviewed
from nicplug.plan.subresources.interfaces import (
    Evidence,
    Together,
    answer_pending,
    ask_vm_batch,
    ask_vmi,
)
from nicplug.plan.subresources.migrate import ask_migrate
from nicplug.plan.subresources.options import Body, UnreadableBody, Verb, read_request
from nicplug.plan.subresources.power import ask_restart, ask_start, ask_stop
from nicplug.subresources.attempts import attempt, refused_interface, refused_other
from nicplug.subresources.knowledge import Knowledge
from nicplug.subresources.objects import Both, Objects, or_raise
from nicplug.subresources.repetitions import Repetitions
from nicplug.subresources.requester import Requesters
from nicplug.subresources.together import RequestsTogether
from nicplug.subresources.turns import OneAtATime

_GROUP = "kubevirt.io"
_RESOURCES = {Endpoint.VM: "virtualmachines", Endpoint.VMI: "virtualmachineinstances"}


class AskPower(Protocol):
    """`ask_start`, `ask_stop` or `ask_restart`."""

    def __call__(
        self, body: Body, *, name: str, vm: VirtualMachine | None, vmi: VirtualMachineInstance | None
    ) -> Answer:
        """Return the answer to the request."""
        ...


@dataclass(frozen=True, slots=True)
class Subresources:
    """Processes calls, one at a time for each VM in this process."""

    objects: Objects
    knowledge: Knowledge
    turns: OneAtATime
    requesters: Requesters
    repetitions: Repetitions = field(default_factory=Repetitions)

    def handlers(self) -> Handlers:
        """Return the handlers by subresource."""
        together = RequestsTogether(objects=self.objects, turns=self.turns, decide=self._decide_vm)
        interfaces = {
            Subresource(resource=_RESOURCES[endpoint], name=verb.value): self._interface(endpoint, verb, together)
            for endpoint in Endpoint
            for verb in Verb
        }
        power = {"start": ask_start, "stop": ask_stop, "restart": ask_restart}
        others = {name: self._power(ask) for name, ask in power.items()} | {"migrate": self._migrate}
        vms = _RESOURCES[Endpoint.VM]
        return interfaces | {Subresource(resource=vms, name=name): handler for name, handler in others.items()}

    def _interface(self, endpoint: Endpoint, verb: Verb, together: RequestsTogether) -> "Carry":
        async def carry(call: Call) -> Reply:
            if problem := self.knowledge.problem:
                return service_unavailable(problem)
            request = read_request(verb, body_of(call), config=self.knowledge.config)
            if isinstance(request, Answer):
                return reply(request)
            key = ObjectKey(call.namespace, call.name)
            if refusal := await self._refuse_requester(call, request, endpoint=endpoint, key=key):
                return reply(refusal)
            if endpoint is Endpoint.VM:
                return reply(await together.ask(request, key))
            return reply(await self._change_vmi(request, key))

        return carry

    async def _refuse_requester(
        self, call: Call, request: InterfaceRequest, *, endpoint: Endpoint, key: ObjectKey
    ) -> Answer | None:
        """Check the caller's permission before anything is revealed about the network.

        A name that no network can have is not checked: the answer then only says what is wrong with the name.
        """
        config = self.knowledge.config
        is_demanded = config is not None and config.nad_rules.requester_must_read
        if not is_demanded or not isinstance(request, AddInterface):
            return None
        if object_to(request, vm=None, vmi=None) is not None:
            return None
        try:
            return await self.requesters.refuse(call.caller, request, endpoint=endpoint, key=key)
        except ApiError as error:
            return not_reviewed(str(error))

    async def _decide_vm(
        self, requests: Sequence[InterfaceRequest], key: ObjectKey, *, may_be_cached: bool
    ) -> Together:
        reads_vm_alone = self.repetitions.expects(key)
        if may_be_cached and not reads_vm_alone:
            decided = self._ask_vm(requests, await self.objects.both_cached(key), key)
            # The guard of a write detects changes since the read; a refusal, or nothing to do, has no guard.
            if len(decided.recorded) == len(requests):
                return decided
            reads_vm_alone = True  # most of these are pending already
        both = None if reads_vm_alone else await self.objects.both(key)
        vm = await self.objects.vm(key) if both is None else or_raise(both.vm)
        pending = [answer_pending(request, vm=vm) for request in requests] if vm is not None else [None]
        answers = tuple(answer for answer in pending if answer is not None)
        self.repetitions.note(key, repeated=len(answers) == len(pending))
        if len(answers) == len(pending):
            return Together(answers)
        vmi = None
        if vm is not None:
            vmi = await self.objects.vmi(key) if both is None else or_raise(both.vmi)
        return self._ask_vm(requests, Both(vm, vmi), key)

    def _ask_vm(self, requests: Sequence[InterfaceRequest], both: Both, key: ObjectKey) -> Together:
        vm = or_raise(both.vm)
        vmi = or_raise(both.vmi) if vm is not None else None
        evidence = self._evidence(requests, vm=vm, vmi=vmi, key=key)
        return ask_vm_batch(requests, name=key.name, evidence=evidence)

    async def _change_vmi(self, request: InterfaceRequest, key: ObjectKey) -> Answer:
        async def decide(number: int) -> Answer:
            if number == 0:
                answer = self._ask_vmi(request, await self.objects.both_cached(key), key)
                if answer.write is not None:
                    return answer
            return self._ask_vmi(request, await self.objects.both(key), key)

        refused = refused_interface(Endpoint.VMI)
        async with self.turns.turn(key):
            return await attempt(self.objects, decide, about=Endpoint.VMI, key=key, refused=refused)

    def _ask_vmi(self, request: InterfaceRequest, both: Both, key: ObjectKey) -> Answer:
        vmi = or_raise(both.vmi)
        is_owned = vmi is not None and vmi.owner is not None and vmi.owner.kind == VM_KIND
        vm = or_raise(both.vm) if is_owned else None
        return ask_vmi(request, name=key.name, evidence=self._evidence([request], vm=vm, vmi=vmi, key=key))

    def _evidence(
        self,
        requests: Sequence[InterfaceRequest],
        *,
        vm: VirtualMachine | None,
        vmi: VirtualMachineInstance | None,
        key: ObjectKey,
    ) -> Evidence:
        config = self.knowledge.config
        return Evidence(
            vm=vm,
            vmi=vmi,
            known=self.knowledge.known(_networks(requests, vm=vm, vmi=vmi), namespace=key.namespace),
            is_staged=config is not None and config.stages_changes,
            default_binding=config.default_binding if config is not None else Binding.BRIDGE,
        )

    def _power(self, ask: AskPower) -> "Carry":
        async def carry(call: Call) -> Reply:
            body, key = body_of(call), ObjectKey(call.namespace, call.name)

            async def decide(_: int) -> Answer:
                vm = await self.objects.vm(key)
                vmi = await self.objects.vmi(key) if vm is not None else None
                return ask(body, name=key.name, vm=vm, vmi=vmi)

            async with self.turns.turn(key):
                return reply(await attempt(self.objects, decide, about=Endpoint.VM, key=key, refused=refused_other))

        return carry

    async def _migrate(self, call: Call) -> Reply:
        body, key = body_of(call), ObjectKey(call.namespace, call.name)

        async def decide(_: int) -> Answer:
            vm = await self.objects.vm(key)
            vmi = await self.objects.vmi(key) if vm is not None else None
            migrations = await self.objects.migrations(key) if vmi is not None else []
            return ask_migrate(body, name=key.name, vm=vm, vmi=vmi, migrations=migrations)

        async with self.turns.turn(key):
            return reply(await attempt(self.objects, decide, about=Endpoint.VM, key=key, refused=refused_other))


Carry = Callable[[Call], Coroutine[Any, Any, Reply]]


def body_of(call: Call) -> Body:
    """Return the decoded body; an empty one stands for `{}`."""
    try:
        value: Body = decode(call.body)
    except BadBody as error:
        return UnreadableBody(str(error))
    return value


def reply(answer: Answer) -> Reply:
    """Return the reply to send: 202 without a body, or a Status with KubeVirt's details."""
    if answer.code == 202:
        return Accepted()
    causes = (Cause(message=answer.cause, reason=answer.hint),) if answer.cause or answer.hint else ()
    details = Details(causes=causes) if causes else None
    if answer.about is not None:
        # NewInvalid is given a kind, the others a resource.
        kind = answer.about.kind if answer.code == 422 else answer.about.value
        details = Details(name=answer.name, group=_GROUP, kind=kind, causes=causes)
    return Status(code=answer.code, message=answer.message, reason=answer.reason, details=details)


def _networks(
    requests: Sequence[InterfaceRequest], *, vm: VirtualMachine | None, vmi: VirtualMachineInstance | None
) -> Iterator[Network]:
    """Yield the networks of these requests, of pending ones, and of VM and VMI."""
    pending = parse_interface_requests(vm.status.members.get("interfaceRequests")) if vm is not None else ()
    asked = (*requests, *(item.request for item in pending))
    yield from (item.to_network() for item in asked if isinstance(item, AddInterface))
    for owner in (vm, vmi):
        yield from owner.networks if owner is not None else ()
