"""Requests for a network need the right of the client that makes them, where the policy says so."""

from typing import Any

import pytest
from tests.build import (
    VM_UID,
    Json,
    a_config,
    kubevirt,
    primary,
    vm,
    vmi,
)
from tests.unit.subresources.handling import (
    ADD_TO_VM,
    ADD_TO_VMI,
    REMOVE_FROM_VM,
    VMS,
    World,
    add,
    told,
)

from nicplug.apiserver.calls import Accepted, Caller
from nicplug.kube.errors import Denied


class TestRequester:
    """`requireNadAccess`: who asks must have the right to get the network."""

    @pytest.fixture
    def asked(self, world: World, monkeypatch: pytest.MonkeyPatch) -> list[Json]:
        """The reviews; `lan` may be read, and nothing else."""
        reviews: list[Json] = []
        create = world.api.create

        async def review(resource: Any, body: Json, **options: Any) -> Json:
            if resource.plural != "subjectaccessreviews":
                return await create(resource, body, **options)
            reviews.append(body["spec"])
            attributes = body["spec"]["resourceAttributes"]
            return {"status": {"allowed": attributes["name"] == "lan", "denied": attributes["namespace"] == "denied"}}

        monkeypatch.setattr(world.api, "create", review)
        world.known.config = a_config(kubevirt(hotplug={"requireNadAccess": True}))
        world.put(vm(primary()), vmi(primary(), owner_uid=VM_UID))
        return reviews

    async def test_one_that_may_be_read(self, world: World, asked: list[Json]) -> None:
        assert await world.ask(ADD_TO_VM, add()) == Accepted()
        [spec] = asked
        assert spec["user"] == "alice"
        assert spec["resourceAttributes"] == {
            "group": "k8s.cni.cncf.io",
            "version": "v1",
            "resource": "network-attachment-definitions",
            "verb": "get",
            "namespace": "default",
            "name": "lan",
        }

    @pytest.mark.parametrize("path", [ADD_TO_VM, ADD_TO_VMI])
    @pytest.mark.parametrize(
        ("caller", "member", "value"),
        [
            (Caller(name="alice", groups=("dev", "ops")), "groups", ["dev", "ops"]),
            (Caller(name="alice", uid="u-1"), "uid", "u-1"),
            (Caller(name="alice", extra=(("scopes", ("a", "b")),)), "extra", {"scopes": ["a", "b"]}),
        ],
        ids=["groups", "uid", "extra"],
    )
    async def test_a_right_that_comes_with_the_group_the_uid_or_the_extra_values_counts(
        self, world: World, asked: list[Json], path: str, caller: Caller, member: str, value: Any
    ) -> None:
        """And so does a refusal of an authorizer that looks at them."""
        assert await world.ask(path, add(), caller=caller) == Accepted()
        [spec] = asked
        assert spec[member] == value

    @pytest.mark.parametrize("network", ["other", "elsewhere/other", "denied/lan"])
    @pytest.mark.parametrize("path", [ADD_TO_VM, ADD_TO_VMI])
    async def test_one_that_may_not(self, world: World, asked: list[Json], path: str, network: str) -> None:
        code, message = told(await world.ask(path, add(network=network)))
        assert code == 403
        assert 'user "alice" may not get network attachment definition' in message
        assert world.api.calls == [], "nothing has been looked at"

    async def test_a_name_that_is_none_is_told_so(self, world: World, asked: list[Json]) -> None:
        assert told(await world.ask(ADD_TO_VM, add(network="a/b/c")))[0] == 422
        assert not asked

    async def test_a_removal_needs_no_such_right(self, world: World, asked: list[Json]) -> None:
        assert await world.ask(REMOVE_FROM_VM, {"name": "blue"}) == Accepted()
        assert not asked

    async def test_nobody_is_asked_where_nothing_is_demanded(self, world: World, asked: list[Json]) -> None:
        world.known.config = a_config(kubevirt())
        assert await world.ask(ADD_TO_VM, add(network="other")) == Accepted()
        assert not asked

    async def test_without_an_answer_nobody_may(
        self, world: World, asked: list[Json], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(*_: Any, **__: Any) -> Json:
            raise Denied("no", status=403)

        monkeypatch.setattr(world.api, "create", fail)
        assert told(await world.ask(ADD_TO_VM, add()))[0] == 500
        assert ("patch", VMS) not in world.api.calls
