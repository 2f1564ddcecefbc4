"""Ports on this machine."""

import socket

HOST = "127.0.0.1"


def free_port(preferred: int) -> int:
    """The preferred TCP port of 127.0.0.1 if nobody listens there, else any free one.

    Nothing reserves it: another program may take it before the caller does.
    """
    for port in (preferred, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ports in TIME_WAIT are free
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"No TCP port of {HOST} is free.")
