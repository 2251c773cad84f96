"""What one migration may take up of what the limits of the cluster and of its nodes leave."""

from dataclasses import dataclass


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
