"""Who gets which argument of a call of prior and decoder in one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autopipe.errors import ArgumentError
from autopipe.kinds import Network
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.call import pipeline_call
from autopipe_kandinsky.combined import CombinedPipeline

EMBEDS = torch.ones(4, 2), torch.zeros(4, 2)


class Prior(DiffusionPipeline):
    """Tells its components what it was called with."""

    def __init__(self, prior: Network) -> None:
        self.register_modules(prior=prior)

    @pipeline_call
    def __call__(
        self,
        prompt: Any,
        negative_prompt: Any = None,
        num_images_per_prompt: int = 1,
        generator: Any = None,
        guidance_scale: float = 4.0,
        return_dict: bool = True,
    ) -> Any:
        self.prior.told.append(("prior", dict(self.call)))
        return EMBEDS


class Decoder(DiffusionPipeline):
    """The same."""

    image_embedding_dim = 2
    required_components = ("unet",)

    def __init__(self, unet: Network) -> None:
        self.register_modules(unet=unet)

    @pipeline_call
    def __call__(
        self,
        image_embeds: Any,
        negative_image_embeds: Any,
        strength: float = 0.5,
        num_images_per_prompt: int = 1,
        generator: Any = None,
        guidance_scale: float = 4.0,
        return_dict: bool = True,
    ) -> Any:
        self.unet.told.append(("decoder", dict(self.call)))
        return "drawn"

    def _begin_embeds(self) -> int:
        if self.call.strength > 1:
            raise ArgumentError("strength")
        self.unet.told.append(("checked", dict(self.call)))
        return len(self.call.image_embeds)

    def prepare_start(self, rows: int) -> None:
        assert rows == len(EMBEDS[0])

    def check_callbacks(self) -> None:
        pass


class Both(CombinedPipeline):
    prior_class = Prior
    decoder_class = Decoder

    def __init__(self, unet: Network, prior_prior: Network) -> None:
        self.register_modules(unet=unet, prior_prior=prior_prior)

    @pipeline_call
    def __call__(
        self,
        prompt: Any,
        negative_prompt: Any = None,
        num_images_per_prompt: int = 1,
        strength: float = 0.5,
        guidance_scale: float = 3.0,
        prior_guidance_scale: float = 2.0,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any:
        return self.run_task()


@pytest.fixture
def told() -> list[tuple[str, dict[str, Any]]]:
    return []


@pytest.fixture
def pipe(told: list[Any]) -> Both:
    networks = torch.nn.Identity(), torch.nn.Identity()
    for network in networks:
        network.told = told
    return Both(*networks)


def test_each_gets_its_own(pipe: Both, told: list[Any]) -> None:
    source = torch.Generator()
    call = {"num_images_per_prompt": 2, "generator": source, "return_dict": False}
    assert pipe(["a", "b"], "c", strength=0.25, **call) == "drawn"
    (_, checked), (_, prior), (_, decoder) = told
    assert [who for who, _ in told] == ["checked", "prior", "decoder"]
    assert prior == {"prompt": ["a", "b"], "negative_prompt": "c", "guidance_scale": 2.0, **call}
    embeds = decoder.pop("image_embeds"), decoder.pop("negative_image_embeds")
    assert embeds == EMBEDS
    assert decoder == {
        "strength": 0.25,
        "guidance_scale": 3.0,
        **call,
        # The embeddings are as many as the images.
        "num_images_per_prompt": 1,
    }
    assert checked["image_embeds"].shape == EMBEDS[0].shape
    assert checked["num_images_per_prompt"] == 1


def test_what_the_decoder_cannot_use_is_refused_first(pipe: Both, told: list[Any]) -> None:
    with pytest.raises(ArgumentError, match="strength"):
        pipe(["a", "b"], strength=2.0, num_images_per_prompt=2)
    assert told == []
