"""The easel: the component in which users load or draw a picture, and paint a mask over it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from .canvas import fitted, mask_in, picture_in, png_of, size_of
from .client import Upload
from .fields import Field
from .form import CANVAS, Form

_CANVAS = (512, 512)
_COLOURS = ("#111827", "#e11d48", "#f59e0b", "#16a34a", "#2563eb")
_OF_MASKS = "#e11d48"


def add_easel(form: Form, fields: Sequence[Field]) -> list[Field]:
    """Add an editor for the first picture and the first mask that a task needs.

    Returns:
        The fields that it doesn't serve.
    """
    picture = next((one for one in fields if one.kind == "image" and one.required), None)
    if picture is None:
        return [*fields]
    mask = next((one for one in fields if one.kind == "mask"), None)
    value: Any = form.sheet.values.get(CANVAS)
    usual = tuple(form.sheet.task.get("size") or _CANVAS)
    shown = size_of(value) or usual
    width = max(2, min(shown) // 14)  # Pixels of the picture, whatever the screen shows.
    if mask is None:
        about, brush = "Load a picture, or draw one.", gr.Brush(width, colors=[*_COLOURS])
    else:
        about = "Load a picture, and paint over the part that is to be redrawn."
        brush = gr.Brush(width, colors=[_OF_MASKS], color_mode="fixed")
    gr.Markdown(about, elem_classes="about")
    editor = gr.ImageEditor(
        value, label=picture.label, type="pil", format="png", brush=brush,
        layers=False, canvas_size=_CANVAS, sources=("upload", "clipboard"), transforms=("crop",),
        elem_id="canvas", buttons=[], height=430,
    )  # fmt: skip

    def read(value: Any, found: dict[str, Any]) -> None:
        image = picture_in(value, with_layers=mask is None)
        if image is None:
            return
        found[picture.name] = Upload(png_of(image), picture.kind)
        found[CANVAS] = value
        if mask is not None and (painted := mask_in(value)) is not None:
            found[mask.name] = Upload(png_of(painted), mask.kind)
        found["size"] = fitted(image.size, (usual[0], usual[1]))

    form.add(editor, read)
    return [one for one in fields if one not in (picture, mask)]
