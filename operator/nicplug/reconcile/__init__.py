"""Turns changed keys into writes: queue, worker, gather, plan, execute, record.

Start reading at `reconciler`, which does one pass over one key.

- Before the pass: `intake` (which keys a change affects), `queue`, `worker`.
- The pass: `gather` (the view), `large_objects` (content that records leave out), `execute` (one guarded write per
  action), `announce` (Events).
- After it: `delays` (when to reconcile again), `memory` (all per-key state of the process).
- Special keys: `slots`, `kubevirt_status`.

Must not know HTTP and credentials (`kube`); decides nothing about a VM or a NIC (`plan`).
"""
