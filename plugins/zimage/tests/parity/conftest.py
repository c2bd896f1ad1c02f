"""The comparison with diffusers, which all families share."""

from support.parity import (  # noqa: F401
    compare,
    pytest_terminal_summary,
    quiet_reference,
    record,
    reference,
    saved_alike,
    scheduler,
    twin,
)
