"""A first picture imports nothing that it doesn't need; each runs in a new interpreter."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.first_picture import check_light, imported_by, too_much

CALL = {"prompt": "a red circle", "num_inference_steps": 2}


def test_a_picture_of_the_demo(tmp_path: Path) -> None:
    check_light("demo:stable_diffusion", CALL, tmp_path)


def test_a_picture_with_a_controlnet(tmp_path: Path) -> None:
    code = (
        "import autopipe\n"
        "from PIL import Image\n"
        "net = autopipe.ControlNetModel.from_pretrained('demo:controlnet')\n"
        "pipe = autopipe.AutoPipelineForText2Image.from_pretrained('demo:stable_diffusion',"
        " controlnet=net)\n"
        f"pipe(image=Image.new('RGB', (64, 64)), **{CALL!r})"
    )
    assert too_much(imported_by(code, tmp_path)) == []


@pytest.mark.parametrize("task", ["Image2Image", "Inpainting"])
def test_a_picture_from_a_picture(task: str, tmp_path: Path) -> None:
    mask = ", mask_image=image" if task == "Inpainting" else ""
    code = (
        "import autopipe\n"
        "from PIL import Image\n"
        "image = Image.new('RGB', (64, 64))\n"
        f"pipe = autopipe.AutoPipelineFor{task}.from_pretrained('demo:stable_diffusion')\n"
        f"pipe(image=image{mask}, **{CALL!r})"
    )
    assert too_much(imported_by(code, tmp_path)) == []


def test_the_command(tmp_path: Path) -> None:
    line = ["generate", "a red circle", "--steps", "2", "-o", str(tmp_path / "picture.png")]
    code = f"from autopipe.cli import main\nassert main({line!r}) == 0"
    assert too_much(imported_by(code, tmp_path)) == []
    assert (tmp_path / "picture.png").is_file()


def test_what_is_too_much_is_seen(tmp_path: Path) -> None:
    code = "import autopipe.placement.parts, transformers, torch._dynamo"
    found = too_much(imported_by(code, tmp_path))
    assert {"accelerate", "transformers", "torch._dynamo"} <= {*found}
    assert too_much(["autopipe.auto", "autopipe_zoo", "json", "numpy.linalg", "tokenizers"]) == []
