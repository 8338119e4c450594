"""The command line. Modules are imported inside the commands, so that --help answers at once."""

from bench.cli.app import main

__all__ = ["main"]
