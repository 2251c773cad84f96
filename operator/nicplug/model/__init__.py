"""What Kubernetes objects mean to nicplug: parsed into small frozen records, never fetched.

- Objects: `vm`, `vmi`, `migration`, `pod`, `node`, `kubevirt`, `revision`, `attachments` (NADs), `dynamic_controller`.
- Their parts: `networks`, `interface_status`, `operations` (records of NICs), `conditions`, `requests`, `pci`.
- Annotations: `networks_annotation`, `network_status`, `nic_annotations`; `names` has all names used on the wire.
- Policy: `hotplug_policy`, `nad_policy`, `trusted_namespaces`, `migration_configuration`.

Must not know Kopf, the API client, asyncio or clocks; tolerates anything that a user or a node writes.
"""
