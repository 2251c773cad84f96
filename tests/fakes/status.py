"""Errors as kube-apiserver words them: the Status object, its reason, its message.

Every text here is compared with the real server by tests/conformance.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Json = dict[str, Any]

PATCH_NOT_APPLICABLE = "the server rejected our request due to an error in our request"


class ApiFailure(Exception):
    """An answer that is not a success, raised anywhere between parsing a request and the commit."""

    def __init__(self, code: int, reason: str, message: str, *, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details

    def body(self) -> Json:
        """The Status object to send."""
        status: Json = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = dict(self.details)
        return status


def not_found(*, qualified: str, name: str) -> ApiFailure:
    """404 of an object; `qualified` is `pods` or `virtualmachines.kubevirt.io`."""
    return ApiFailure(404, "NotFound", f'{qualified} "{name}" not found', details=_details(qualified, name))


def already_exists(*, qualified: str, name: str) -> ApiFailure:
    """409 of a POST."""
    return ApiFailure(409, "AlreadyExists", f'{qualified} "{name}" already exists', details=_details(qualified, name))


def conflict(*, qualified: str, name: str, why: str = "") -> ApiFailure:
    """409 of a PUT, PATCH or DELETE; without `why` the resourceVersion was not the latest."""
    why = why or ("the object has been modified; please apply your changes to the latest version and try again")
    message = f'Operation cannot be fulfilled on {qualified} "{name}": {why}'
    return ApiFailure(409, "Conflict", message, details=_details(qualified, name))


def uid_conflict(*, qualified: str, name: str, expected: str, found: str) -> ApiFailure:
    """409 of a PUT whose uid is not that of the object."""
    why = f"Precondition failed: UID in precondition: {expected}, UID in object meta: {found}"
    return conflict(qualified=qualified, name=name, why=why)


def uid_precondition(*, group_kind: str, name: str, expected: str, found: str) -> ApiFailure:
    """409 of a DELETE for another uid; unlike other conflicts it names the kind."""
    why = (
        f"the UID in the precondition ({expected}) does not match the UID in record ({found}). "
        "The object might have been deleted and then recreated"
    )
    return conflict(qualified=group_kind, name=name, why=why)


def version_precondition(*, group_kind: str, name: str, expected: str, found: str) -> ApiFailure:
    """409 of a DELETE for another resourceVersion."""
    why = (
        f"the ResourceVersion in the precondition ({expected}) does not match the ResourceVersion in record "
        f"({found}). The object might have been modified"
    )
    return conflict(qualified=group_kind, name=name, why=why)


def bad_request(message: str) -> ApiFailure:
    """400."""
    return ApiFailure(400, "BadRequest", message)


def patch_not_applicable() -> ApiFailure:
    """422 of a JSON patch that does not fit; why is not told, neither here nor by the real one."""
    return ApiFailure(422, "Invalid", PATCH_NOT_APPLICABLE, details={})


def invalid(*, group_kind: str, name: str, causes: Sequence[Mapping[str, str]]) -> ApiFailure:
    """422 of an object that breaks a rule; each cause has `reason`, `message` and `field`."""
    texts = [f"{cause['field']}: {cause['message']}" for cause in causes]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    kind, _, group = group_kind.partition(".")
    details = {"name": name, **({"group": group} if group else {}), "kind": kind, "causes": list(causes)}
    return ApiFailure(422, "Invalid", f'{group_kind} "{name}" is invalid: {text}', details=details)


def expired(message: str) -> ApiFailure:
    """410 of a watch or a `continue` token."""
    return ApiFailure(410, "Expired", message)


def unsupported_media_type(accepted: Sequence[str]) -> ApiFailure:
    """415."""
    media = ", ".join(accepted)
    return ApiFailure(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {media}",
    )


def _details(qualified: str, name: str) -> Json:
    plural, _, group = qualified.partition(".")
    return {"name": name, **({"group": group} if group else {}), "kind": plural}
