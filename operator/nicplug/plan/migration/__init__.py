"""The life of each migration from request to end, and the shared slots that limit how many run.

Start at `plan_migration`: `facts`, then the first of `phases` that applies, then its `actions`.

- Before the target pod: `eligibility`, `slots` (limits, order, whose turn it is).
- The target pod: `target_networks` (with which NICs, on which nodes), `target`.
- Until the end: `hand_off`, `timeouts`, `progress` (what it waits for), `finish` (clean-up).
- When it fails, `plan.nic.path.blame` says which NICs are at fault, and `plan.nic.path.migration_history` counts that.

Must not know which NIC needs a migration (`plan.vmi.migration_request`).
"""
