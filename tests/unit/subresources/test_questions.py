"""`nicplan` and `nicstory`: what somebody gets to know who may see one VM and nothing else, and what is read for it."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from tests.build import (
    NAME,
    NODE,
    NOW,
    VM_UID,
    Json,
    a_config,
    kubevirt,
    metadata,
    migration,
    nad,
    nic,
    node,
    operation,
    owner,
    pod,
    primary,
    row,
    vm,
    vmi,
)
from tests.sim.planning import _is_labelled, _is_selected

from nicplug.apiserver.calls import READ, UPDATE, Answer, Call, Caller, Found, Subresource
from nicplug.apiserver.statuses import Status
from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.kube.api import Resource, ServerApi
from nicplug.kube.errors import ApiError, Denied, Gone, Unavailable
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.subresources.cluster import FRESH_SECONDS, NodeSide
from nicplug.subresources.knowledge import Knowledge
from nicplug.subresources.questions import MOST_AT_A_TIME, PLAN, STORY, Questions
from nicplug.subresources.requester import Requesters

VMS, VMIS = "virtualmachines", "virtualmachineinstances"
OTHER_NODES = ("tenant-b-gpu", "tenant-c-gpu")
CONTROLLER = "dynamic-networks-controller-of-the-platform"


def daemon_set() -> Json:
    return {
        "metadata": {**metadata(CONTROLLER, uid="ds"), "namespace": "kube-system"},
        "spec": {"selector": {"matchLabels": {"app": "dnc"}}, "template": {"spec": {"containers": []}}},
    }


def controller_pod() -> Json:
    members: Json = {"labels": {"app": "dnc"}, "ownerReferences": [owner("DaemonSet", CONTROLLER, "ds")]}
    return {
        "metadata": {**metadata("dnc-x", uid="dnc", **members), "namespace": "kube-system"},
        "spec": {"nodeName": NODE},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }


@dataclass(slots=True)
class Api:
    """A cluster that is read; nothing can be written but reviews."""

    objects: dict[str, list[Json]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    fails: dict[str, ApiError] = field(default_factory=dict)
    may_get: tuple[str, ...] = ()
    gate: asyncio.Event | None = None

    async def get(self, resource: Resource, *, name: str, namespace: str | None = None) -> Json:
        """Read one object."""
        await self._note(f"{resource.plural} {namespace}/{name}", resource)
        for item in self.objects.get(resource.plural, []):
            if (item["metadata"]["name"], item["metadata"]["namespace"]) == (name, namespace):
                return item
        raise Gone(f'{resource.plural} "{name}" not found', status=404)

    async def list(self, resource: Resource, *, namespace: str | None = None, **options: Any) -> Json:
        """Read a collection."""
        await self._note(f"{resource.plural} {namespace}", resource)
        found = self.objects.get(resource.plural, [])
        found = [item for item in found if namespace in (None, item["metadata"].get("namespace"))]
        found = [item for item in found if _is_labelled(item, options.get("label_selector"))]
        found = [item for item in found if _is_selected(item, options.get("field_selector"))]
        return {"metadata": {"resourceVersion": "1"}, "items": found}

    async def create(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        """Review access."""
        assert resource.plural == "subjectaccessreviews"
        attributes = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": f"{attributes['namespace']}/{attributes['name']}" in self.may_get}}

    async def _note(self, what: str, resource: Resource) -> None:
        self.asked.append(what)
        if self.gate is not None:
            await self.gate.wait()
        if failure := self.fails.get(resource.plural):
            raise failure


@dataclass(slots=True)
class Known:
    """What the process follows by watches."""

    caches: Caches
    config: KubevirtConfig | None = None
    problem: str = ""


class World:
    """One process that answers questions."""

    def __init__(self, **policy: Any) -> None:
        self.seconds = 0.0
        self.api = Api(
            {
                VMS: [vm(primary())],
                VMIS: [vmi(primary(), owner_uid=VM_UID, rows=[row("default", "domain")])],
                "pods": [pod(), controller_pod()],
                "nodes": [node(name) for name in (NODE, *OTHER_NODES)],
                "daemonsets": [daemon_set()],
            }
        )
        caches = Caches(clock=lambda: NOW)
        caches.observe(CachedKind.KUBEVIRT, kubevirt(hotplug=policy))
        definitions = [nad("lan"), nad("secret", namespace="victim")]
        caches.attachments.replace([caches.attachments.project(item) for item in definitions])
        self.known = Known(caches, a_config(kubevirt(hotplug=policy)))
        server, knowledge = cast(ServerApi, self.api), cast(Knowledge, self.known)
        self.questions = Questions(
            api=server,
            knowledge=knowledge,
            node_side=NodeSide(server, knowledge, lambda: self.seconds),
            requesters=Requesters(server),
            kubevirt_namespace="kubevirt",
        )

    async def ask(
        self, name: str, body: Any = None, *, of: str = VMS, vm: str = NAME, query: tuple[tuple[str, str], ...] = ()
    ) -> Answer:
        """One question, whose right has been reviewed."""
        subresource = Subresource(resource=of, name=name)
        call = Call(
            verb=UPDATE if name == PLAN else READ,
            version="v1",
            subresource=subresource,
            namespace="default",
            name=vm,
            caller=Caller(name="alice"),
            query=query,
            body=body if isinstance(body, bytes) else json.dumps(body or {}).encode(),
        )
        return await self.questions.handlers()[subresource](call)

    async def plan(self, *networks: str, of: str = VMIS, **members: Any) -> Json:
        """The plan for NICs on these networks."""
        rows = [{"name": f"n{number}", "networkAttachmentDefinitionName": name} for number, name in enumerate(networks)]
        return found(await self.ask(PLAN, {"add": rows, **members}, of=of))

    async def stories(self, nic: str = "") -> list[Json]:
        """The stories."""
        answer = found(await self.ask(STORY, query=(("nic", nic),) if nic else ()))
        stories: list[Json] = answer["items"]
        return stories


def found(answer: Answer) -> Json:
    assert isinstance(answer, Found), answer
    content: Json = json.loads(json.dumps(answer.content))
    return content


def told(answer: Answer) -> tuple[int, str]:
    assert isinstance(answer, Status)
    return answer.code, answer.message


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_served_and_by_which_verb(world: World) -> None:
    served = {str(item): item.verb for item in world.questions.handlers()}
    assert served == {
        f"{VMS}/nicplan": "update",
        f"{VMIS}/nicplan": "update",
        f"{VMS}/nicstory": "get",
        f"{VMIS}/nicstory": "get",
    }


class TestPlan:
    async def test_it_is_the_operator_s_on_the_evidence_of_the_cluster(self, world: World) -> None:
        planned = await world.plan("lan")
        (told,) = planned["nics"]
        assert (planned["kind"], planned["arrives"], told["outcome"]) == ("Plan", True, "InPlace")
        assert told["evidence"]["controller"]["state"] == "ready"
        assert told["evidence"]["candidates"]["fitting"] == len(OTHER_NODES)
        assert planned["unknown"] == []

    @pytest.mark.parametrize("endpoint", [VMS, VMIS])
    async def test_nothing_in_it_names_what_is_not_the_vm_s(self, world: World, endpoint: str) -> None:
        world.api.objects["daemonsets"] = [daemon_set()]
        text = json.dumps(await world.plan("lan", of=endpoint))
        assert NODE in text
        assert not [name for name in (*OTHER_NODES, CONTROLLER, "kube-system", "dnc-x") if name in text]

    async def test_the_template_of_a_vm_that_does_not_run(self, world: World) -> None:
        world.api.objects[VMIS] = []
        planned = await world.plan("lan", of=VMS, persist=True)
        assert [nic["outcome"] for nic in planned["nics"]] == ["AtStart"]
        planned = found(await world.ask(PLAN, {"add": [{"name": "a", "networkAttachmentDefinitionName": "lan"}]}))
        assert (planned["arrives"], planned["nics"]) == (False, [])
        assert "is not running. Add --persist" in planned["refusals"][0]

    async def test_a_nic_that_does_not_exist_was_removed(self, world: World) -> None:
        code, message = told(await world.ask(PLAN, {"remove": [{"name": "nothere"}]}))
        assert (code, 'has no NIC "nothere"' in message) == (400, True)

    async def test_a_nic_without_a_name_gets_a_free_one(self, world: World) -> None:
        rows = [{"networkAttachmentDefinitionName": "lan"}] * 2
        planned = found(await world.ask(PLAN, {"add": rows}))
        assert [nic["name"] for nic in planned["nics"]] == ["lan", "lan-2"]

    async def test_the_lists_of_a_manifest(self, world: World) -> None:
        changed = vmi(primary(), nic("blue", attachment="lan"))["spec"]
        lists = {"interfaces": changed["domain"]["devices"]["interfaces"], "networks": changed["networks"]}
        planned = found(await world.ask(PLAN, {"persist": True, **lists}))
        assert [(nic["name"], nic["outcome"]) for nic in planned["nics"]] == [("blue", "InPlace")]

    async def test_what_places_the_vm_is_not_taken_from_a_question(self, world: World) -> None:
        """Labels of nodes could be found out by it."""
        spec = {**vmi(primary())["spec"], "nodeSelector": {"tenant": "b"}}
        lists = {"interfaces": spec["domain"]["devices"]["interfaces"], "networks": spec["networks"]}
        for body in ({**lists, "nodeSelector": spec["nodeSelector"]}, {"spec": spec}, vmi(primary())):
            assert told(await world.ask(PLAN, body))[0] == 400

    async def test_a_removal(self, world: World) -> None:
        world.api.objects[VMIS] = [vmi(primary(), nic("blue", attachment="lan"), rows=[row("blue", "domain")])]
        planned = found(await world.ask(PLAN, {"remove": [{"name": "blue"}]}, of=VMIS))
        assert [(nic["name"], nic["operation"]) for nic in planned["nics"]] == [("blue", "Unplug")]

    async def test_whether_a_definition_of_another_namespace_exists_is_not_said(self, world: World) -> None:
        existing, missing = await world.plan("victim/secret"), await world.plan("victim/nothing")
        assert json.dumps(existing).replace("secret", "nothing") == json.dumps(missing)
        assert existing["arrives"] is False

    @pytest.mark.parametrize("network", ["victim/secret", "victim/nothing", "other"])
    async def test_a_network_that_the_caller_must_be_able_to_read(self, network: str) -> None:
        world = World(requireNadAccess=True, nadPolicy="Any")
        world.api.may_get = ("default/lan",)
        planned = await world.plan("lan", network)
        assert [nic["name"] for nic in planned["nics"]] == ["n0"]
        (refusal,) = planned["refusals"]
        assert 'user "alice" may not get network attachment definition' in refusal
        assert planned["arrives"] is False

    async def test_of_a_manifest_with_a_network_that_may_not_be_read_nothing_is_foreseen(self) -> None:
        world = World(requireNadAccess=True, nadPolicy="Any")
        changed = vmi(primary(), nic("blue", attachment="victim/secret"))["spec"]
        lists = {"interfaces": changed["domain"]["devices"]["interfaces"], "networks": changed["networks"]}
        planned = found(await world.ask(PLAN, {"persist": True, **lists}))
        assert (planned["nics"], len(planned["refusals"])) == ([], 1)

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"{", "JSON"),
            ([], "must be an object"),
            ({"adds": []}, "unknown member"),
            ({"add": "lan"}, "add must be a list"),
            ({"add": [{"name": "blue"}]}, "networkAttachmentDefinitionName"),
            ({"add": [{"name": 1, "networkAttachmentDefinitionName": "lan"}]}, "name must be a text"),
            ({"remove": [{}]}, "name must be a text"),
            ({"persist": "yes"}, "persist must be"),
            ({"interfaces": []}, "given together"),
            ({"remove": [{"name": "a"}], "interfaces": [], "networks": []}, "either single changes"),
            ({"remove": [{"name": "a"}] * 101}, "at most 100"),
        ],
    )
    async def test_a_body_that_cannot_be_understood(self, world: World, body: Any, message: str) -> None:
        if body == []:
            body = b"[]"
        code, text = told(await world.ask(PLAN, body))
        assert code == 400
        assert message in text
        assert not world.api.asked, "nothing has been read"


class TestStory:
    @pytest.fixture(autouse=True)
    def _waiting(self, world: World) -> None:
        waiting = vmi(primary(), nic("blue", attachment="lan"), owner_uid=VM_UID, operations=[operation("blue")])
        world.api.objects[VMIS] = [waiting]
        world.api.objects["events"] = [
            event("Pod", "virt-launcher-of-another", "AddInterface", 'NIC "blue" of somebody else'),
            event("VirtualMachineInstance", NAME, "Waiting", 'NIC "blue" waits'),
        ]

    async def test_the_story_of_one_nic(self, world: World) -> None:
        (story,) = await world.stories("blue")
        assert (story["kind"], story["nic"]["name"]) == ("NicStory", "blue")
        assert story["waitsFor"] == f"the dynamic networks controller on node {NODE}"
        assert [moment["what"] for moment in story["moments"] if "event" in moment["source"]] == [
            'Waiting: NIC "blue" waits'
        ]
        text = json.dumps(story)
        assert not [name for name in (*OTHER_NODES, CONTROLLER) if name in text]

    async def test_without_a_name_that_of_each_that_is_not_ready(self, world: World) -> None:
        assert "blue" in [story["nic"]["name"] for story in await world.stories()]

    async def test_a_nic_that_the_vm_does_not_have(self, world: World) -> None:
        code, message = told(await world.ask(STORY, query=(("nic", "red"),)))
        assert (code, "default, blue" in message) == (404, True)

    @pytest.mark.parametrize("options", ["addInterfaceOptions", "removeInterfaceOptions"])
    async def test_a_request_that_waits_for_the_feature_gate(self, world: World, options: str) -> None:
        """Owners who must not read the KubeVirt CR have it from here: `nicplug status` and `nicplug wait`."""
        asked = {"name": "green", "networkAttachmentDefinitionName": "lan"}
        nics = [primary()] if options.startswith("add") else [primary(), nic("green", attachment="lan")]
        there = [row("default", "domain"), *([row("green", "domain", "multus-status")] if len(nics) > 1 else [])]
        world.api.objects[VMS] = [vm(*nics, status={"interfaceRequests": [{options: asked}]})]
        world.api.objects[VMIS] = [vmi(*nics, owner_uid=VM_UID, rows=there)]
        world.known.caches.observe(CachedKind.KUBEVIRT, {**kubevirt("Other"), "metadata": newer(kubevirt())})
        answer = found(await world.ask(STORY, of=VMS))
        (story,) = answer["items"]
        assert (story["nic"]["name"], story["nic"]["phase"]) == ("green", "Blocked")
        assert story["nic"]["reason"] == "FeatureGateDisabled"
        assert story["nic"]["message"] == "hot-plug is off in KubeVirt CR kubevirt/kubevirt"
        assert story["todo"].startswith('Add "HotplugNICs" to')

    async def test_two_nics_at_once(self, world: World) -> None:
        assert told(await world.ask(STORY, query=(("nic", "a"), ("nic", "b"))))[0] == 400


def newer(raw: Json) -> Json:
    """The metadata of the next version of an object."""
    version = int(raw["metadata"]["resourceVersion"]) + 1
    return {**raw["metadata"], "resourceVersion": str(version)}


def event(kind: str, name: str, reason: str, message: str) -> Json:
    return {
        "metadata": {"name": f"{name}.{reason}", "namespace": "default"},
        "involvedObject": {"kind": kind, "name": name, "namespace": "default"},
        "reason": reason,
        "message": message,
        "lastTimestamp": NOW.isoformat(),
    }


class TestWhatIsRead:
    @pytest.mark.parametrize("endpoint", [VMS, VMIS])
    @pytest.mark.parametrize("question", [PLAN, STORY])
    async def test_an_object_that_does_not_exist(self, world: World, endpoint: str, question: str) -> None:
        code, message = told(await world.ask(question, of=endpoint, vm="none"))
        assert code == 404
        assert message == f'{endpoint.removesuffix("s")}.kubevirt.io "none" not found'

    async def test_a_vmi_without_a_vm_is_no_vm(self, world: World) -> None:
        world.api.objects[VMS] = []
        assert told(await world.ask(PLAN, of=VMS))[0] == 404
        assert isinstance(await world.ask(PLAN, of=VMIS), Found)

    async def test_nodes_and_controllers_are_read_every_few_seconds_however_many_ask(self, world: World) -> None:
        def reads() -> int:
            return sum(item.startswith(("nodes", "daemonsets", "pods kube-system")) for item in world.api.asked)

        await asyncio.gather(*(world.plan("lan") for _ in range(3)))
        once = reads()
        assert once == len({item for item in world.api.asked if item.startswith(("nodes", "daemonsets"))}) + 1
        world.seconds = FRESH_SECONDS - 0.1
        await world.plan("lan")
        assert reads() == once
        world.seconds = FRESH_SECONDS
        await world.plan("lan")
        assert reads() == 2 * once

    async def test_of_other_namespaces_nothing_but_the_controllers(self, world: World) -> None:
        await world.plan("lan", "victim/secret")
        await world.stories()
        elsewhere = [item for item in world.api.asked if " default" not in item]
        assert {item.partition(" ")[0] for item in elsewhere} == {"nodes", "daemonsets", "pods"}
        assert {item for item in elsewhere if item.startswith("pods")} == {"pods kube-system"}

    async def test_no_more_than_a_few_at_a_time(self, world: World) -> None:
        world.api.gate = asyncio.Event()
        waiting = [asyncio.create_task(world.ask(PLAN)) for _ in range(MOST_AT_A_TIME)]
        await asyncio.sleep(0)
        async with asyncio.timeout(10):  # without a bound it would wait with the others
            assert told(await world.ask(PLAN))[0] == 429
        world.api.gate.set()
        assert all(isinstance(answer, Found) for answer in await asyncio.gather(*waiting))
        assert isinstance(await world.ask(PLAN), Found)

    @pytest.mark.parametrize("plural", ["nodes", "daemonsets", "events", "controllerrevisions"])
    async def test_what_may_be_missing_is_named_without_its_whereabouts(self, world: World, plural: str) -> None:
        world.api.fails[plural] = Denied(f'{plural} is forbidden: User "nicplug-api" cannot list', status=403)
        planned = await world.plan("lan")
        assert plural in [item["what"].lower() for item in planned["unknown"]]
        assert "kube-system" not in json.dumps(planned)
        assert "forbidden" not in json.dumps(planned)

    @pytest.mark.parametrize(
        ("error", "why"),
        [
            (Denied("User cannot list pods", status=403), "nicplug api may not read what plans and stories need"),
            (Unavailable("refused"), "the API server does not answer what plans and stories need"),
        ],
    )
    async def test_without_what_has_to_be_known_there_is_no_answer(
        self, world: World, error: ApiError, why: str
    ) -> None:
        world.api.fails["pods"] = error
        assert told(await world.ask(PLAN)) == (503, why)

    async def test_nothing_is_answered_before_the_configuration_is_known(self, world: World) -> None:
        world.known.problem = "not read yet"
        assert told(await world.ask(PLAN)) == (503, "not read yet")

    async def test_a_migration_of_the_vm_is_part_of_its_story(self, world: World) -> None:
        world.api.objects["virtualmachineinstancemigrations"] = [migration("Running")]
        waiting = vmi(primary(), nic("blue", attachment="lan"), owner_uid=VM_UID, operations=[operation("blue")])
        world.api.objects[VMIS] = [waiting]
        (story,) = await world.stories("blue")
        assert any(moment["source"].startswith("migration ") for moment in story["moments"])
