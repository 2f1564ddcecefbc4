"""The container's health check: asks `/livez`, and exits 0 when it answers, 1 when it does not.

`python -m service.healthcheck`. Of the standard library alone, because it starts anew every half minute beside a worker
that may have a quarter of a processor. It asks nothing about dependencies: an outage is no reason to restart a task.
"""

import http.client
import os
import sys

TIMEOUT_SECONDS = 4.0
"""Below the 5 s that ECS gives a check unless told otherwise."""
PORT_DEFAULT = "9100"
"""As in `service.settings`, which would take seconds to import; a test compares them."""


def healthy(host: str, port: int) -> bool:
    """Whether the worker on this machine answers that it lives."""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def main() -> int:
    """Exit code."""
    port = os.environ.get("ACEQUIA_HTTP_PORT") or PORT_DEFAULT
    return 0 if port.isdecimal() and healthy("127.0.0.1", int(port)) else 1


if __name__ == "__main__":
    sys.exit(main())
