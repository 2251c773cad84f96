"""`nicplug uninstall`: the parts of an installation, and the steps that remove them."""
