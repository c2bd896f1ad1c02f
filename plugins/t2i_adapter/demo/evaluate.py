"""Measure the demo T2I-Adapter as the demo ControlNet is measured, and write its model card.

    python -m demo.evaluate --card

Is what is drawn inside the outline, and in the colour named? Every seed is fixed.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from controlnet_demo.evaluate import contact_sheet, draw_all, figures, outlined_scenes
from controlnet_demo.train import MODEL

from autopipe import AutoPipelineForText2Image
from autopipe_t2i_adapter.t2iadapter import T2IAdapter

DEMO = Path(__file__).parents[1] / "src" / "autopipe_t2i_adapter" / "demo"
STEPS, GUIDANCE = 25, 7.5

_CARD = """\
---
license: apache-2.0
library_name: diffusers
base_model: demo:stable_diffusion
---

# autopipe demo: outlines of coloured shapes

A small T2I-Adapter, float16, for autopipe's demo checkpoint `demo:stable_diffusion`. It is shown
a white outline on black, 64x64 pixels in grey, and the shape is drawn there. Trained on drawn
pictures alone, by `plugins/t2i_adapter/demo` of the autopipe repository.

```python
from autopipe import AutoPipelineForText2Image
from PIL import Image, ImageDraw

outline = Image.new("L", (64, 64))
ImageDraw.Draw(outline).ellipse((16, 12, 48, 44), outline="white")

pipe = AutoPipelineForText2Image.from_pretrained("demo:stable_diffusion")
pipe.attach("t2i_adapter", "demo:t2i_adapter")
pipe("a blue circle", adapter_image=outline).images[0].save("circle.png")
```

## Figures

Measured on this folder, loaded in float32, by plain image analysis, with fixed seeds; {outlines}
outlines that training has not seen, a fifth of them of pairs of colour and shape withheld from
training, {steps} steps, guidance {guidance}:

| | |
|---|---|
| intersection over union of the outlined region and what was drawn, mean | {mean_overlap} |
| the same, of the worst tenth | {overlap_of_the_worst_tenth} |
| colour as the prompt names it | {colour_right} % |
"""


def main() -> None:
    """Read the command line, measure, print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--adapter", type=Path, default=DEMO, help="the adapter's folder")
    parser.add_argument("--outlines", type=int, default=100)
    parser.add_argument("--scale", type=float, default=1.0, help="of the adapter")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    parser.add_argument("--card", action="store_true", help="write the figures to the model card")
    parser.add_argument("--sheet", type=Path, help="file for a contact sheet of the pictures")
    options = parser.parse_args()

    if options.threads:
        torch.set_num_threads(options.threads)
    adapter = T2IAdapter.from_pretrained(options.adapter, torch_dtype=torch.float32)
    pipe = AutoPipelineForText2Image.from_pretrained(
        MODEL, adapter=adapter, torch_dtype=torch.float32
    )
    pipe.set_progress_bar_config(disable=True)
    judged = draw_all(
        pipe,
        outlined_scenes(options.outlines),
        25,
        "adapter_image",
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        adapter_conditioning_scale=options.scale,
    )
    found = figures(judged)
    print(json.dumps(found, indent=2))
    if options.card:
        card = _CARD.format(**found, steps=STEPS, guidance=GUIDANCE)
        Path(options.adapter, "README.md").write_text(card, "utf-8")
    if options.sheet:
        contact_sheet(judged).save(options.sheet)


if __name__ == "__main__":
    main()
