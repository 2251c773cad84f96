"""Which path a NIC takes into the guest or out of it: in place, by migration, by restart, or none, and why.

Start at `rules`, the tables. `paths_of_vmi` gathers the `evidence` of each NIC, `choice` judges it, `messages` says it.

`blame`: the NICs that a failed migration is blamed on. `migration_history`: counts the failures of a NIC, gives it up,
or says how and when it is tried again.

Must not know the annotation: who asks whom follows from the choice.
"""
