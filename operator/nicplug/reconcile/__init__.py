"""From a dirty key to writes: queue, worker, gather, plan, execute, record."""
