"""Each NIC of an instance: into the pod, into the guest, out again; and the record that says so.

Start at `records`, which makes a record of what `findings` and these find, the first that applies:

- `plug`, `unplug`, `change`: where a NIC is, and what keeps it there.
- `spec_checks`, `attachments`, `pci_slots`: what is wrong before a pod is asked for it.
- `path`, `path_findings`: in place or by migration.

What a pod is asked for: `annotation`, with `attempts`, `phantoms`, `superseded`. What is seen of a NIC: `observed`.
From and to the template: `template_sync`, `live_rules`, `requested`, `rollback`. For events and metrics: `transitions`.

Must not know which pod runs the guest, nor how a migration proceeds.
"""
