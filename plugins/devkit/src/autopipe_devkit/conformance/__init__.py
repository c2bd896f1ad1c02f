"""The conformance kit: checks of the contract of families, run as part of a family's tests.

    # tests/test_conformance.py
    from autopipe_devkit.conformance import Conformance

    class TestConformance(Conformance):
        family = "zoo"

Installed by `pip install autopipe-devkit`. See `Conformance` for its settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .suite import Conformance as Conformance

__all__ = ["Conformance"]


def __getattr__(name: str) -> Any:
    # Every test run of every project imports the pytest plugin in this package. The suite needs
    # torch, so it is imported only by test runs that use it.
    if name == "Conformance":
        from .suite import Conformance

        return Conformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
