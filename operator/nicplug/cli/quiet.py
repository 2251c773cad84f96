"""What the operator's parts log is for its own log: a command says on stdout and stderr what it has to say."""

import logging

import structlog


def silence_logs() -> None:
    """Drop everything that they, and the libraries that they use, log."""
    logging.getLogger().addHandler(logging.NullHandler())  # without one, Python writes warnings to stderr
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
