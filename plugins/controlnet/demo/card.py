"""The ControlNet's model card, with the figures that the evaluation found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CARD = """\
---
license: apache-2.0
library_name: diffusers
base_model: demo:stable_diffusion
---

# autopipe demo: outlines of coloured shapes

A small ControlNet, float16, for autopipe's demo checkpoint `demo:stable_diffusion`. It is shown
a white outline on black, 64x64 pixels, and the shape is drawn there. Trained on drawn pictures
alone, by `plugins/controlnet/demo` of the autopipe repository.

```python
from autopipe import AutoPipelineForText2Image, ControlNetModel
from PIL import Image, ImageDraw

outline = Image.new("RGB", (64, 64))
ImageDraw.Draw(outline).ellipse((16, 12, 48, 44), outline="white")

controlnet = ControlNetModel.from_pretrained("demo:controlnet")
pipe = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion", controlnet=controlnet)
pipe("a blue circle", control_image=outline).images[0].save("circle.png")
```

## Figures

Measured on this folder, loaded in float32, by plain image analysis, with fixed seeds; {outlines}
outlines that training has not seen, a fifth of them of pairs of colour and shape withheld from
training, {steps} steps, guidance {guidance}:

```sh
{command}
```

| | |
|---|---|
| intersection over union of the outlined region and what was drawn, mean | {mean_overlap} |
| the same, of the worst tenth | {overlap_of_the_worst_tenth} |
| colour as the prompt names it | {colour_right} % |
"""


def model_card(figures: Mapping[str, Any], settings: Mapping[str, Any], command: str) -> str:
    """The text of the card: what the ControlNet is, its figures and the `command` behind them."""
    return _CARD.format(command=command, **figures, **settings)
