"""Every answer has exactly one class."""

import json
from typing import Any

import pytest

from nicplug.kube import errors
from nicplug.kube.classify import PATCH_NOT_APPLICABLE, Answer, retry_after_seconds, to_error
from nicplug.kube.errors import AlreadyExists, Denied, Gone, Rejected, Stale, Throttled, Unavailable

CLASSES = {
    found
    for found in vars(errors).values()
    if isinstance(found, type) and issubclass(found, errors.ApiError) and found is not errors.ApiError
}
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def answer(code: int, *, method: str = "PATCH", content: bytes | None = None, **status: Any) -> Answer:
    body = content if content is not None else json.dumps({"kind": "Status", **status}).encode()
    return Answer(method=method, request=f"{method} /x", code=code, content=body)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("content", [b"", b"404 page not found\n", b"[]", b"null", b'{"reason": null}', b"\xff"])
def test_every_status_has_exactly_one_class_whatever_the_body(method: str, content: bytes) -> None:
    for code in range(100, 600):
        error = to_error(answer(code, method=method, content=content))
        assert type(error) in CLASSES
        assert error.status == code
        assert str(error)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (302, Unavailable),
        (400, Rejected),
        (401, Denied),
        (403, Denied),
        (404, Gone),
        (405, Rejected),
        (406, Rejected),
        (408, Unavailable),
        (409, Stale),
        (410, Stale),
        (412, Stale),
        (413, Rejected),
        (415, Rejected),
        (418, Rejected),
        (422, Rejected),
        (429, Throttled),
        (500, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
def test_class_by_status(code: int, expected: type[errors.ApiError]) -> None:
    assert type(to_error(answer(code))) is expected


def test_a_patch_that_does_not_fit_is_stale() -> None:
    error = to_error(answer(422, reason="Invalid", message=PATCH_NOT_APPLICABLE, details={}))
    assert type(error) is Stale


@pytest.mark.parametrize(
    "status",
    [
        {"message": 'VirtualMachine.kubevirt.io "x" is invalid', "details": {"causes": [{"field": "spec"}]}},
        {"message": 'admission webhook "x" denied the request', "details": {}},
        {"message": "ValidatingAdmissionPolicy 'x' denied request: no"},
        {"message": PATCH_NOT_APPLICABLE, "details": {"causes": [{"field": "spec"}]}},
    ],
    ids=lambda status: status["message"][:30],
)
def test_an_object_that_breaks_a_rule_is_rejected(status: dict[str, Any]) -> None:
    assert type(to_error(answer(422, reason="Invalid", **status))) is Rejected


@pytest.mark.parametrize(
    ("details", "causes"),
    [
        ({"causes": [{"reason": "One", "message": "x"}, {"field": "spec"}, {"reason": "Two"}]}, {"One", "Two"}),
        ({"causes": {"reason": "One"}}, set()),
        ({"causes": ["One"]}, set()),
        ({}, set()),
        (None, set()),
    ],
)
def test_reasons_of_causes(details: Any, causes: set[str]) -> None:
    assert to_error(answer(409, method="PUT", details=details)).causes == causes


def test_only_patches_can_fail_to_fit() -> None:
    assert type(to_error(answer(422, method="POST", message=PATCH_NOT_APPLICABLE))) is Rejected


@pytest.mark.parametrize(
    ("method", "status", "expected"),
    [
        ("POST", {"reason": "AlreadyExists"}, AlreadyExists),
        ("POST", {"reason": "Conflict"}, Stale),
        ("PUT", {"reason": "Conflict"}, Stale),
        ("PUT", {"reason": "AlreadyExists"}, Stale),
        ("PATCH", {"reason": "Conflict"}, Stale),
        ("DELETE", {"reason": "Conflict", "message": "the UID in the precondition (a) does not match"}, Gone),
        ("DELETE", {"reason": "Conflict", "message": "Precondition failed: UID in precondition: a"}, Gone),
        ("DELETE", {"reason": "Conflict", "message": "the ResourceVersion in the precondition (1)"}, Stale),
        ("PUT", {"reason": "Conflict", "message": "Precondition failed: UID in precondition: a"}, Stale),
    ],
)
def test_conflicts(method: str, status: dict[str, Any], expected: type[errors.ApiError]) -> None:
    assert type(to_error(answer(409, method=method, **status))) is expected


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        ("0", 0.0),
        ("2.5", 2.5),
        ("86400", 60.0),
        ("", 1.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0),
        ("-5", 1.0),
        ("nan", 1.0),
        ("inf", 1.0),
    ],
)
def test_retry_after(header: str, seconds: float) -> None:
    assert retry_after_seconds(header) == seconds
    error = to_error(Answer(method="GET", request="GET /x", code=429, retry_after=header))
    assert isinstance(error, Throttled)
    assert error.after == seconds


def test_an_error_carries_the_message_of_the_server_and_no_body() -> None:
    error = to_error(answer(403, reason="Forbidden", message='pods "x" is forbidden: no'))
    assert str(error) == 'pods "x" is forbidden: no'
    assert (error.status, error.reason, error.request) == (403, "Forbidden", "PATCH /x")


@pytest.mark.parametrize(
    ("status", "message", "is_missing_right"),
    [
        (403, 'pods "a" is forbidden: User "system:serviceaccount:n:o" cannot patch resource "pods"', True),
        (401, "Unauthorized", True),
        (403, 'pods "a" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1', False),
        (403, 'pods "a" is forbidden: namespace x is being terminated', False),
    ],
    ids=["RBAC", "credentials", "quota", "namespace that ends"],
)
def test_only_a_missing_right_is_mended_by_the_roles(status: int, message: str, is_missing_right: bool) -> None:
    assert Denied(message, status=status).is_missing_right is is_missing_right


def test_an_error_that_quotes_a_large_value_is_cut() -> None:
    """Messages go into records and conditions, and the API server quotes the field that it refuses."""
    assert len(str(to_error(answer(422, message="Invalid value: " + "x" * 1_000_000)))) < 5_000
