"""Which class of an encoder a checkpoint gets: a light one in lines that claim it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from support.public import CHECKPOINTS

from autopipe import StableDiffusionPipeline, StableDiffusionSafetyChecker
from autopipe.checkpoint.build import WithoutMemory
from autopipe.checkpoint.foreign.models import build, find_class
from autopipe.manifest import Component, Family, Pipeline
from autopipe.registry import default_registry
from autopipe.resolution.targets import load_target
from autopipe.tasks import Task
from autopipe_components.claims import LIGHT
from autopipe_components.encoders.clip_text import CLIPTextModel

FAMILIES = ("stable_diffusion", "sdxl", "controlnet", "deepfloyd_if", "kandinsky21", "kandinsky22")
DEMO = "demo:stable_diffusion"


@pytest.mark.parametrize("family", FAMILIES)
def test_families_claim_all_of_them_for_their_pipelines(family: str) -> None:
    registry = default_registry()
    for pipeline in registry.families[family].pipelines:
        for light in LIGHT:
            found = registry.component(light.library, light.name, pipeline)
            assert found is not None
            assert found.target == light.target


def test_the_classes_of_claims_are_those_of_transformers() -> None:
    for light in LIGHT:
        cls: Any = load_target(light.target)
        assert cls.__name__ == light.name
        assert getattr(cls, "twin", light.name) == light.name
        assert hasattr(transformers, light.name)
        assert default_registry().identity(cls) == ("transformers", light.name)


def test_lines_of_others_get_the_classes_of_transformers() -> None:
    registry = default_registry()
    stranger = Pipeline("ZooPipeline", "zoo:ZooPipeline", Task.TEXT2IMAGE, "zoo")
    assert Family("zoo", pipelines=(stranger,)).components == ()
    for light in LIGHT:
        assert registry.component(light.library, light.name, stranger) is None
        assert registry.component(light.library, light.name) is None


def test_nothing_is_in_dispute() -> None:
    claims = {(one.library, one.name) for one in LIGHT}
    assert all(isinstance(one, Component) for one in LIGHT)
    assert not [one for one in default_registry().problems if str(claims) in str(one)]


@torch.no_grad()
def test_a_pipeline_loads_saves_and_takes_either(tmp_path: Path) -> None:
    pipe = StableDiffusionPipeline.from_pretrained(DEMO)
    assert type(pipe.text_encoder) is CLIPTextModel
    theirs = pipe.text_encoder.to_transformers()
    call = {"prompt": "a red circle", "num_inference_steps": 2, "output_type": "np"}

    def drawn(pipe: Any) -> Any:
        pipe.set_progress_bar_config(disable=True)
        return pipe(**call, generator=torch.Generator().manual_seed(0)).images

    expected = drawn(pipe)
    other = StableDiffusionPipeline.from_pretrained(DEMO, text_encoder=theirs)
    assert other.text_encoder is theirs
    assert (drawn(other) == expected).all()
    for name, one in (("ours", pipe), ("theirs", other)):
        one.save_pretrained(tmp_path / name)
        index = json.loads((tmp_path / name / "model_index.json").read_text("utf-8"))
        assert index["text_encoder"] == ["transformers", "CLIPTextModel"]
        again = StableDiffusionPipeline.from_pretrained(tmp_path / name)
        assert type(again.text_encoder) is CLIPTextModel
        assert (drawn(again) == expected).all()
    weights = [(tmp_path / one / "text_encoder/model.safetensors") for one in ("ours", "theirs")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_first_picture_imports_no_network_of_transformers() -> None:
    code = f"""
import sys
from autopipe import StableDiffusionPipeline, StableDiffusionSafetyChecker
from autopipe.checkpoint.build import WithoutMemory
from autopipe.checkpoint.foreign.models import build, find_class
pipe = StableDiffusionPipeline.from_pretrained({DEMO!r})
pipe("a red circle", num_inference_steps=1)
heavy = "transformers.modeling_utils", "transformers.models.clip.modeling_clip", "torch._dynamo"
sys.stdout.write(str([name for name in heavy if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[]", 0), done.stderr


PUBLISHED = sorted(
    file
    for part in ("text_encoder", "text_encoder_2", "image_encoder", "safety_checker")
    for file in CHECKPOINTS.glob(f"*/{part}/config.json")
)


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: f"{file.parts[-3]}/{file.parts[-2]}")
def test_configs_of_published_checkpoints(file: Path) -> None:
    """The safety checker's tensors are compared with those of diffusers by a parity test."""
    config = json.loads(file.read_text("utf-8"))
    name = config["architectures"][0]
    known = {light.name: light.target for light in LIGHT}
    cls: Any = load_target(known[name]) if name in known else StableDiffusionSafetyChecker
    with WithoutMemory():
        ours = cls.from_config(config)
        theirs: Any = build(find_class(name), config, file.parent) if name in known else None
    if theirs is not None:
        expected = {key: value.shape for key, value in theirs.state_dict().items()}
        assert {key: value.shape for key, value in ours.state_dict().items()} == expected
        for entry, value in type(theirs.config).from_dict(config).to_dict().items():
            if entry in ours.config.to_dict() and entry != "dtype":
                assert ours.config.to_dict()[entry] == value, entry
    else:
        assert ours.config.vision_config.hidden_size == 1024
