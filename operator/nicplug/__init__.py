"""nicplug: gives a running virtual machine a new network interface on Kubernetes."""

__version__ = "0.1.0"
