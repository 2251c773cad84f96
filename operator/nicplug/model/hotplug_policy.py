"""The cluster admin's and the VM owner's word on how NICs are hot-plugged."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class DynamicPath(StrEnum):
    """`dynamicPath`: whether a NIC is plugged in place."""

    AUTO = "Auto"
    """Where the dynamic networks controller can do it; else by migration."""
    ALWAYS = "Always"
    """In place or not at all; a migration is made only where nothing else ever works (SR-IOV, another network)."""
    NEVER = "Never"
    """By migration alone."""


class OnFailure(StrEnum):
    """`onFailure`: what happens when the dynamic path has failed or has had its time."""

    MIGRATE = "Migrate"
    HOLD = "Hold"
    """The NIC stays Failed, and the controller is asked again, ever less often."""
    ROLLBACK = "Rollback"
    """The pod and the VMI return to what works; the VM keeps what its owner wrote."""


class MigrationPolicy(StrEnum):
    """`migration`: whether nicplug may migrate a VM for the sake of a NIC."""

    ALLOWED = "Allowed"
    NEVER = "Never"


DEFAULT_DYNAMIC_TIMEOUT = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class HotplugPolicy:
    """One policy: the cluster's, with what the VM's owner has overridden.

    Attributes:
        problems: values that are not understood and have no effect, as sentences.
        origins: where a value stands that is not the default, by the name of the field, for a sentence.
    """

    dynamic_path: DynamicPath = DynamicPath.AUTO
    dynamic_timeout: timedelta = DEFAULT_DYNAMIC_TIMEOUT
    on_failure: OnFailure = OnFailure.MIGRATE
    migration: MigrationPolicy = MigrationPolicy.ALLOWED
    problems: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)

    def origin(self, name: str) -> str:
        """Where a field was set, for a sentence: `annotation nicplug.io/migration of VirtualMachine default/a`."""
        return self.origins.get(name, "the default")
