"""Conversion, resizing, masks, crops and overlays of PIL images, arrays and tensors.

The public class that uses these functions is in `autopipe_components.image_processor`.

kinds       `ImageInput`, the kinds of images, and output types
arrays      conversion between PIL, numpy and torch
fit         resizing: stretched, filled or cropped
masks       binarising, the region around a mask, and the overlay that pastes it back
"""
