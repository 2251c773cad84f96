"""One VirtualMachine: when it runs, which changes of its template its instance gets, and its status.

Start at `plan_vm`.

- When it runs: `run_strategy`, `start`.
- What the running instance gets: `live_changes`, `interface_requests` (`virtctl addinterface`), `restart_required`.
- What is reported: `vm_status`, `printable_status`.

Must not know launcher pods or migrations: those belong to the instance.
"""
