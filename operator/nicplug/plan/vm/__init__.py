"""One VirtualMachine: when it runs, what of its template reaches the instance, what its status says.

Start at `plan_vm`.

- When it runs: `run_strategy`, `start`.
- What reaches the running instance: `live_changes`, `interface_requests` (`virtctl addinterface`), `restart_required`.
- What is reported: `vm_status`, `printable_status`.

Must not know launcher pods and migrations: those are the instance's.
"""
