"""The comparison with diffusers, which all families share."""

from support.image_embeddings import compare_embeds  # noqa: F401
from support.parity import (  # noqa: F401
    any_scheduler,
    compare,
    pytest_terminal_summary,
    quiet_reference,
    record,
    reference,
    saved_alike,
    scheduler,
    twin,
)
