"""What `subresources.kubevirt.io` answers to a request to add or remove a NIC, and which patch it sends. No HTTP here.

`options.read_request` checks the gate and the body, `interfaces.ask_vm` or `ask_vmi` the object; each returns an
`answers.Answer` as soon as something is in the way.
"""
