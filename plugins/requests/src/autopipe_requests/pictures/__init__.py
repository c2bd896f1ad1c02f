"""Texts in image and sound files: the record, and what other programs wrote there.

Where each format has them:

- PNG: text chunks `autopipe` and `parameters`, before or after the pixels.
- JPEG and WebP: XMP has the record, EXIF's user comment has `parameters`. Editors of images keep
  properties of XMP that they don't know, and programs that show captions don't show them. ComfyUI
  writes `prompt:` and `workflow:` into EXIF's make, model or description.
- GIF: the comment. WAV: the comment `ICMT` of the list `INFO`.
"""

from __future__ import annotations

from .reading import PARAMETERS, suffix_of, texts_of
from .writing import FORMATS, add_to_wav, save_image

__all__ = ["FORMATS", "PARAMETERS", "add_to_wav", "save_image", "suffix_of", "texts_of"]
