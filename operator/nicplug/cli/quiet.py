"""What the operator's parts log is for its own log: a command says on stdout and stderr what it has to say."""

import logging

import structlog

# Without a handler, Python itself writes warnings and errors to stderr.
_NOWHERE = logging.NullHandler()


def silence_logs() -> None:
    """Drop everything that they, and the libraries that they use, log."""
    logging.getLogger().addHandler(_NOWHERE)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
