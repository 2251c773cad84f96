"""One VirtualMachineInstance: its launcher pod, its phases, its NICs, the migrations that it needs, its end.

Start at `plan_vmi`.

- Its pods: `new_pod`, `launcher_pod` with `new_pod_networks` and `pod_resources`, `active_pod`, `own_pods`,
  `disruption_budget`.
- Its life: `phase`, `vmi_status`, `end`.
- Its NICs: `nics` (each is decided in `plan.nic`), `roll_back`, `outdated_attachments`.
- The migrations that it needs: `migration_request`, `evacuation`; one in progress: `moving`, `state_patches`.

Must not know how a migration proceeds (`plan.migration`).
"""
