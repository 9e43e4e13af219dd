"""Shared by all tests: the CUDA marker, hypothesis profiles, the probe's summary.

Choose a profile with `pytest --hypothesis-profile=NAME`. None has a deadline: the
time of one example is not what the tests are about, and shared machines are noisy.
"""

from collections import Counter
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("default", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, print_blob=True)
settings.register_profile("nightly", max_examples=10_000, deadline=None)
settings.load_profile("default")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what is marked `cuda` on machines without a CUDA device."""
    marked = [item for item in items if item.get_closest_marker("cuda")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Count the outcomes of the fault probe (with xdist, those of all processes)."""
    counts = Counter(
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, value in report.user_properties
        if name == "fault_probe"
    )
    if not counts:
        return
    kinds = {"crash": "crashes", "hang": "hangs", "silent NaN": "silent NaN"}
    parts = [f"{counts[kind]} {plural}" for kind, plural in kinds.items()]
    if counts["wrong"]:
        parts.append(f"{counts['wrong']} wrong")
    text = ", ".join([f"{counts.total()} cases", *parts])
    terminalreporter.write_line(f"fault probe: {text}")
