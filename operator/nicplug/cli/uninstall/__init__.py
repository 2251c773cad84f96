"""`nicplug uninstall`: what an installation consists of, and how it goes."""
