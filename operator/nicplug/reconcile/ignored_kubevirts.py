"""Reports the KubeVirt CRs that have no effect: in the log, and by an event on each."""

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from nicplug.cache.kubevirts import Kubevirts
from nicplug.kube.recorder import ObjectReference
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.names import KUBEVIRT_API_VERSION
from nicplug.reconcile.announce import Recorder

log = structlog.get_logger(__name__)

REASON = "KubeVirtIgnored"
# Whoever makes ever more of them, or makes one again and again, does not fill the log.
_MOST_REPORTED = 32


@dataclass(slots=True)
class IgnoredKubevirts:
    """Says once of each, and of at most `_MOST_REPORTED`, why it has no effect and what to do.

    Attributes:
        may_write: this replica leads: the others only log.
    """

    kubevirts: Kubevirts
    recorder: Recorder
    may_write: Callable[[], bool]
    _logged: set[str] = field(default_factory=set)
    _recorded: set[str] = field(default_factory=set)

    def report(self) -> None:
        """Look for one that has not been reported yet."""
        for ignored in self.kubevirts.ignored():
            why, remedy = self._explain(ignored)
            if _is_first(ignored.key.namespace, self._logged):
                counts = self.kubevirts.config()
                log.warning(
                    "KubeVirt CR has no effect",
                    kubevirt=str(ignored.key),
                    counts=str(counts.key) if counts is not None else "",
                    why=why,
                    remedy=remedy,
                )
            if self.may_write() and _is_first(ignored.uid, self._recorded):
                message = f"This KubeVirt CR has no effect: {why}. To change that, {remedy}."
                self.recorder.event(_reference(ignored), type="Warning", reason=REASON, message=message)

    def _explain(self, ignored: KubevirtConfig) -> tuple[str, str]:
        """Why it has no effect, and what to do."""
        namespace, counts = self.kubevirts.namespace, self.kubevirts.config()
        if ignored.key.namespace == namespace and counts is not None:
            return f"{counts.key.name} in the same namespace is older and counts", "delete one of the two"
        return (
            f'nicplug reads the KubeVirt CR of namespace "{namespace}"',
            f"move its configuration there, or set NICPLUG_KUBEVIRT_NAMESPACE={ignored.key.namespace} for the operator",
        )


def _is_first(name: str, reported: set[str]) -> bool:
    if name in reported or len(reported) >= _MOST_REPORTED:
        return False
    reported.add(name)
    return True


def _reference(config: KubevirtConfig) -> ObjectReference:
    return ObjectReference(
        api_version=KUBEVIRT_API_VERSION,
        kind="KubeVirt",
        namespace=config.key.namespace,
        name=config.key.name,
        uid=config.uid,
    )
