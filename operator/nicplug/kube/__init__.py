"""API server access: the port (`api`), its implementation on kubernetes.aio, errors, leader election and events."""
