"""The API server: the port (`api`), its implementation on kubernetes.aio, errors, lease and events."""
