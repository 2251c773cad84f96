"""The aggregated API server (`subresources.kubevirt.io`): transport, identity, access, certificates, discovery.

The handlers that it is given decide what a request does; this package knows none of them.
"""
