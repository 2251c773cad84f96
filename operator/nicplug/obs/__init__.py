"""What an operator on call looks at: metrics, logs, probes."""
