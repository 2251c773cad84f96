"""What is to happen to each NIC: into the pod, into the guest, out again; and the record that tells it."""
