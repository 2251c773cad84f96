"""One VirtualMachine: when it runs, what of its template reaches the instance, what its status says."""
