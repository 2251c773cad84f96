"""The webhook for evictions: who reaches it, what it reads, and what it answers."""

import json
from typing import Any

import pytest
from tests.unit.apiserver.conftest import World
from tests.unit.apiserver.played import put

from nicplug.apiserver.calls import Found
from nicplug.apiserver.reviews import Review, answer_review, parse_review
from nicplug.apiserver.statuses import Status

REQUEST: dict[str, Any] = {
    "uid": "r-1",
    "namespace": "default",
    "name": "virt-launcher-vm-1a2b3",
    "resource": {"group": "", "version": "v1", "resource": "pods"},
    "subResource": "eviction",
    "operation": "CREATE",
    "object": {"kind": "Eviction"},
}


def body(**changes: Any) -> bytes:
    request = {key: value for key, value in {**REQUEST, **changes}.items() if value is not None}
    review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
    return json.dumps(review).encode()


def test_what_is_read() -> None:
    assert parse_review(body()) == Review(
        uid="r-1", namespace="default", name="virt-launcher-vm-1a2b3", is_dry_run=False
    )


@pytest.mark.parametrize(
    "changes", [{"dryRun": True}, {"object": {"deleteOptions": {"dryRun": ["All"]}}}], ids=["request", "options"]
)
def test_a_dry_run(changes: dict[str, Any]) -> None:
    review = parse_review(body(**changes))
    assert isinstance(review, Review)
    assert review.is_dry_run


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b'{"kind": "AdmissionReview"}',
        body(name=None),
        body(uid=""),
        body(subResource="status"),
        body(resource={"resource": "secrets"}),
        body(namespace={"a": 1}),
    ],
)
def test_what_is_no_review_of_an_eviction(content: bytes) -> None:
    refusal = parse_review(content)
    assert isinstance(refusal, Status)
    assert refusal.code == 400


def test_answers_repeat_the_uid_and_ask_to_come_back() -> None:
    review = parse_review(body())
    assert isinstance(review, Review)
    passed, refused = answer_review(review, ""), answer_review(review, "wait")
    assert isinstance(passed, Found)
    assert passed.content["response"] == {"uid": "r-1", "allowed": True}
    status = {"code": 429, "reason": "TooManyRequests", "message": "wait"}
    assert refused.content["response"] == {"uid": "r-1", "allowed": False, "status": status}


async def ask(world: World, path: str, *, method: str = "POST") -> tuple[int, dict[str, Any]]:
    """As kube-apiserver does: without a client certificate."""
    answer = await world.ask(put(body(), method=method, path=path), pair=None)
    return answer.code, answer.json()


async def test_the_api_server_is_answered_without_a_client_certificate(world: World) -> None:
    code, answer = await ask(world, "/evictions/secret-token")
    assert code == 200
    assert answer["response"]["status"]["message"] == "reviewed default/virt-launcher-vm-1a2b3"
    assert world.count(200, subresource="pods/eviction") == 1


@pytest.mark.parametrize("path", ["/evictions", "/evictions/", "/evictions/other", "/evictions/secret-token/more"])
async def test_nobody_else_knows_the_path(world: World, path: str) -> None:
    assert (await ask(world, path))[0] in (401, 404)
    assert world.reviews == []


async def test_only_post_is_served(world: World) -> None:
    assert (await ask(world, "/evictions/secret-token", method="PUT"))[0] == 405
