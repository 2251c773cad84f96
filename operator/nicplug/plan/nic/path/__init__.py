"""Chooses the path by which a NIC is plugged or unplugged: in place, by migration, by restart, or none, and why.

Start at `rules`, the tables. `paths_of_vmi` gathers the `evidence` of each NIC, `choice` evaluates it, `messages` words
the result.

`blame`: the NICs that a failed migration is blamed on. `migration_history`: counts the failures of a NIC, gives it up,
or schedules a retry.

Must not know the annotation, which depends on the choice.
"""
