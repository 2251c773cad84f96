"""Who reads protected metrics: by TokenReview and SubjectAccessReview, remembered for a while."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from nicplug.kube.api import KubeApi, Resource
from nicplug.kube.errors import ApiError, Denied, Unavailable
from nicplug.obs.guard import (
    ALLOWED_SECONDS,
    DENIED_SECONDS,
    OUTAGE_SECONDS,
    STRANGERS_PER_SECOND,
    MetricsGuard,
)

Json = dict[str, Any]
PROMETHEUS = {
    "username": "system:serviceaccount:monitoring:prometheus",
    "uid": "u",
    "groups": ["system:authenticated"],
    "extra": {"authentication.kubernetes.io/credential-id": ["JTI=1"]},
}


@dataclass(slots=True)
class PlayedReviews:
    """An API server that knows tokens.

    Attributes:
        users: by token.
        may: the users that may get /metrics.
    """

    users: dict[str, Json] = field(default_factory=lambda: {"good": PROMETHEUS, "poor": {"username": "poor"}})
    may: set[str] = field(default_factory=lambda: {str(PROMETHEUS["username"])})
    fails: ApiError | None = None
    gate: asyncio.Event | None = None
    asked: list[tuple[str, Json]] = field(default_factory=list)

    async def create(self, resource: Resource, body: Json, *, namespace: str | None = None) -> Json:
        self.asked.append((resource.plural, body["spec"]))
        if self.gate is not None:
            await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        if resource.plural == "tokenreviews":
            user = self.users.get(body["spec"]["token"])
            return {"status": {"authenticated": True, "user": user} if user else {"error": "no such token"}}
        return {"status": {"allowed": body["spec"]["user"] in self.may}}

    @property
    def tokens(self) -> list[str]:
        """Those that a review was asked for."""
        return [spec["token"] for plural, spec in self.asked if plural == "tokenreviews"]


@dataclass(slots=True)
class World:
    reviews: PlayedReviews = field(default_factory=PlayedReviews)
    now: float = 100.0
    guard: MetricsGuard = field(init=False)

    def __post_init__(self) -> None:
        self.guard = MetricsGuard(api=cast(KubeApi, self.reviews), clock=lambda: self.now)

    async def code(self, authorization: str) -> int:
        refusal = await self.guard.refuse(authorization)
        return refusal.status if refusal is not None else 200


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("Bearer good", 200),
        ("bearer  good ", 200),
        ("Bearer poor", 403),
        ("Bearer made-up", 401),
        ("Bearer", 401),
        ("Bearer ", 401),
        ("Basic Z29vZA==", 401),
        ("good", 401),
        ("", 401),
        ("Bearer \udcff", 401),
        ("Bearer " + "x" * 9000, 401),
    ],
)
async def test_who_gets_the_metrics(world: World, authorization: str, code: int) -> None:
    assert await world.code(authorization) == code


async def test_what_is_no_bearer_token_asks_nobody(world: World) -> None:
    for authorization in ("", "Basic x", "Bearer", "Bearer " + "x" * 9000):
        await world.code(authorization)
    assert world.reviews.asked == []


async def test_the_review_is_about_everything_that_is_known_of_the_user(world: World) -> None:
    await world.code("Bearer good")
    review = {**PROMETHEUS, "nonResourceAttributes": {"path": "/metrics", "verb": "get"}}
    review["user"] = review.pop("username")
    assert world.reviews.asked == [("tokenreviews", {"token": "good"}), ("subjectaccessreviews", review)]


async def test_an_explicit_refusal_wins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def create(resource: Resource, body: Json, **_: Any) -> Json:
        if resource.plural == "tokenreviews":
            return {"status": {"authenticated": True, "user": PROMETHEUS}}
        return {"status": {"allowed": True, "denied": True}}

    monkeypatch.setattr(PlayedReviews, "create", lambda _self, *given, **named: create(*given, **named))
    assert await world.code("Bearer good") == 403


@pytest.mark.parametrize(("token", "code", "seconds"), [("good", 200, ALLOWED_SECONDS), ("poor", 403, DENIED_SECONDS)])
async def test_a_verdict_is_remembered_for_a_while(world: World, token: str, code: int, seconds: float) -> None:
    for _ in range(3):
        assert await world.code(f"Bearer {token}") == code
    world.now += seconds - 0.1
    assert await world.code(f"Bearer {token}") == code
    assert world.reviews.tokens == [token]
    world.now += 0.1
    assert await world.code(f"Bearer {token}") == code
    assert world.reviews.tokens == [token, token]


async def test_a_right_that_is_taken_away_ends_within_a_minute(world: World) -> None:
    assert await world.code("Bearer good") == 200
    world.reviews.may.clear()
    world.now += ALLOWED_SECONDS
    assert await world.code("Bearer good") == 403


async def test_no_token_is_kept(world: World) -> None:
    await world.code("Bearer good")
    await world.code("Bearer poor")
    assert "good" not in repr(world.guard._allowed)
    assert "poor'" not in repr(world.guard._refused)


async def test_who_was_let_in_stays_so_while_the_api_server_is_away(world: World) -> None:
    """That is when somebody looks at the metrics."""
    assert await world.code("Bearer good") == 200
    world.reviews.fails = Unavailable("no answer")
    world.now += OUTAGE_SECONDS - 1
    assert await world.code("Bearer good") == 200
    assert await world.code("Bearer made-up") == 503
    world.now += 2
    assert await world.code("Bearer good") == 503
    world.reviews.fails = None
    assert await world.code("Bearer good") == 200


async def test_a_missing_right_of_our_own_is_an_error_with_a_remedy(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.reviews.fails = Denied('User "x" cannot create resource "tokenreviews"', status=403)
    assert await world.code("Bearer good") == 500
    assert "nicplug-metrics-reviewer" in capsys.readouterr().out


async def test_made_up_tokens_flooded_the_api_server(world: World) -> None:
    codes = [await world.code(f"Bearer {number}") for number in range(50)]
    assert (codes.count(401), codes.count(429)) == (STRANGERS_PER_SECOND, 50 - STRANGERS_PER_SECOND)
    assert len(world.reviews.asked) == STRANGERS_PER_SECOND
    world.now += 1
    assert await world.code("Bearer another") == 401


async def test_a_scraper_is_served_beside_a_flood_of_made_up_tokens(world: World) -> None:
    assert await world.code("Bearer good") == 200
    for round_ in range(600):
        for number in range(10):
            await world.code(f"Bearer {round_}-{number}")
        assert await world.code("Bearer good") == 200
        world.now += 1
    assert world.reviews.tokens.count("good") == 10


async def test_scrapes_at_the_same_time_ask_once(world: World) -> None:
    world.reviews.gate = asyncio.Event()
    asking = [asyncio.create_task(world.code("Bearer good")) for _ in range(20)]
    await asyncio.sleep(0)
    asking[0].cancel()
    world.reviews.gate.set()
    assert await asyncio.gather(*asking[1:]) == [200] * 19
    assert world.reviews.tokens == ["good"]
