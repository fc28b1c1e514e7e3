"""Figures that tests measure: printed in one list at the end, however the tests were run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Tell = Callable[[str], None]
_FIGURE = "figure"


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """A function that takes a sentence for the list."""
    node = request.node
    return lambda sentence: node.user_properties.append((_FIGURE, sentence))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for group in terminalreporter.stats.values() for report in group]
    told = [
        sentence
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, sentence in report.user_properties
        if name == _FIGURE
    ]
    if told:
        terminalreporter.section("figures")
    for sentence in told:
        terminalreporter.line(str(sentence))
