"""A Z-Image small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.pictures import mask, picture
from support.tiny import VAE, seeded
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model

import autopipe
from autopipe import AutoencoderKL, FlowMatchEulerDiscreteScheduler, ZImageTransformer2DModel
from autopipe.pipeline.base import DiffusionPipeline

WIDTH = 12
"""The width of the embeddings of prompts."""

TRANSFORMER: dict[str, Any] = {
    "in_channels": 4,
    "dim": 16,
    "n_layers": 2,
    "n_refiner_layers": 1,
    "n_heads": 2,
    "n_kv_heads": 2,
    "cap_feat_dim": WIDTH,
    "axes_dims": (2, 2, 4),
    "axes_lens": (640, 32, 32),
}

CHAT = (
    "{% for one in messages %}<|im_start|>{{ one.role }}\n{{ one.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>a\n{% endif %}"
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
)
"""What the template of the published checkpoints does, in fewer words."""

CASES: dict[str, dict[str, Any]] = {
    "ZImagePipeline": {"height": 16, "width": 16},
    "ZImageImg2ImgPipeline": {"image": picture(), "strength": 0.7},
    "ZImageInpaintPipeline": {"image": picture(), "mask_image": mask()},
}
"""The pipelines, and the least that their calls need besides a prompt."""


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Knows the bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    further = [256 + number for number in range(256 - len(printable))]
    vocab = {chr(code): number for number, code in enumerate([*printable, *further])}
    special = ["<|im_start|>", "<|im_end|>"]
    return Qwen2Tokenizer(
        vocab=vocab, merges=[], chat_template=CHAT, extra_special_tokens=special
    )  # fmt: skip


def _text_encoder(count: int) -> Any:
    model = Qwen3Model(
        Qwen3Config(
            vocab_size=count,
            hidden_size=WIDTH,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=4,
            max_position_embeddings=640,
        )
    )
    # The usual initial values are so small that all prompts would be alike.
    model.get_input_embeddings().weight.data.normal_()
    return model


def _transformer() -> Any:
    network = ZImageTransformer2DModel(**TRANSFORMER)
    for parameter in network.parameters():
        # Also the tokens that fill sequences, which are zeros before training.
        torch.nn.init.normal_(parameter, std=0.2)
    return network


@pytest.fixture(scope="session")
def networks(tokenizer: Any) -> dict[str, Any]:
    vae = {**VAE, "use_quant_conv": False, "use_post_quant_conv": False}
    scales = {"scaling_factor": 0.36, "shift_factor": 0.12}
    return {
        "vae": seeded(lambda: AutoencoderKL(**vae, **scales)),
        "text_encoder": seeded(lambda: _text_encoder(len(tokenizer)), seed=1),
        "transformer": seeded(_transformer, seed=2),
    }


@pytest.fixture
def build(networks: dict[str, Any], tokenizer: Any) -> Callable[..., Any]:
    """`build(kind, **components)`: a pipeline of the tiny components."""

    def make(kind: type[DiffusionPipeline], **changes: Any) -> Any:
        scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        components = {**networks, "tokenizer": tokenizer, "scheduler": scheduler}
        pipe: Any = kind(**{**components, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make


@pytest.fixture(scope="session")
def folder(
    networks: dict[str, Any], tokenizer: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A checkpoint, saved once for all tests."""
    target = tmp_path_factory.mktemp("checkpoint")
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    pipe = autopipe.ZImagePipeline(scheduler=scheduler, tokenizer=tokenizer, **networks)
    pipe.save_pretrained(target)
    return target


@pytest.fixture(params=CASES)
def kind(request: pytest.FixtureRequest) -> Any:
    """Each pipeline class in turn."""
    return getattr(autopipe, request.param)


@pytest.fixture
def call(kind: Any) -> dict[str, Any]:
    """The arguments of a short call of it."""
    return {"num_inference_steps": 2, "output_type": "pt", **CASES[kind.__name__]}
