"""What can go wrong when talking to the API server: one class, one meaning for the queue.

Knows nothing of HTTP libraries, queues or objects; `kube.aio` raises these,
`reconcile.worker` maps each class to exactly one way of trying again.
"""

from typing import Self

# Of the same version and variant: the base alone would undo an overlay, and the image that it names.
MANIFESTS = "nicplug's manifests (helm upgrade, or kubectl apply -k of your overlay)"
APPLY_MANIFESTS = f"Apply {MANIFESTS} again"
RIGHTS_REMEDY = f"{APPLY_MANIFESTS}: they grant the right"
CREDENTIALS_REMEDY = "Check the credentials: the service account exists, its token is valid."

# kube-apiserver's words for a path that nobody serves.
_NOT_SERVED = ("the server could not find the requested resource", "404 page not found", "HTTP 404 Not Found")


class ApiError(Exception):
    """Base of everything the API layer raises.

    Attributes:
        status: HTTP status, or 0 when no answer arrived.
        reason: the `reason` of the Kubernetes Status object, or "".
        request: verb and path, for logs; never a body.
        causes: the reasons of the causes in its details.
    """

    causes: frozenset[str] = frozenset()

    def __init__(self, message: str, *, status: int = 0, reason: str = "", request: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.request = request


class Stale(ApiError):
    """The object changed under us: 409 Conflict, or 422 because the JSON patch does not fit it. Plan again.

    Also 410 (an expired `continue` token): start again from fresh data.
    """


class AlreadyExists(ApiError):
    """A POST met an object of that name. Done when it has the same owner, else a name conflict."""


class Gone(ApiError):
    """The object does not exist (404, or a uid precondition failed on DELETE). Forget it."""

    @property
    def is_not_served(self) -> bool:
        """Nobody serves the path: the kind or the API is not installed. Else it is the object that does not exist."""
        return any(text in str(self) for text in _NOT_SERVED)


class Throttled(ApiError):
    """The server asks to slow down (429).

    Attributes:
        after: seconds from the Retry-After header; 1.0 when the header is missing or not a number.
    """

    after: float = 1.0

    def with_after(self, seconds: float) -> Self:
        """Set how long to wait, in seconds."""
        self.after = seconds
        return self


class Unavailable(ApiError):
    """No usable answer: time-out, connection refused, 5xx. The write may or may not have happened."""


class Denied(ApiError):
    """401 or 403: credentials or RBAC. Retried slowly, since only a person can fix it."""

    @property
    def is_missing_right(self) -> bool:
        """RBAC refused it. Quotas, policies and namespaces that are being deleted answer 403 as well."""
        return self.status == 401 or " cannot " in str(self)

    @property
    def remedy(self) -> str:
        """What to do about a missing right or a refused token."""
        return CREDENTIALS_REMEDY if self.status == 401 else RIGHTS_REMEDY


class Rejected(ApiError):
    """The server understood and refused: 400, 405, 413, 415, 422 by schema, CEL or admission.

    Retried only when the object changes.
    """
