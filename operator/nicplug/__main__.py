"""`python -m nicplug`."""

from nicplug.cli.main import main

main(prog_name="nicplug")
