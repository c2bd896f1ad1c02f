"""Folders in both directions.

The text encoder's class moved in diffusers 0.42, which finds it under no name that an index may
have, and takes the object itself only if the index names the library `deprecated`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.pictures import picture

import autopipe

pytestmark = pytest.mark.parity

NAMES = ("AltDiffusionPipeline", "AltDiffusionImg2ImgPipeline")
CALL: dict[str, Any] = {"prompt": "a cat", "num_inference_steps": 3, "output_type": "np"}
ENCODER = "RobertaSeriesModelWithTransformation"


def draw(pipe: Any) -> Any:
    pipe.set_progress_bar_config(disable=True)
    image = {"image": picture()} if "Img2Img" in type(pipe).__name__ else {}
    return pipe(**CALL, **image, generator=torch.Generator().manual_seed(0)).images


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("early", [False, True])
def test_each_library_opens_what_the_other_saves(
    build: Callable[..., Any],
    text_encoders: Callable[..., Any],
    reference: Callable[[Any], Any],
    record: Callable[..., float],
    tmp_path: Path,
    name: str,
    early: bool,
) -> None:
    import diffusers
    from diffusers.pipelines.deprecated import alt_diffusion

    ours = build(getattr(autopipe, name), text_encoder=text_encoders(has_pre_transformation=early))
    theirs = reference(ours)
    expected = draw(theirs)

    ours.save_pretrained(tmp_path / "ours")
    encoder = getattr(alt_diffusion, ENCODER).from_pretrained(tmp_path / "ours" / "text_encoder")
    index = tmp_path / "ours" / "model_index.json"
    assert f'"alt_diffusion",\n    "{ENCODER}"' in index.read_text("utf-8")
    index.write_text(index.read_text("utf-8").replace('"alt_diffusion"', '"deprecated"'), "utf-8")
    there = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "ours", text_encoder=encoder)
    assert type(there) is type(theirs)
    assert record("saved here, loaded there", draw(there), expected) < 1e-4

    theirs.save_pretrained(tmp_path / "theirs")
    here = autopipe.DiffusionPipeline.from_pretrained(tmp_path / "theirs")
    assert type(here) is type(ours)
    assert type(autopipe.DiffusionPipeline.from_pretrained(tmp_path / "ours")) is type(ours)
    assert record("saved there, loaded here", draw(here), expected) < 1e-4
    saved = json.loads((tmp_path / "theirs" / "model_index.json").read_text("utf-8"))
    assert here.index() == {
        **saved,
        "text_encoder": ["alt_diffusion", ENCODER],
        "_diffusers_version": here.index()["_diffusers_version"],
    }
    for library in ("ours", "theirs"):
        config = json.loads((tmp_path / library / "text_encoder" / "config.json").read_text())
        config.pop("transformers_version", None)
        assert config["has_pre_transformation"] is early or library == "theirs"
        assert {"project_dim", "use_attention_mask", "pooler_fn", "learn_encoder"} <= {*config}
