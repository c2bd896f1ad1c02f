"""The layouts of files that hold a ControlNet.

`single_file.json` has the configs of the public checkpoints, which are data about their weights.
"""

from __future__ import annotations

from autopipe.checkpoint.single.layout import Config, Contents, Layout, Network, Piece, SingleFile
from autopipe.errors import UnsupportedCheckpointError
from autopipe_components.original.configs import controlnet_config
from autopipe_components.original.layout import Measured, presets
from autopipe_components.original.pieces import unet_pieces

_PREFIX = "control_model."
_KINDS = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
"""The kind of checkpoint by the width of its prompts."""

_OWN = "controlnet_cond_embedding.conv_in.weight"


class ControlNetLayout(Layout):
    """Files of a `ControlNetModel`, with the names of its authors or those here."""

    @classmethod
    def read(cls, file: SingleFile) -> Contents:
        """See `Layout`."""
        prefix = _PREFIX if any(name.startswith(_PREFIX) for name in file.tensors) else ""
        tensors = file.under(prefix)
        config = _config(file, Measured.of(tensors))
        pieces = {name: Piece(name) for name in tensors}
        if _OWN not in tensors:
            pieces = unet_pieces(tensors, config, prefix)
        return Contents({"controlnet": Network("diffusers", "ControlNetModel", config, pieces)})


def _config(file: SingleFile, measured: Measured) -> Config:
    given = file.config("controlnet")
    if given is not None:
        return given
    if file.original is not None:
        return controlnet_config(file.original)
    kind = _KINDS.get(measured.prompt)
    usual: Config = presets(__package__).get(kind or "", {}).get("controlnet", {})
    if not measured.fits(usual):
        raise UnsupportedCheckpointError(
            f"{file.file} is a ControlNet of a size that is not known; pass config= with the "
            f"folder of the same kind of checkpoint"
        )
    return usual
