"""The node simulator: what no operator plays, as a process of its own that talks only to the API server.

One module per role (`kubelet`, `multus`, `dynamic_networks`, `virt_handler`); what a role decides is a
pure function of objects, its I/O is thin. Roles share nothing but the mirrors of the API server's
objects; one calls another only where the real ones do (kubelet and dynamic networks controller call
Multus). Imports nothing of nicplug: the simulator must not share the operator's reading of the contract.
"""
