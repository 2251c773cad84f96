"""Which rights of nicplug's ServiceAccounts the integration tests use, and which calls they see refused."""
