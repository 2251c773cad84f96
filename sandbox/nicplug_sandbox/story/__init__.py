"""The story of the demonstration: running VMs get a NIC in place and by migration, and give it back."""
