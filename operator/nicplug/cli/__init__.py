"""The `nicplug` command line and the kubectl plugin."""
