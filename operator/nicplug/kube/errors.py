"""Errors of requests to the API server: each class has exactly one meaning for the queue.

Knows nothing of HTTP libraries, queues or objects; `kube.aio` raises these, `reconcile.worker` maps each class to
exactly one way of retrying.
"""

from typing import Self

# The same version and variant is needed: applying the base alone would undo an overlay, and the image that it sets.
MANIFESTS = "nicplug's manifests (helm upgrade, or kubectl apply -k of your overlay)"
APPLY_MANIFESTS = f"Apply {MANIFESTS} again"
RIGHTS_REMEDY = f"{APPLY_MANIFESTS}: they grant the right"
CREDENTIALS_REMEDY = "Check the credentials: the service account exists, its token is valid."

# kube-apiserver's messages for a path that is not served.
_NOT_SERVED = ("the server could not find the requested resource", "404 page not found", "HTTP 404 Not Found")


class ApiError(Exception):
    """Base class of all errors of the API layer.

    Attributes:
        status: HTTP status, or 0 if no answer arrived.
        reason: the `reason` of the Kubernetes Status object, or "".
        request: verb and path, for logs; never a body.
        causes: the reasons in `details.causes` of the Status object.
    """

    causes: frozenset[str] = frozenset()

    def __init__(self, message: str, *, status: int = 0, reason: str = "", request: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.request = request


class Stale(ApiError):
    """The object changed in the meantime: 409 Conflict, or 422 because the JSON patch does not fit it. Plan again.

    Also 410 (an expired `continue` token): start again from fresh data.
    """


class AlreadyExists(ApiError):
    """A POST found an object of that name. Success if it has the same owner, else a name conflict."""


class Gone(ApiError):
    """The object does not exist (404, or a uid precondition failed on DELETE). Forget it."""

    @property
    def is_not_served(self) -> bool:
        """True if the path is not served: the kind or the API is not installed. False if only the object is missing."""
        return any(text in str(self) for text in _NOT_SERVED)


class Throttled(ApiError):
    """The server asks to slow down (429).

    Attributes:
        after: seconds to wait, from the Retry-After header; 1.0 if the header is missing or not a number.
    """

    after: float = 1.0

    def with_after(self, seconds: float) -> Self:
        """Set how long to wait, in seconds; returns the error itself."""
        self.after = seconds
        return self


class Unavailable(ApiError):
    """No usable answer: time-out, connection refused, 5xx. The write may or may not have happened."""


class Denied(ApiError):
    """401 or 403: credentials or RBAC. Retried slowly, because only an admin can fix it."""

    @property
    def is_missing_right(self) -> bool:
        """True if credentials or RBAC are the cause. Quotas, policies and terminating namespaces answer 403 as well."""
        return self.status == 401 or " cannot " in str(self)

    @property
    def remedy(self) -> str:
        """How to fix a missing permission or a refused token."""
        return CREDENTIALS_REMEDY if self.status == 401 else RIGHTS_REMEDY


class Rejected(ApiError):
    """The server understood the request and refused it: 400, 405, 413, 415, 422 by schema, CEL or admission.

    Retried only when the object changes.
    """


class RejectedForNow(Rejected):
    """The server refused the request for a reason that passes without a change of the object.

    Reported like any refusal, and retried with back-off.

    Attributes:
        remedy: what a person can do about it.
    """

    def __init__(self, message: str, *, remedy: str, status: int = 0, reason: str = "", request: str = "") -> None:
        super().__init__(message, status=status, reason=reason, request=request)
        self.remedy = remedy
