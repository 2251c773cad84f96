"""Environment variables that commands read in addition to their options; each command documents its own in --help."""

OPERATOR_NAMESPACE = "NICPLUG_NAMESPACE"
# The epilog of commands that check for a running operator, and have no --operator-namespace.
LOOKS_FOR_OPERATOR = (
    f"Environment: {OPERATOR_NAMESPACE} is the operator's namespace [default: nicplug-system]; the command checks "
    "there that an operator runs."
)
