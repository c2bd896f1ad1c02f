"""The checkpoint's model card, with the figures that the evaluation found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .shapes import COLOURS, OUTLINES, POSITIONS, WITHHELD

_CARD = """\
---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---

# autopipe demo: coloured shapes

A Stable Diffusion in miniature, 64x64 pixels: a CLIP text encoder, a U-Net, an autoencoder and
their tokenizer, of the ordinary classes and in the ordinary folder format, float16. It was trained
on drawn pictures alone, by `plugins/stable_diffusion/demo` of the autopipe repository, in stages
whose plans were improved on the way.

It understands one sentence, more or less:

> a [small | large] COLOUR SHAPE [on the left | on the right | at the top | at the bottom]
> [on a COLOUR background]

- colours: {colours}
- shapes: {shapes}
- places: {positions} (the centre goes without saying)

```python
from autopipe import AutoPipelineForText2Image

pipe = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
pipe("a red circle on a white background").images[0].save("circle.png")
```

It is trained for guidance as pipelines use it unless told otherwise, `guidance_scale=7.5`. With
less than 5 it follows the caption less and less, and without guidance hardly at all.

## Figures

Measured on this folder, loaded in float32, by plain image analysis, with fixed seeds:

```sh
{command}
```

Text to image, {t[captions]} captions, {s[steps]} steps, guidance {s[guidance]}:

| | right |
|---|---|
| colour and shape, pairs seen in training | {t[seen_right]} % |
| colour and shape, pairs withheld from training | {t[withheld_right]} % |
| place | {t[position_right]} % |
| background, where the caption names one | {t[background_right]} % |

Image to image at strength {s[strength]}, {i[pictures]} drawn pictures whose object is to change its
colour:

| | |
|---|---|
| colour as asked | {i[colour_right]} % |
| layout kept (same shape, same place) | {i[layout_kept]} % |
| both | {i[both]} % |

Inpainting, {p[pictures]} drawn pictures whose object, under a mask, is to become another one:

| | |
|---|---|
| colour and shape right | {p[right]} % |
| and inside the mask | {p[right_inside_mask]} % |
| rest of the picture unchanged | {p[unchanged_outside]} % |
| mean change outside the mask, of 255 | {p[mean_change_outside]} |

Pairs withheld from training: {withheld}.

## Limits

One shape at a time, in the words above; other words are ignored at best. It is there to try the
library, to test it and to teach it, not to make pictures for use.
"""


def model_card(figures: Mapping[str, Mapping[str, Any]], command: str) -> str:
    """The text of the card: what the checkpoint is, its figures and the `command` behind them."""
    return _CARD.format(
        command=command,
        colours=", ".join(COLOURS),
        shapes=", ".join(OUTLINES),
        positions=", ".join(POSITIONS),
        withheld=", ".join(f"{colour} {shape}" for colour, shape in sorted(WITHHELD)),
        s=figures["settings"],
        t=figures["text_to_image"],
        i=figures["image_to_image"],
        p=figures["inpainting"],
    )
