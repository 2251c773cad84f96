"""The programs' entry points: `nicplug`, `kubectl nic` and `virtctl`."""

import sys

# As shells count it: 128 and the number of SIGINT.
INTERRUPTED = 130


def nicplug() -> None:
    """`nicplug`."""
    _run("nicplug")


def kubectl_nic() -> None:
    """`kubectl nic`: the same commands as a plugin of kubectl."""
    _run("kubectl nic")


def virtctl() -> None:
    """`virtctl`: the same commands under that name."""
    _run("virtctl")


def _run(name: str) -> None:
    # Loading takes longer than a person needs to type Ctrl-C.
    try:
        from nicplug.cli.imports import leave_out_synchronous_client

        # No command needs it, and the image has none.
        leave_out_synchronous_client()
        from nicplug.cli.main import main
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    main(prog_name=name)
