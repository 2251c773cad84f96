"""What an older Kubernetes does otherwise than the newest one: `make compat-test`."""

from nicplug_sandbox.go_programs import control_plane

MINOR = int(control_plane().version.split(".")[1])
# From 1.33 on a write of a status is judged by what it changes, too (kubernetes/kubernetes#129506). Before, a rule of a
# CRD refuses it for what was stored in the spec before there was the rule: docs/support.md says so.
JUDGES_STATUS_BY_CHANGES = MINOR >= 33
# Members of a pod that an API server takes out of it while their feature gates are off.
DROPPED: frozenset[str] = frozenset() if MINOR >= 34 else frozenset({"hostUsers", "resourceClaims"})


def as_the_newest_says(text: str) -> str:
    """A refusal, with the value of a doubled key as JSON: older API servers print what Go prints."""
    return text.replace("map[string]interface {}{", "{")
