"""Access reviews: what is asked, what is remembered for how long, and how much of it."""

import asyncio
from dataclasses import replace

import pytest
from tests.unit.apiserver.played import ADD, REMOVE, Json, PlayedApi

from nicplug.apiserver.access import ALLOWED_SECONDS, DENIED_SECONDS, AccessReviews, Question
from nicplug.apiserver.calls import VERSIONS, Caller
from nicplug.kube.errors import Unavailable

ALICE = Caller(name="alice", uid="u-1", groups=("dev",), extra=(("scopes", ("a", "b")),))
QUESTION = Question(caller=ALICE, verb="update", version="v1", subresource=ADD, namespace="default", name="vm")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def api() -> PlayedApi:
    return PlayedApi()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reviews(api: PlayedApi, clock: Clock) -> AccessReviews:
    return AccessReviews(api.api, clock=clock, largest=3)


async def test_everything_that_is_known_of_the_caller_is_asked(api: PlayedApi, reviews: AccessReviews) -> None:
    api.allows = all_names_denied
    assert await reviews.refuse(QUESTION) is None
    for_all, for_one = api.reviews
    assert for_one == {
        "user": "alice",
        "uid": "u-1",
        "groups": ["dev"],
        "extra": {"scopes": ["a", "b"]},
        "resourceAttributes": {
            "group": "subresources.kubevirt.io",
            "version": "v1",
            "verb": "update",
            "resource": "virtualmachines",
            "subresource": "addinterface",
            "namespace": "default",
            "name": "vm",
        },
    }
    assert for_all == {**for_one, "resourceAttributes": {**for_one["resourceAttributes"], "name": ""}}


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_version_that_is_asked_for_is_reviewed(api: PlayedApi, reviews: AccessReviews, version: str) -> None:
    """A webhook may decide by it."""
    assert await reviews.refuse(replace(QUESTION, version=version)) is None
    assert [spec["resourceAttributes"]["version"] for spec in api.reviews] == [version]


def all_names_denied(spec: Json) -> Json:
    """The right is one to certain names."""
    return {"allowed": spec["resourceAttributes"]["name"] != ""}


@pytest.mark.parametrize(("allowed", "seconds"), [(True, ALLOWED_SECONDS), (False, DENIED_SECONDS)])
async def test_an_answer_is_remembered_for_seconds(
    api: PlayedApi, reviews: AccessReviews, clock: Clock, allowed: bool, seconds: float
) -> None:
    api.allows = lambda _: {"allowed": allowed}
    for clock.now in (0.0, seconds - 0.01):
        assert (await reviews.refuse(QUESTION) is None) is allowed
    assert len(api.reviews) == (1 if allowed else 2), "a denial is one for all names, and one for this"
    api.allows = lambda _: {"allowed": not allowed}
    clock.now = seconds
    assert (await reviews.refuse(QUESTION) is None) is not allowed


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTION, caller=replace(ALICE, name="bob")),
        replace(QUESTION, caller=replace(ALICE, uid="u-2")),
        replace(QUESTION, caller=replace(ALICE, groups=("ops",))),
        replace(QUESTION, caller=replace(ALICE, extra=())),
        replace(QUESTION, verb="get"),
        replace(QUESTION, version="v1alpha3"),
        replace(QUESTION, subresource=REMOVE),
        replace(QUESTION, namespace="other"),
        replace(QUESTION, name="other"),
    ],
)
async def test_the_answer_to_one_question_is_not_that_to_another(
    api: PlayedApi, reviews: AccessReviews, other: Question
) -> None:
    api.allows = all_names_denied
    assert await reviews.refuse(QUESTION) is None
    api.allows = lambda _: {"allowed": False}
    assert await reviews.refuse(other) is not None


async def test_a_right_to_all_names_is_asked_for_once(api: PlayedApi, reviews: AccessReviews) -> None:
    for number in range(10):
        assert await reviews.refuse(replace(QUESTION, name=f"vm-{number}")) is None
    assert [item["resourceAttributes"]["name"] for item in api.reviews] == [""]


async def test_the_memory_is_bounded(api: PlayedApi, reviews: AccessReviews) -> None:
    for number in range(10):
        await reviews.refuse(replace(QUESTION, namespace=f"ns-{number}"))
        await reviews.refuse(replace(QUESTION, namespace="ns-0"))
    assert len(reviews) == 3
    assert len(api.reviews) == 10, "the one that is asked for again and again stays"


async def test_a_denial_wins_over_an_allowance(api: PlayedApi, reviews: AccessReviews) -> None:
    api.allows = lambda _: {"allowed": True, "denied": True}
    assert await reviews.refuse(QUESTION) is not None


@pytest.mark.parametrize("status", [{}, {"allowed": "true"}, {"allowed": None}])
async def test_what_is_no_allowance_is_a_refusal(
    api: PlayedApi, reviews: AccessReviews, status: dict[str, object]
) -> None:
    api.allows = lambda _: status
    assert await reviews.refuse(QUESTION) is not None


async def test_a_failure_is_not_remembered(api: PlayedApi, reviews: AccessReviews) -> None:
    api.fails["subjectaccessreviews"] = Unavailable("no answer")
    assert await reviews.refuse(QUESTION) is not None
    api.fails.clear()
    assert await reviews.refuse(QUESTION) is None


async def test_a_burst_of_one_user_asks_once(api: PlayedApi, reviews: AccessReviews) -> None:
    api.review_gate = asyncio.Event()
    asking = [asyncio.create_task(reviews.refuse(QUESTION)) for _ in range(50)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    # Who asked first goes away; the others still get their answer.
    asking[0].cancel()
    await asyncio.sleep(0)
    api.review_gate.set()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [None] * 49
    assert len(api.reviews) == 1
