"""Turns API errors into messages for the user, with remedies and exit codes."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from nicplug.cli.connection import START_SANDBOX, Session
from nicplug.cli.exits import CommandError, Exit
from nicplug.cli.suggestions import no_namespace
from nicplug.kube.errors import ApiError, Denied, Gone, Rejected, Stale, Throttled, Unavailable

INSTALL_KINDS = "Install nicplug's CRDs: kubectl apply -f crds/"
INSTALL_API = (
    "Install nicplug's aggregated API, or wait until it is ready: "
    "kubectl get apiservice v1.subresources.kubevirt.io. `nicplug doctor` says what is missing."
)

_CERTIFICATE_REMEDY = (
    "to name the CA that signed it (certificate-authority or certificate-authority-data), and the server by an address "
    "that it was made out to (server or tls-server-name)."
)


@contextmanager
def explained(session: Session) -> Iterator[None]:
    """Turn an API error of the block into a `CommandError`."""
    try:
        yield
    except ApiError as error:
        raise explain(error, session=session) from error


def explain(error: ApiError, *, session: Session) -> CommandError:
    """Return the error as message, remedy and exit code."""
    is_subresource = "/apis/subresources." in error.request
    match error:
        case Gone(is_not_served=True):
            what = "subresources.kubevirt.io" if is_subresource else error.request.partition("?")[0]
            remedy = _start_api(session) if is_subresource else INSTALL_KINDS
            return CommandError(f"this cluster does not serve {what} ({error})", remedy=remedy, code=Exit.NOT_INSTALLED)
        case Gone() if namespace := _missing_namespace(error):
            return no_namespace(namespace, wrong="--namespace or the manifest")
        case Gone():
            where = f"namespace {session.namespace} (context {session.context})"
            remedy = f"Searched {where}. Use --namespace to choose another."
            return CommandError(str(error), remedy=remedy, code=Exit.NOT_FOUND)
        case Denied(status=401):
            remedy = f"The credentials of context {session.context} are not accepted: log in again, or use --context."
            return CommandError(f"not logged in: {error}", remedy=remedy, code=Exit.NOT_ALLOWED)
        case Denied():
            remedy = "Ask the cluster admin for this right; `kubectl auth can-i --list` shows what you have."
            return CommandError(str(error), remedy=remedy if error.is_missing_right else "", code=Exit.NOT_ALLOWED)
        case Throttled():
            return CommandError(
                f"the API server asks to slow down: {error}", remedy=f"Try again in {error.after:.0f} s."
            )
        case Unavailable():
            return _unavailable(error, session=session, is_subresource=is_subresource)
        case Rejected(reason="InvalidName"):
            return CommandError(str(error), code=Exit.WRONG_USE)
        case Stale() | Rejected():
            return CommandError(str(error), code=Exit.REFUSED)
        case _:
            return CommandError(str(error))


def _start_api(session: Session) -> str:
    return f"Start it again: {START_SANDBOX}" if session.is_sandbox else INSTALL_API


def _missing_namespace(error: ApiError) -> str:
    """Return the missing namespace that made a create fail; "" if the error has another cause."""
    found = re.search(r'\bnamespaces "([^"]+)" not found', str(error))
    return found[1] if found else ""


def _unavailable(error: Unavailable, *, session: Session, is_subresource: bool) -> CommandError:
    if is_subresource and error.status in (502, 503, 504):
        return CommandError(
            f"nicplug's aggregated API does not answer: {error}", remedy=_start_api(session), code=Exit.NOT_INSTALLED
        )
    if error.status:
        message = f"the API server at {session.server} has failed: {error}"
        return CommandError(message, remedy="Try again, or ask the cluster admin.", code=Exit.UNREACHABLE)
    if problem := _certificate_problem(error):
        remedy = f"The cluster of context {session.context} in the kubeconfig has {_CERTIFICATE_REMEDY}"
        message = f"the certificate of {session.server} is not accepted: {problem}"
        return CommandError(message, remedy=remedy, code=Exit.UNREACHABLE)
    remedy = f"Is {session.server} up and the right address? It is the cluster of context {session.context}."
    return CommandError(str(error), remedy=remedy, code=Exit.UNREACHABLE)


def _certificate_problem(error: Unavailable) -> str:
    """Return why OpenSSL rejects the server's certificate; "" if the error has another cause."""
    certificate = getattr(error.__cause__, "certificate_error", None)
    return str(getattr(certificate, "verify_message", "") or certificate or "")
