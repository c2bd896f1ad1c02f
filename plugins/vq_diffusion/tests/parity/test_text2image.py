"""Text to image against diffusers, seed for seed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.bad_calls import MANY, assert_same_kinds
from support.parity import TOLERANCE, generators

import autopipe
from autopipe import LearnedClassifierFreeSamplingEmbeddings, Transformer2DModel
from autopipe import VQDiffusionPipeline as Pipe

pytestmark = pytest.mark.parity

LEARNED = "learned_classifier_free_sampling_embeddings"
CLASSES = torch.randint(0, 17, (1, 64), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(
    "call",
    [
        {},
        {"num_inference_steps": 10},
        {"prompt": ["a cat", "dog"], "num_images_per_prompt": 2},
        {"guidance_scale": 1.0},
        {"guidance_scale": 0.5, "truncation_rate": 0.5},
        {"truncation_rate": 0.86},
        {"truncation_rate": 0.0},
        {"latents": CLASSES},
        {"seed": None},
    ],
    ids=lambda call: ",".join(call) or "plain",
)
def test_parameters(compare: Callable[..., Any], call: dict[str, Any]) -> None:
    """One class that differs would change pixels by much more than the tolerance."""
    compare(Pipe, **call)


def test_the_empty_text_in_place_of_learned_embeddings(compare: Callable[..., Any]) -> None:
    none = LearnedClassifierFreeSamplingEmbeddings(False)
    made = compare(Pipe, ["a cat", "dog"], components={LEARNED: none})
    assert np.abs(made - compare(Pipe, ["a cat", "dog"])).max() > 10 * TOLERANCE


@pytest.mark.parametrize("change", [{"prompt": "dog"}, {"truncation_rate": 0.2}, {"seed": 1}])
def test_parameters_change_the_image(compare: Callable[..., Any], change: dict[str, Any]) -> None:
    """Check that the comparisons above compare different pictures."""
    assert np.abs(compare(Pipe) - compare(Pipe, **change)).max() > 10 * TOLERANCE


def test_kinds_of_errors(build: Callable[..., Any], reference: Callable[[Any], Any]) -> None:
    ours = build(Pipe)
    call = {"prompt": "a cat", "num_inference_steps": 2}
    # There, calls take no list, of whatever length.
    assert_same_kinds(ours, reference(ours), call, besides=[{"generator": MANY}])


@pytest.mark.parametrize("norm_type", ["ada_norm", "layer_norm"])
def test_weights_of_a_large_config(norm_type: str) -> None:
    """With either name of the normalisation, keys, shapes and config are the same."""
    import diffusers

    config = {
        "num_attention_heads": 16,
        "attention_head_dim": 64,
        "num_layers": 19,
        "cross_attention_dim": 512,
        "attention_bias": True,
        "sample_size": 32,
        "num_vector_embeds": 4097,
        "activation_fn": "geglu-approximate",
        "num_embeds_ada_norm": 100,
        "norm_type": norm_type,
    }
    with torch.device("meta"):
        ours, theirs = Transformer2DModel(**config), diffusers.Transformer2DModel(**config)
    shapes = [{n: one.shape for n, one in net.state_dict().items()} for net in (ours, theirs)]
    assert shapes[0] == shapes[1]
    assert all(theirs.config[name] == value for name, value in config.items())
    known = [name for name in ours.config if not name.startswith("_")]
    assert {n: ours.config[n] for n in known} == {n: theirs.config[n] for n in known}


def test_checkpoints_both_ways(
    build: Callable[..., Any],
    reference: Callable[[Any], Any],
    record: Callable[..., float],
    tmp_path: Path,
) -> None:
    """Diffusers 0.42 finds its own class for learned embeddings by neither form of the entry. With
    another that it finds, and the object, it opens ours."""
    import diffusers

    ours = build(Pipe)
    theirs = reference(ours)
    ours.save_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs")
    index = json.loads((tmp_path / "theirs/model_index.json").read_text(encoding="utf-8"))
    assert index[LEARNED] == ["diffusers", "LearnedClassifierFreeSamplingEmbeddings"]
    index = json.loads((tmp_path / "ours/model_index.json").read_text(encoding="utf-8"))
    assert index[LEARNED] == ["vq_diffusion", "LearnedClassifierFreeSamplingEmbeddings"]
    index[LEARNED][0] = "deprecated"
    shutil.copytree(tmp_path / "ours", tmp_path / "found")
    (tmp_path / "found/model_index.json").write_text(json.dumps(index), encoding="utf-8")
    given = {LEARNED: getattr(theirs, LEARNED)}
    pipes = (
        ours,
        diffusers.VQDiffusionPipeline.from_pretrained(tmp_path / "found", **given),
        autopipe.DiffusionPipeline.from_pretrained(tmp_path / "ours"),
        autopipe.DiffusionPipeline.from_pretrained(tmp_path / "theirs"),
        autopipe.AutoPipelineForText2Image.from_pretrained(tmp_path / "theirs"),
    )
    drawn = []
    for pipe in pipes:
        pipe.set_progress_bar_config(disable=True)
        call = {"num_inference_steps": 2, "output_type": "np"}
        drawn.append(pipe("a cat", **call, generator=generators(0)).images)
    for image in drawn[1:]:
        assert record("checkpoints of both", drawn[0], image) <= TOLERANCE
