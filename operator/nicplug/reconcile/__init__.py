"""From a dirty key to writes: queue, worker, gather, plan, execute, record.

Start at `reconciler`, which does one pass over one key.

- Before the pass: `intake` (which keys a change concerns), `queue`, `worker`.
- The pass: `gather` (the view), `large_objects` (what a record leaves out), `execute` (one guarded write for each
  action), `announce` (events).
- After it: `delays` (when to look again), `memory` (all that a process remembers).
- Keys of their own: `slots`, `kubevirt_status`.

Must not know HTTP and credentials (`kube`); decides nothing about a VM or a NIC (`plan`).
"""
