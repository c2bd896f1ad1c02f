"""Silences the reference, which warns that its classes for ONNX will leave it."""

from support.parity import pytest_terminal_summary, quiet_reference  # noqa: F401
