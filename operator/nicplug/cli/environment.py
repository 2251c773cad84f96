"""Variables that commands read beside their options: each command that reads one names it in its help."""

OPERATOR_NAMESPACE = "NICPLUG_NAMESPACE"
# The epilog of commands that look whether an operator works, and have no --operator-namespace.
LOOKS_FOR_OPERATOR = (
    f"Environment: {OPERATOR_NAMESPACE} is the operator's namespace [default: nicplug-system]; the command checks "
    "there that an operator runs."
)
