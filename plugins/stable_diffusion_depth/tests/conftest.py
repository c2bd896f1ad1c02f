"""A depth model small enough to run in milliseconds, with seeded random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from support import tiny
from transformers import CLIPTextModel, DPTConfig, DPTForDepthEstimation, DPTImageProcessorPil

from autopipe import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from autopipe.pipeline.base import DiffusionPipeline

SCHEDULER = {**tiny.BETAS, "skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}
SIDE = 32
"""The pixels along each side of what the estimator sees."""

_PLAIN: dict[str, Any] = {
    "hidden_size": 8,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "image_size": SIDE,
    "patch_size": 16,
    "neck_hidden_sizes": [8, 8, 8, 8],
    "fusion_hidden_size": 8,
    "backbone_out_indices": [0, 1, 2, 3],
}
_HYBRID: dict[str, Any] = {
    **_PLAIN,
    "is_hybrid": True,
    "backbone_featmap_shape": [1, 32, 2, 2],
    "neck_hidden_sizes": [32, 32, 8, 8],
    "backbone_config": {
        "model_type": "bit",
        "global_padding": "same",
        "layer_type": "bottleneck",
        "depths": [1, 1, 1],
        "hidden_sizes": [32, 32, 32],
        "embedding_size": 8,
        "num_groups": 2,
        "out_features": ["stage1", "stage2", "stage3"],
        "embedding_dynamic_padding": True,
    },
}


def make_estimator(**config: Any) -> DPTForDepthEstimation:
    """Return an estimator whose depth depends on what it sees."""

    def make() -> DPTForDepthEstimation:
        model = DPTForDepthEstimation(DPTConfig(**config))
        # The default initial values are so small that the depth of everything would be zero.
        for parameter in model.parameters():
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.3)
        model.head.head[-2].bias.data.fill_(5.0)
        return model

    return tiny.seeded(make, seed=4)


@pytest.fixture(scope="session")
def estimators() -> dict[str, DPTForDepthEstimation]:
    """Both kinds of estimators."""
    return {"plain": make_estimator(**_PLAIN), "hybrid": make_estimator(**_HYBRID)}


@pytest.fixture(scope="session")
def parts(
    tmp_path_factory: pytest.TempPathFactory, estimators: dict[str, DPTForDepthEstimation]
) -> dict[str, Any]:
    """The components, which all pipelines of the tests share."""
    tokenizer = tiny.make_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    unet = {**tiny.UNET, "in_channels": 5, "out_channels": 4}
    return {
        "vae": tiny.seeded(lambda: AutoencoderKL(**tiny.VAE)),
        "text_encoder": tiny.make_text_encoder(CLIPTextModel, tokenizer),
        "tokenizer": tokenizer,
        "unet": tiny.seeded(lambda: UNet2DConditionModel(**unet), seed=1),
        "scheduler": PNDMScheduler(**SCHEDULER),
        "depth_estimator": estimators["plain"],
        "feature_extractor": DPTImageProcessorPil(size={"height": SIDE, "width": SIDE}),
    }


@pytest.fixture
def build(parts: dict[str, Any]) -> Callable[..., Any]:
    """`build(kind, **components)`: a pipeline of the tiny components."""

    def make(kind: type[DiffusionPipeline], **changes: Any) -> Any:
        pipe: Any = kind(**{**parts, **changes})
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return make
