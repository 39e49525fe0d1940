"""Responsible for showing the logs of the nodes of a test that failed."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.integration.cluster import Cluster, Node


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the end of each log to the report of a failure."""
    report = yield
    if report.failed:
        fixtures = getattr(item, "funcargs", {}).values()
        nodes = [each for each in fixtures if isinstance(each, Node)]
        nodes += [node for each in fixtures if isinstance(each, Cluster) for node in each.nodes]
        unique = {node.directory: node for node in nodes}.values()
        report.sections += [(f"log of {node.name}", node.log_tail()) for node in unique]
    return report
