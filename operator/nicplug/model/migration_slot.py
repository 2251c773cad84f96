"""What one migration wants of what the limits of the cluster and of its nodes leave, and what it has been given."""

from dataclasses import dataclass
from datetime import datetime

from nicplug.model.keys import MigrationKey, VmiKey


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationSlot:
    """The word of the ledger on one migration; decided in `plan.migration.slots`, in one place for all.

    Attributes:
        is_granted: its target pod may be made; counts towards the limits of the cluster and of the source node.
        inbound_node: the node to which it may be handed off; "" while the limit of that node is reached, or its
            target pod has no node yet.
        reason: why it waits, as a CamelCase reason; "" when it waits for no slot.
        message: the same for a person, with numbers: who waits for whom, and the position in the queue.
    """

    is_granted: bool = False
    inbound_node: str = ""
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A migration that has not ended, as far as slots go; read from its view in `plan.migration.contender`.

    Attributes:
        priority: the higher goes first.
        source_node: where the guest is; "" when nobody knows.
        target_node: where its target pod is; "" while it has none.
        holds: it is under way, whatever the ledger says: it has a target pod, or has had one.
        is_handed_off: the node agents have it, or may have it.
        wants: nothing but the limits keeps it from having a target pod.
    """

    key: MigrationKey
    uid: str
    vmi: VmiKey
    created: datetime | None
    priority: int
    source_node: str
    target_node: str = ""
    holds: bool = False
    is_handed_off: bool = False
    wants: bool = False
