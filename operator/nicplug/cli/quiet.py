"""Silences logging in commands: the operator's modules log for its own log, commands report on stdout and stderr."""

import logging

import structlog

# Without a handler, Python itself writes warnings and errors to stderr.
_NOWHERE = logging.NullHandler()


def silence_logs() -> None:
    """Drop all log output of nicplug's modules and of libraries."""
    logging.getLogger().addHandler(_NOWHERE)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
