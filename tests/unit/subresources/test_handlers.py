"""What each subresource reads and writes, and what it answers when others write at the same time."""

import asyncio
import itertools
from dataclasses import replace

import pytest
from tests.build import (
    NAME,
    VM_UID,
    Json,
    absent,
    nic,
    primary,
    primary_row,
    vm,
    vmi,
)
from tests.unit.subresources.handling import (
    ADD_TO_VM,
    ADD_TO_VMI,
    CONFLICT,
    FOUR,
    MISSING,
    VMIS,
    VMS,
    Known,
    World,
    add,
    row,
    running,
    template_of,
    told,
)

from nicplug.apiserver.calls import Accepted
from nicplug.apiserver.statuses import Status
from nicplug.kube.errors import ApiError, Denied, Rejected, Unavailable
from nicplug.subresources.attempts import ATTEMPTS
from nicplug.subresources.knowledge import Knowledge


def test_what_is_served(world: World) -> None:
    both = ("addinterface", "removeinterface")
    vms = {f"{VMS}/{name}" for name in (*both, "start", "stop", "restart", "migrate")}
    assert {str(item) for item in world.handlers} == vms | {f"{VMIS}/{name}" for name in both}


class TestInterfaces:
    async def test_a_request_is_recorded(self, world: World) -> None:
        world.put(vm(primary()))
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert world.get()["status"] == {"interfaceRequests": [row()]}
        assert world.api.cached_reads == [VMS, VMIS]
        assert world.api.calls == [("patch", VMS)]

    async def test_one_that_is_pending_costs_one_read(self, world: World) -> None:
        world.put(vm(primary(), status={"interfaceRequests": [row()]}))
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert (world.api.cached_reads, world.api.calls) == ([VMS, VMIS], [("get", VMS)])
        world.api.calls.clear()
        for _ in range(2):
            assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert world.api.calls == [("get", VMS)] * 2, "the first repetition has told that more may follow"

    async def test_what_follows_a_repetition_and_is_none_has_its_vmi_read(self, world: World) -> None:
        world.put(vm(primary(), status={"interfaceRequests": [row()]}), vmi(primary(), nic("red"), owner_uid=VM_UID))
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        world.api.calls.clear()
        answer = await world.ask(ADD_TO_VM, add("red", network="other"))
        assert told(answer)[0] == 409
        assert world.api.calls == [("get", VMS), ("get", VMIS)]
        world.api.calls.clear()
        assert await world.ask(ADD_TO_VM, add("green")) == Accepted()
        assert world.api.calls == [("patch", VMS)]

    async def test_what_is_known_covers_what_is_asked_for_now_and_before(self, world: World) -> None:
        """A network that is not known to exist takes no slot: it would never be refused for want of one."""
        found = vmi(primary(), nic("red"), owner_uid=VM_UID)
        world.put(vm(primary(), status={"interfaceRequests": [row("green", "green-net")]}), found)
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert world.known.asked == [{"lan", "green-net", "red-net"}]

    async def test_a_vm_that_is_missing_says_so_whatever_its_instance_says(self, world: World) -> None:
        """Both are read at the same time."""
        world.api.unreadable = {VMIS: Unavailable("no answer")}
        assert told(await world.ask(ADD_TO_VM, add()))[0] == 404
        world.put(vm(primary()))
        code, message = told(await world.ask(ADD_TO_VM, add()))
        assert (code, "no answer" in message) == (500, True)

    @pytest.mark.parametrize(("verb", "body"), [("addinterface", add("red")), ("removeinterface", {"name": "blue"})])
    async def test_without_persist_a_stopped_vm_is_404_and_stays_as_it_is(
        self, world: World, verb: str, body: Json
    ) -> None:
        """Such a request is for the instance, which there is none of."""
        world.put(vm(primary(), nic("blue"), run_strategy="Halted"))
        before = world.get()
        code, message = told(await world.ask(f"{VMIS}/{verb}", body))
        assert (code, message) == (404, f'virtualmachineinstance.kubevirt.io "{NAME}" not found')
        assert world.get() == before
        assert not any(call[0] == "patch" for call in world.api.calls)

    async def test_an_instance_of_no_vm_needs_none(self, world: World) -> None:
        world.put(vmi(primary()))
        world.api.unreadable = {VMS: Unavailable("no answer")}
        assert await world.ask(ADD_TO_VMI, add()) == Accepted()

    async def test_a_crd_that_drops_the_list_loses_no_request_in_silence(self, world: World) -> None:
        """KubeVirt's own of 1.1 and newer."""
        world.put(vm(primary()))
        world.api.drops = "interfaceRequests"
        code, message = told(await world.ask(ADD_TO_VM, add()))
        assert code != 202
        assert "kubectl apply -f crds/" in message

    async def test_of_several_that_wait_together_only_repetitions_are_answered_at_once(self, world: World) -> None:
        world.put(vm(primary(), status={"interfaceRequests": [row()]}))
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        answers = await asyncio.gather(*(world.ask(ADD_TO_VM, add(name)) for name in ("blue", "red", "blue", "green")))
        assert answers == [Accepted()] * 4
        assert world.get()["status"]["interfaceRequests"] == [row(), row("red"), row("green")]

    async def test_an_instance_is_changed_itself(self, world: World) -> None:
        world.put(vmi(primary()))
        assert await world.ask(ADD_TO_VMI, add()) == Accepted()
        spec = world.get(VMIS)["spec"]
        assert spec["networks"][-1] == {"name": "blue", "multus": {"networkName": "lan"}}
        assert spec["domain"]["devices"]["interfaces"][-1] == {"name": "blue", "bridge": {}}
        assert world.api.cached_reads == [VMS, VMIS]
        assert world.api.calls == [("patch", VMIS)]

    async def test_the_vm_of_an_instance_is_read(self, world: World) -> None:
        world.put(vm(primary(), nic("blue", attachment="other")), vmi(primary(), owner_uid=VM_UID))
        answer = await world.ask(ADD_TO_VMI, add())
        assert told(answer)[0] == 409
        assert world.api.calls == [("get", VMS), ("get", VMIS)]

    @pytest.mark.parametrize("path", FOUR)
    async def test_the_gate_comes_before_the_body_and_before_any_read(self, world: World, path: str) -> None:
        world.known.config = None
        text = 'Unable to Add Interface because the "HotplugNICs" feature gate is not enabled.'
        assert told(await world.ask(path, b"{")) == (400, text)
        assert world.has_read_nothing

    async def test_before_anything_is_known_nothing_is_decided(self, world: World) -> None:
        world.known.problem = "not read yet"
        answer = await world.ask(ADD_TO_VM, add())
        assert isinstance(answer, Status)
        assert (answer.code, answer.retry_after_seconds) == (503, 1)
        assert not world.api.calls

    @pytest.mark.parametrize("body", [b"", b"  \n", b"null", b"{}"])
    @pytest.mark.parametrize("path", FOUR)
    async def test_an_empty_body_holds_no_options(self, world: World, path: str, body: bytes) -> None:
        """KubeVirt's "no request body, unable to decode options" is never sent: Go's server hands on an empty one."""
        assert told(await world.ask(path, body)) == (400, MISSING[path.partition("/")[2]])
        assert world.has_read_nothing

    @pytest.mark.parametrize("path", [ADD_TO_VM, ADD_TO_VMI])
    async def test_the_network_is_asked_for_before_the_name(self, world: World, path: str) -> None:
        for body in ({}, {"name": "blue"}):
            assert told(await world.ask(path, body)) == (400, MISSING["addinterface"])
        unnamed = {"networkAttachmentDefinitionName": "lan"}
        assert told(await world.ask(path, unnamed)) == (400, "AddInterfaceOptions requires `name` to be set")
        assert world.has_read_nothing

    @pytest.mark.parametrize("path", FOUR)
    async def test_the_body_comes_before_the_object(self, world: World, path: str) -> None:
        kind = "virtualmachine" if path.startswith(f"{VMS}/") else "virtualmachineinstance"
        assert told(await world.ask(path, add())) == (404, f'{kind}.kubevirt.io "{NAME}" not found')
        assert not world.has_read_nothing

    async def test_yaml(self, world: World) -> None:
        world.put(vm(primary()))
        body = b"networkAttachmentDefinitionName: lan\nname: blue\n"
        assert await world.ask(ADD_TO_VM, body) == Accepted()
        assert world.get()["status"]["interfaceRequests"] == [row()]

    @pytest.mark.parametrize("path", FOUR)
    async def test_what_is_neither_json_nor_yaml(self, world: World, path: str) -> None:
        code, message = told(await world.ask(path, b"{"))
        assert code == 400
        assert message.startswith("cannot unmarshal Request body to struct, error: ")
        assert world.has_read_nothing

    @pytest.mark.parametrize("network", ["a/b/c", "lan\n", "", "/lan"])
    async def test_a_reference_that_is_none(self, world: World, network: str) -> None:
        world.put(vm(primary()))
        answer = await world.ask(ADD_TO_VM, add(network=network))
        assert isinstance(answer, Status)
        assert answer.code in (400, 422)
        assert ("patch", VMS) not in world.api.calls


