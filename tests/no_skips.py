"""
A pytest plugin for CI: a test that is skipped, or expected to fail, fails the run.

Given as ``pytest -p tests.no_skips``. On a person's machine a test may step aside when
Node or a browser is missing; where the project is judged, nothing steps aside unseen.
"""

from __future__ import annotations

import pytest


def _refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skipped report, which an expected failure is too, into a failed one."""
    if not report.skipped:
        return
    where_and_why = report.longrepr
    reason = getattr(report, "wasxfail", None)
    if reason is not None:
        del report.wasxfail
        why = f"expected to fail: {reason}"
    elif isinstance(where_and_why, tuple):
        why = str(where_and_why[2])
    else:
        why = str(where_and_why)
    report.outcome = "failed"
    report.longrepr = f"nothing may be skipped here, but this was: {why}"


# tryfirst puts these outside pytest's own wrappers, which is where a skip and an
# expected failure get their outcome.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> object:
    report = yield
    _refuse(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> object:
    report = yield
    _refuse(report)
    return report
