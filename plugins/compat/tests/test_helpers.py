"""Mixins, deprecations, versions, keys of LoRAs and other small names."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

import autopipe
from autopipe import AutoencoderKL, DiffusionPipeline, StableDiffusionPipeline
from autopipe.errors import ArgumentError, ArgumentTypeError, MissingPackageError
from autopipe.image_processor import is_valid_image, is_valid_image_imagelist
from autopipe.loaders import (
    FromOriginalModelMixin,
    IPAdapterMixin,
    LoraLoaderMixin,
    TextualInversionLoaderMixin,
)
from autopipe.pipelines.auto_pipeline import AUTO_INPAINT_PIPELINES_MAPPING
from autopipe.pipelines.pipeline_utils import StableDiffusionMixin
from autopipe.registry import default_registry
from autopipe.utils import (
    check_min_version,
    convert_state_dict_to_diffusers,
    convert_state_dict_to_kohya,
    convert_state_dict_to_peft,
    deprecate,
    is_accelerate_version,
    is_torch_available,
    is_torch_version,
    is_xformers_available,
    replace_example_docstring,
    requires_backends,
)
from autopipe.utils.hub_utils import load_or_create_model_card, populate_model_card
from autopipe.utils.import_utils import compare_versions
from autopipe.utils.torch_utils import is_compiled_module, unwrap_module


class Bare(DiffusionPipeline, StableDiffusionMixin, TextualInversionLoaderMixin, LoraLoaderMixin):
    """A pipeline as community files declare it."""

    def __init__(self, vae: Any) -> None:
        self.register_modules(vae=vae)

    def __call__(self, number: int) -> int:
        return number + 1


@pytest.fixture(scope="module")
def vae() -> Any:
    return AutoencoderKL.from_pretrained("demo:stable_diffusion", subfolder="vae")


def test_mixins_combine_with_pipelines(vae: Any) -> None:
    pipe = Bare(vae)
    assert pipe(1) == 2
    for mixin in (StableDiffusionMixin, TextualInversionLoaderMixin, LoraLoaderMixin):
        assert isinstance(pipe, mixin)
    pipe.enable_vae_slicing()
    assert pipe.vae.use_slicing
    pipe.disable_vae_slicing()
    assert not pipe.vae.use_slicing
    assert copy.copy(pipe)(1) == 2
    assert pickle.loads(pickle.dumps(pipe))(1) == 2


@pytest.mark.parametrize(
    "mixin",
    [StableDiffusionMixin, TextualInversionLoaderMixin, LoraLoaderMixin, IPAdapterMixin],
)
def test_mixins_combine_with_every_class_of_pipelines(mixin: Any) -> None:
    for name in default_registry().names():
        kind = getattr(autopipe, name)
        if isinstance(kind, type) and issubclass(kind, DiffusionPipeline):
            for bases in ((kind, mixin), (mixin, kind)):
                if not issubclass(kind, mixin) or mixin not in kind.__mro__:
                    assert issubclass(type("Mine", bases, {}), mixin)


def test_a_mixin_stands_for_a_method() -> None:
    class Plain(DiffusionPipeline):
        pass

    class Loads(DiffusionPipeline):
        def load_ip_adapter(self) -> None: ...

    assert issubclass(StableDiffusionPipeline, StableDiffusionMixin)
    assert not issubclass(Plain, StableDiffusionMixin)
    assert issubclass(Loads, IPAdapterMixin)
    assert issubclass(Plain, IPAdapterMixin) == hasattr(Plain, "load_ip_adapter")
    assert issubclass(Plain, LoraLoaderMixin) == hasattr(Plain, "load_lora_weights")
    assert not isinstance(3, LoraLoaderMixin)
    assert not issubclass(Plain, FromOriginalModelMixin)


def test_a_subclass_of_a_mixin_is_a_class_of_its_own(vae: Any) -> None:
    class Other(Bare):
        pass

    assert not isinstance(Bare(vae), Other)
    assert isinstance(Other(vae), Bare)


def test_deprecations_take_old_arguments() -> None:
    old = {"size": 3}
    with pytest.warns(FutureWarning, match=r"argument size is deprecated.*1\.0\.0\. Use height"):
        assert deprecate("size", "1.0.0", "Use height", take_from=old) == 3
    assert old == {}
    with pytest.warns(FutureWarning) as caught:
        assert deprecate(("a", "1.0", "x"), ("b", "1.0", "y"), take_from={"a": 1, "b": 2}) == (1, 2)
    assert len(caught) == 2
    with pytest.warns(FutureWarning, match="^only this$"):
        assert deprecate("thing", "1.0.0", "only this", standard_warn=False) is None

    class Holder:
        old = 5

    with pytest.warns(FutureWarning):
        assert deprecate("old", "1.0.0", "x", take_from=Holder()) == 5
    with pytest.raises(ArgumentTypeError, match=r"test_deprecations.* has no keyword 'colour'"):
        deprecate("size", "1.0.0", "x", take_from={"colour": 1})
    with pytest.raises(ArgumentError, match=r"to be removed in version 0\.1\.0"):
        deprecate("size", "0.1.0", "x")


def test_versions() -> None:
    check_min_version("0.20.0")
    check_min_version("0.42.0.dev0")
    with pytest.raises(ImportError, match=r"needs diffusers 9\.0"):
        check_min_version("9.0")
    assert is_torch_available()
    assert not is_xformers_available()
    assert is_torch_version(">=", "2.0")
    assert not is_torch_version("<", "2.0")
    assert is_accelerate_version("!=", "0.1")
    assert compare_versions("torch", ">", "1.0")
    with pytest.raises(ArgumentError, match="no comparison '=>'"):
        compare_versions("torch", "=>", "1.0")
    requires_backends(test_versions, ["torch", "transformers"])
    with pytest.raises(MissingPackageError, match=r"test_versions needs.*invisible-watermark"):
        requires_backends(test_versions, ["torch", "invisible_watermark"])


def test_examples_go_into_docstrings() -> None:
    @replace_example_docstring("\n    Examples:\n        draw()\n")
    def documented() -> None:
        """Draw.

        Examples:
        """

    assert "draw()" in str(documented.__doc__)
    with pytest.raises(ArgumentError, match="no line 'Examples:'"):
        replace_example_docstring("x")(lambda: None)


def test_images_are_recognised() -> None:
    picture = PIL.Image.new("RGB", (2, 2))
    for valid in (picture, np.zeros((2, 2)), torch.zeros(3, 2, 2)):
        assert is_valid_image(valid)
        assert is_valid_image_imagelist(valid)
        assert is_valid_image_imagelist([valid, picture])
    assert is_valid_image_imagelist(torch.zeros(1, 3, 2, 2))
    for wrong in ("x", np.zeros(2), torch.zeros(1, 3, 2, 2)):
        assert not is_valid_image(wrong)
    assert not is_valid_image_imagelist([picture, "x"])


def test_the_mappings_have_the_pipelines_of_the_task() -> None:
    names = {one.__name__ for one in AUTO_INPAINT_PIPELINES_MAPPING.values()}
    assert "StableDiffusionInpaintPipeline" in names
    assert "StableDiffusionPipeline" not in names


def test_compiled_modules() -> None:
    network = torch.nn.Linear(2, 2)
    compiled = torch.compile(network)
    assert is_compiled_module(compiled)
    assert not is_compiled_module(network)
    assert unwrap_module(compiled) is network is unwrap_module(network)


def test_keys_of_loras_that_are_none() -> None:
    state = {"unet.conv.weight": torch.ones(1)}
    for convert in (
        convert_state_dict_to_peft,
        convert_state_dict_to_diffusers,
        convert_state_dict_to_kohya,
    ):
        with pytest.raises(ArgumentError, match="unknown format"):
            convert(state)
    own = {"a.q_proj.lora_linear_layer.up.weight": torch.ones(1)}
    assert convert_state_dict_to_diffusers(own) is own


def test_a_model_card() -> None:
    card = load_or_create_model_card(
        from_training=True, license="mit", base_model="owner/base", prompt="a sks cat",
        model_description="# A cat",
    )  # fmt: skip
    populate_model_card(card, tags=["lora", "text-to-image"])
    populate_model_card(card, tags="more")
    text = str(card)
    assert "# A cat" in text
    assert card.data.tags == ["lora", "text-to-image", "more"]
    assert card.data.library_name == "diffusers"
    assert "instance_prompt: a sks cat" in text
    assert "pipeline" in str(load_or_create_model_card(is_pipeline=True))