class TestDetails:
    """Of the Status, as the constructors of apimachinery fill them in."""

    async def test_not_found(self, world: World) -> None:
        answer = await world.ask(ADD_TO_VM, add())
        assert isinstance(answer, Status)
        assert answer.message == f'virtualmachine.kubevirt.io "{NAME}" not found'
        assert answer.details is not None
        assert answer.details.body() == {"name": NAME, "group": "kubevirt.io", "kind": "virtualmachine"}

    async def test_conflict(self, world: World) -> None:
        world.put(vmi(phase="Scheduling"))
        answer = await world.ask(ADD_TO_VMI, add())
        assert isinstance(answer, Status)
        assert (answer.code, answer.reason) == (409, "Conflict")
        assert answer.message.endswith("VMI is not running")
        assert answer.details is not None
        assert answer.details.body()["kind"] == "virtualmachineinstance"

    async def test_a_conflict_says_in_a_word_what_commands_can_tell(self, world: World) -> None:
        world.put(vmi(primary(), absent("blue"), owner_uid=None))
        answer = await world.ask(ADD_TO_VMI, add())
        assert isinstance(answer, Status)
        assert answer.details is not None
        assert answer.details.body()["causes"] == [{"reason": "NicIsBeingUnplugged"}]

    async def test_invalid_names_the_kind(self, world: World) -> None:
        world.put(vm(primary()))
        answer = await world.ask(ADD_TO_VM, add("not a name"))
        assert isinstance(answer, Status)
        assert answer.code == 422
        assert answer.details is not None
        assert answer.details.kind == "VirtualMachine"
        assert answer.details.causes[0].message in answer.message

    async def test_bad_request_has_none(self, world: World) -> None:
        answer = await world.ask(ADD_TO_VM, {})
        assert isinstance(answer, Status)
        assert answer.details is None


