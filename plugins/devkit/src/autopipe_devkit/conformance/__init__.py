"""The conformance kit: checks of the contract of families, run as part of a family's tests.

    # tests/test_conformance.py
    from autopipe_devkit.conformance import Conformance

    class TestConformance(Conformance):
        family = "zoo"

Installed by `pip install autopipe-devkit`. See `Conformance` for its settings. `EngineConformance`
does the same for an engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine_suite import EngineConformance as EngineConformance
    from .suite import Conformance as Conformance

__all__ = ["Conformance", "EngineConformance"]


def __getattr__(name: str) -> Any:
    # Every test run of every project imports the pytest plugin in this package. The suite needs
    # torch, so it is imported only by test runs that use it.
    if name == "Conformance":
        from .suite import Conformance

        return Conformance
    if name == "EngineConformance":
        from .engine_suite import EngineConformance

        return EngineConformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
