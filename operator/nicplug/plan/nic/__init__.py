"""Plugs and unplugs each NIC of an instance, and records its state.

Start at `records`, which records the first finding that applies (`findings`):

- `plug`, `unplug`, `change`: the state of a NIC, and what blocks it.
- `spec_checks`, `attachments`, `pci_slots`: checks before a NIC is requested from a pod.
- `path`, `path_findings`: in place or by migration.

Requests to a pod: `annotation`, with `attempts`, `phantoms`, `superseded`. Observed state of NICs: `observed`.
To and from the template: `template_sync`, `live_rules`, `requested`, `rollback`. Events and metrics: `transitions`.

Must not know which pod runs the guest, nor how a migration proceeds.
"""