class TestOthersWrite:
    async def test_a_change_in_between_is_decided_on_again(self, world: World) -> None:
        world.put(vm(primary()))
        changes = iter([[row("red")]])

        def change_once() -> None:
            for rows in itertools.islice(changes, 1):
                world.write_status(interfaceRequests=rows)

        world.api.before = change_once
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert world.get()["status"]["interfaceRequests"] == [row("red"), row()]

    async def test_a_removal_that_was_recorded_meanwhile_took_the_nic_out_of_the_template_again(
        self, world: World
    ) -> None:
        """It is carried out after what has been written; the addition is recorded behind it."""
        world.put(running(), vmi(primary(), rows=[primary_row()], owner_uid=VM_UID))
        removal = {"removeInterfaceOptions": {"name": "red"}}
        changes = iter([[removal]])

        def change_once() -> None:
            for rows in itertools.islice(changes, 1):
                world.write_status(interfaceRequests=rows)

        world.api.before = change_once
        assert await world.ask(ADD_TO_VM, add("red")) != Accepted(), "the pending removal of that name conflicts"
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert template_of(world) == ["default"]
        assert world.get()["status"]["interfaceRequests"] == [removal, row()]

    async def test_one_that_another_has_made_meanwhile_is_not_made_twice(self, world: World) -> None:
        world.put(vm(primary()))
        world.api.before = lambda: world.write_status(interfaceRequests=[row()])
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert world.get()["status"]["interfaceRequests"] == [row()]
        assert world.api.calls.count(("patch", VMS)) == 1

    async def test_one_that_conflicts_meanwhile_is_told_so(self, world: World) -> None:
        world.put(vm(primary()))
        world.api.before = lambda: world.write_status(interfaceRequests=[row("blue", "other")])
        assert told(await world.ask(ADD_TO_VM, add()))[0] == 409

    async def test_changes_without_end_end_in_a_conflict(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("nicplug.subresources.attempts._FIRST_PAUSE_SECONDS", 0)
        world.put(vm(primary()))
        count = iter(range(1000))
        world.api.before = lambda: world.write_status(interfaceRequests=[row(f"nic{next(count)}")])
        text = "the object has been modified; please apply your changes to the latest version and try again"
        assert told(await world.ask(ADD_TO_VM, add())) == (409, CONFLICT + text)
        assert world.api.calls.count(("patch", VMS)) == ATTEMPTS

    async def test_a_vm_that_is_deleted_meanwhile(self, world: World) -> None:
        world.put(vm(primary()))
        kind = world.objects.kinds[VMS]

        def delete() -> None:
            stored = world.objects.store.get(kind, ("default", NAME))
            if stored is not None:
                world.objects.store.commit(kind, ("default", NAME), stored.copy(), removed=True)

        world.api.before = delete
        assert told(await world.ask(ADD_TO_VM, add())) == (404, f'virtualmachine.kubevirt.io "{NAME}" not found')


class TestTheApiServerRefuses:
    async def test_a_read(self, world: World) -> None:
        world.api.is_up = False
        message = f"Internal error occurred: unable to retrieve vm [{NAME}]: no answer: the fake is down"
        assert told(await world.ask(ADD_TO_VM, add())) == (500, message)
        assert told(await world.ask(ADD_TO_VMI, add()))[1] == message.replace("vm [", "vmi [")

    @pytest.mark.parametrize(
        ("path", "error", "code", "message"),
        [
            (ADD_TO_VM, Rejected("too long", status=422, reason="Invalid"), 422, "too long"),
            (ADD_TO_VM, Denied("no", status=403, reason="Forbidden"), 500, "unable to patch vm status: no"),
            (ADD_TO_VM, Unavailable("no answer"), 500, "unable to patch vm status: no answer"),
            (ADD_TO_VMI, Rejected("too long", status=422, reason="Invalid"), 422, "too long"),
            (ADD_TO_VMI, Denied("no", status=403, reason="Forbidden"), 403, "no"),
            (ADD_TO_VMI, Unavailable("no answer"), 500, "unable to patch vmi: no answer"),
            (f"{VMS}/start", Denied("no", status=403, reason="Forbidden"), 500, "no"),
        ],
    )
    async def test_a_write(self, world: World, path: str, error: ApiError, code: int, message: str) -> None:
        """What is passed on keeps its reason, by which clients tell errors apart."""
        world.put(vm(primary(), run_strategy="Manual"))
        if path == ADD_TO_VMI:
            world.put(vmi(primary()))
        world.api.refuses = error
        prefix = "Internal error occurred: " if code == 500 else ""
        answer = await world.ask(path, add())
        assert told(answer) == (code, prefix + message)
        assert isinstance(answer, Status)
        assert answer.reason == ("InternalError" if code == 500 else error.reason)

    async def test_a_template_that_could_not_be_patched_was_called_a_status(self, world: World) -> None:
        world.put(running(), vmi(primary(), rows=[primary_row()], owner_uid=VM_UID))
        world.api.refuses = Denied("no", status=403, reason="Forbidden")
        assert told(await world.ask(ADD_TO_VM, add())) == (500, "Internal error occurred: unable to patch vm: no")
        world.api.refuses = None
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert template_of(world) == ["default", "blue"]

    async def test_a_write_whose_answer_is_lost_is_made_once(self, world: World) -> None:
        world.put(vm(primary()))
        world.api.loses_answers = True
        assert told(await world.ask(ADD_TO_VM, add()))[0] == 500
        world.api.loses_answers = False
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert world.get()["status"]["interfaceRequests"] == [row()]


class TestLarge:
    """Members that are too large to be kept are written as they are (docs/adr/0018)."""

    async def test_a_long_list_of_requests_grows_by_one(self, world: World) -> None:
        rows = [row(f"nic{number}", "x" * 200) for number in range(600)]
        world.put(vm(primary(), status={"interfaceRequests": rows}))
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        assert world.get()["status"]["interfaceRequests"] == [*rows, row()]


def test_the_played_knowledge_has_what_the_real_one_has() -> None:
    assert {"config", "problem", "known"} <= set(dir(Knowledge))
    assert replace(Known(), problem="x").problem == "x"
