"""Entry points of the programs: `nicplug`, `kubectl nic` and `virtctl`."""

import sys

# As in shells: 128 plus the number of SIGINT.
INTERRUPTED = 130


def nicplug() -> None:
    """Run `nicplug`."""
    _run("nicplug")


def kubectl_nic() -> None:
    """Run `kubectl nic`: the same commands, as a plugin of kubectl."""
    _run("kubectl nic")


def virtctl() -> None:
    """Run `virtctl`: the same commands, under that name."""
    _run("virtctl")


def _run(name: str) -> None:
    # The imports take longer than a user needs to press Ctrl-C.
    try:
        from nicplug.cli.imports import leave_out_synchronous_client

        # No command needs it, and the image does not contain it.
        leave_out_synchronous_client()
        from nicplug.cli.main import main
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    main(prog_name=name)
