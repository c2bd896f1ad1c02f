"""Pictures in and out: PIL, numpy and torch, sizes, masks, crops and overlays.

`autopipe_components.image_processor` has the public class made of these pieces.

kinds       `ImageInput`, what kind of image a value holds, and the output types
arrays      pixels between PIL, numpy and torch
fit         resizing: stretched, filled or cropped, and the sizes a model can take
masks       binarising, the region around a mask, and the overlay that puts it back
"""
