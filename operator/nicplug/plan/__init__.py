"""Pure decisions: a view of the world in, a plan out.

Start at `vm.plan_vm`, `vmi.plan_vmi` or `migration.plan_migration`; each takes a view (`views`) and returns a plan
(`outcome`) of actions (`actions`).

- `vm`: whether a VM runs, and which changes of its template are applied to its instance.
- `vmi`: the launcher pod, the status, and the migrations that an instance needs.
- `nic`: each NIC, and in `nic.path` the path by which it is plugged or unplugged.
- `migration`: each migration, and the slots that all of them share.
- `subresources`: the answers of the aggregated API.
- `checks`: the first check that applies decides.
- `reasons`: every reason that a record, a condition or an event may give.

Must not know I/O, clocks, the event loop, Kopf or clients.
"""
