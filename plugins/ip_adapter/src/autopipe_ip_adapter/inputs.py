"""The argument that the add-on adds to calls."""

from __future__ import annotations

from autopipe.tasks import Input

IP_ADAPTER_IMAGE = Input(
    "ip_adapter_image", "image", required=False, help="the picture that the result follows"
)
