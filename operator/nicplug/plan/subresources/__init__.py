"""What `subresources.kubevirt.io` answers, and which patch it sends.

`options` checks the gate and the body; then `interfaces`, `power` or `migrate` asks the object. Each returns an
`answers.Answer` as soon as something is in the way.

Must not know HTTP.
"""
