"""What the simulation tells at the end of a test run; pytest keeps to itself what a test prints."""

from collections.abc import Callable

import pytest

TOLD = pytest.StashKey[list[str]]()


@pytest.fixture
def tell(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Have this stand below the tests' results, whether they pass or not."""
    return pytestconfig.stash.setdefault(TOLD, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write down what tests have told."""
    for text in config.stash.get(TOLD, []):
        terminalreporter.section("simulation")
        terminalreporter.write_line(text)
