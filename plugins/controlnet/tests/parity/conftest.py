"""Runs one call on both libraries, and keeps the largest difference that any test saw."""

from support.parity import (
    pytest_terminal_summary,
    quiet_reference,
    record,
    reference,
    saved_alike,
    twin,
)
from support.steered_parity import compare

__all__ = [
    "compare",
    "pytest_terminal_summary",
    "quiet_reference",
    "record",
    "reference",
    "saved_alike",
    "twin",
]
