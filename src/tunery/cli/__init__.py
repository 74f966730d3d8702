"""The command line: arguments, one library call, printing."""

from tunery.cli.app import main

__all__ = ["main"]
