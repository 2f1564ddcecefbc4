"""The container's health check, against a server that answers this or that."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from service import healthcheck
from service.settings import Settings

PROJECT = Path(__file__).resolve().parents[2]


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that answers `/livez` so, and everything else with 404; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


def checked(port: str) -> int:
    """The exit code, as Docker and ECS see it."""
    environment = {**os.environ, "ACEQUIA_HTTP_PORT": port, "PYTHONPATH": str(PROJECT)}
    return subprocess.run([sys.executable, "-m", "service.healthcheck"], env=environment, check=False).returncode


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_it_tells_what_livez_says(status: int, code: int) -> None:
    with answering(status) as port:
        assert checked(str(port)) == code


def test_nobody_answers() -> None:
    with answering(200) as port:
        pass
    assert checked(str(port)) == 1
    assert checked("no port") == 1


def test_the_port_is_that_of_the_settings() -> None:
    assert int(healthcheck.PORT_DEFAULT) == Settings.model_fields["http_port"].default


def test_it_imports_nothing_of_the_service() -> None:
    imported = "import sys, service.healthcheck; print([m for m in sys.modules if m.startswith('service.')])"
    told = subprocess.run([sys.executable, "-c", imported], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert told.stdout == "['service.healthcheck']\n"
