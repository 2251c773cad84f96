"""nicplug: hot-plugs network interfaces into running virtual machines on Kubernetes."""

__version__ = "0.1.0"
