"""The conformance kit: what every family promises, as checks that its own tests run.

    # tests/test_conformance.py
    from autopipe_devkit.conformance import Conformance

    class TestConformance(Conformance):
        family = "zoo"

Installed by `pip install autopipe-devkit`. See `Conformance` for what it can be told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .suite import Conformance as Conformance

__all__ = ["Conformance"]


def __getattr__(name: str) -> Any:
    # The pytest plugin beside this is imported in every test run of every project; the suite,
    # which needs torch, only in those that use it.
    if name == "Conformance":
        from .suite import Conformance

        return Conformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
