"""Which path a NIC takes into the guest or out of it: in place, by migration, by restart, or none, and why.

Start at `rules`, the tables. `paths_of_vmi` gathers the `evidence` of each NIC, `choice` judges it, `messages` says it.

`migration_history`: what migrations were made for and failed of. `backoff`: when the next one may be made.

Must not know the annotation: who asks whom follows from the choice.
"""
