"""Which path a NIC takes into the guest or out of it: in place, by migration, by restart, or none, and why."""
