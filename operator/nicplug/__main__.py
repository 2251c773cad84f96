"""`python -m nicplug`."""

from nicplug.entry import nicplug

nicplug()
