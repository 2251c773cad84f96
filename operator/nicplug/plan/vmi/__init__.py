"""One VirtualMachineInstance: its launcher pod, its phases, its status, its end."""
