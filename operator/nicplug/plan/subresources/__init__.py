"""What `subresources.kubevirt.io` answers, and which patch it sends.

`options` checks the gate and the body; then `interfaces`, `power` or `migrate` checks the object. Each returns an
`answers.Answer` at the first obstacle.

Must not know HTTP.
"""
