"""Starts the command line, `service.cli`: the console script, and `python -m service`."""

import signal
from importlib import import_module


def main() -> None:
    """A Ctrl-C while the rest is imported, which takes a second, ends it at once and without a traceback."""
    interrupted = signal.signal(signal.SIGINT, signal.SIG_DFL)
    commands = import_module("service.cli").commands
    signal.signal(signal.SIGINT, interrupted)
    commands()


if __name__ == "__main__":
    main()
