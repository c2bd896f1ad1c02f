"""An unCLIP small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.image_embeddings import DIM, UNET, make_prior_components
from support.tiny import seeded

from autopipe import UnCLIPScheduler, UnCLIPTextProjModel, UNet2DConditionModel, UNet2DModel

DECODER: dict[str, Any] = {
    **UNET,
    "sample_size": 8,
    "in_channels": 3,
    "out_channels": 6,
    "class_embed_type": "identity",
    "encoder_hid_dim": None,
    "block_out_channels": (32, 32),
}
SUPER_RESOLUTION: dict[str, Any] = {
    "sample_size": 16,
    "in_channels": 6,
    "out_channels": 3,
    "block_out_channels": (32, 32),
    "layers_per_block": 1,
    "down_block_types": ("ResnetDownsampleBlock2D",) * 2,
    "up_block_types": ("ResnetUpsampleBlock2D",) * 2,
    "add_attention": False,
    "resnet_time_scale_shift": "scale_shift",
}


def _projection() -> Any:
    made = UnCLIPTextProjModel(
        clip_extra_context_tokens=3,
        clip_embeddings_dim=DIM,
        # A network with classes adds their embedding to the timestep's, of four times the width.
        time_embed_dim=4 * DECODER["block_out_channels"][0],
        cross_attention_dim=DECODER["cross_attention_dim"],
    )
    # With the default, zeros, a test would not notice if it was not used.
    made.learned_classifier_free_guidance_embeddings.data.normal_()
    return made


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The components of both pipelines."""
    made = make_prior_components(tmp_path_factory.mktemp("tokenizer"))
    return {
        "prior": made["prior"],
        "text_encoder": made["text_encoder"],
        "tokenizer": made["tokenizer"],
        "image_encoder": made["image_encoder"],
        "feature_extractor": made["image_processor"],
        "text_proj": seeded(_projection),
        "decoder": seeded(lambda: UNet2DConditionModel(**DECODER)),
        "super_res_first": seeded(lambda: UNet2DModel(**SUPER_RESOLUTION)),
        "super_res_last": seeded(lambda: UNet2DModel(**SUPER_RESOLUTION), seed=1),
        "prior_scheduler": made["scheduler"],
        "decoder_scheduler": UnCLIPScheduler(variance_type="learned_range"),
        "super_res_scheduler": UnCLIPScheduler(),
    }


@pytest.fixture
def build(parts: dict[str, Any]) -> Callable[..., Any]:
    """`build(kind, **components)`: a pipeline of the tiny components."""

    def make(kind: Any, **components: Any) -> Any:
        pipe = kind(**{name: {**parts, **components}[name] for name in kind.module_names()})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make
