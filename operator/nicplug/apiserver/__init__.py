"""The aggregated API server (`subresources.kubevirt.io`): transport, identity, access, certificates, discovery.

What a request means is decided by the handlers that it is given; this package knows none of them.
"""
