"""The add-on for image prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn

from autopipe.attaching.attachment import Attachment, Predict
from autopipe.attaching.network_view import Answer
from autopipe.checkpoint.attachable import ANY, open_tensors
from autopipe.errors import ArgumentError, CheckpointError
from autopipe.wording import logger, shown
from autopipe_components.encoders.clip_vision import CLIPVisionModelWithProjection
from autopipe_components.guided import GuidedPipeline
from autopipe_components.networks.unet import UNet2DConditionModel
from autopipe_components.processing.clip_image_processor import CLIPImageProcessor

from .adapter_file import AdapterWeights
from .encoding import check_encoder, embeds_for
from .given import check_embeds, count_of, images_given
from .image_attention import EMBEDS, MASKS, ChangedProjection, ImageAttention, PromptedNetwork
from .inputs import IP_ADAPTER_IMAGE
from .layers import check_fits, layers_of
from .masks import check_masks
from .scales import check_scales, layer_scales

_log = logger(__name__)

Source: TypeAlias = "str | Path | Mapping[str, Any]"

_NAMES = ("ip-adapter*.safetensors", "ip-adapter*.bin", *ANY)
_IMAGE_SIDE = 224
"""The side of the images that CLIP's encoders read, where no encoder says another one."""


class IPAdapter(Attachment):
    """Lets pictures be prompts, beside the text (Ye et al., 2023, arXiv:2308.06721).

    A projection makes tokens of an encoded image, and each attention of a U-Net to its prompt gets
    keys and values for them. Their strength is a scale: a number for all adapters, or a list with
    an entry for each: a number, a list with a number for each masked image, or a dict by block such
    as `{"up": {"block_0": [0.0, 1.0, 0.0]}}`, which leaves out all other blocks.

    Args:
        source: a file, a folder, a repository or a state dict; or a list of them, for several
            adapters at once.
        subfolder, weight_name: the folder in a repository or folder, and the file; or a list.
        image_encoder_folder: the folder with the image encoder, for pipelines without one: relative
            to `subfolder`, or with a `/` in it to the repository. None loads none.
        **options: the keywords of loading, such as `revision` and `token`.

    Raises:
        CheckpointError: if there is no such file.
        WeightsMismatchError: if it is not an IP-Adapter of a supported kind.
        ArgumentError: if lists have different lengths.
    """

    name = "ip_adapter"
    inputs = (IP_ADAPTER_IMAGE,)
    weights: nn.ModuleList

    def __init__(
        self,
        source: Source | Sequence[Source],
        subfolder: str | Sequence[str] | None = None,
        weight_name: str | Sequence[str] | None = None,
        image_encoder_folder: str | None = "image_encoder",
        **options: Any,
    ) -> None:
        options.pop("low_cpu_mem_usage", None)
        self._options, self._reads_images = options, image_encoder_folder is not None
        self._encoder_folder: tuple[str | Path, str] | None = None
        self.weights = nn.ModuleList()
        for place, folder, name in _combined(source, subfolder, weight_name):
            file = open_tensors(place, names=_NAMES, weight_name=name, subfolder=folder, **options)
            self.weights.append(AdapterWeights(file.content, file.origin))
            if self._encoder_folder is None and image_encoder_folder is not None:
                self._encoder_folder = _beside(place, folder, image_encoder_folder)

    @property
    def adapters(self) -> list[AdapterWeights]:
        """The adapters, in their order."""
        return [one for one in self.weights if isinstance(one, AdapterWeights)]

    def check(self, pipe: Any) -> None:
        """Check that the pipeline can have these adapters.

        Raises:
            ArgumentError: if they were trained for another U-Net, or it already has IP-Adapters.
        """
        self.check_fits(pipe)
        others = [name for name, one in pipe.attached(IPAdapter).items() if one is not self]
        if others:
            raise ArgumentError(
                f"this pipeline has IP-Adapters already, attached as {shown(others[0])}; detach "
                f"it, or attach several at once by lists"
            )

    def check_fits(self, pipe: Any) -> None:
        """Check that the pipeline has a U-Net for which these adapters were trained.

        Raises:
            ArgumentError: if not.
        """
        unet = pipe.components.get("unet")
        if not isinstance(unet, UNet2DConditionModel) or not isinstance(pipe, GuidedPipeline):
            raise ArgumentError(
                f"an IP-Adapter needs a pipeline with a UNet2DConditionModel of autopipe as its "
                f"unet; a {type(pipe).__name__} has {shown(type(unet).__name__)}"
            )
        for adapter in self.adapters:
            check_fits(adapter, unet)

    def brings(self, pipe: Any, lacking: Sequence[str]) -> dict[str, Any]:
        """Return the image encoder beside the first file, and a feature extractor for it.

        Raises:
            CheckpointError: if there is no image encoder, although an adapter reads images.
        """
        made: dict[str, Any] = {}
        if "image_encoder" in lacking:
            encoder = self._load_encoder(pipe)
            made = {} if encoder is None else {"image_encoder": encoder}
        encoder = made.get("image_encoder", pipe.components.get("image_encoder"))
        if "feature_extractor" in lacking:
            side = _IMAGE_SIDE if encoder is None else encoder.config.image_size
            made["feature_extractor"] = CLIPImageProcessor(size=side, crop_size=side)
        return made

    def _load_encoder(self, pipe: Any) -> Any:
        if not self._reads_images or all(a.image_proj.reads == "face" for a in self.adapters):
            return None
        if self._encoder_folder is None:
            _log.warning(
                "a state dict comes without an image encoder; give image_encoder= to the pipeline, "
                "or ip_adapter_image_embeds to its calls"
            )
            return None
        place, folder = self._encoder_folder
        try:
            return CLIPVisionModelWithProjection.from_pretrained(
                place, subfolder=folder, torch_dtype=pipe.dtype, **self._options
            )
        except CheckpointError as error:
            raise CheckpointError(
                f"the image encoder of this IP-Adapter can't be loaded ({error}); name its folder "
                f"by image_encoder_folder=, or give None and draw with ip_adapter_image_embeds"
            ) from error

    def check_strength(self, value: Any) -> tuple[Any, ...] | float:
        """Return the scale of each adapter, or 0 if all are 0.

        Raises:
            ArgumentTypeError: if one is not a number, a list or a dict by block.
            ArgumentError: if there are more or fewer than adapters.
        """
        return check_scales(value, len(self.weights))

    def of_call(self, run: Any) -> IPAdapter:
        """Check the image prompts of a call.

        Raises:
            ArgumentError, ArgumentTypeError: if there are none, or they don't fit the adapters, the
                image encoder, or the masks.
        """
        image, embeds = _prompts_of(run)
        if image is not None and embeds is not None:
            return self  # The checks of the call refuse both.
        if image is None and embeds is None:
            raise ArgumentError(
                "an IP-Adapter is attached, but no image prompt is given: give ip_adapter_image or "
                "ip_adapter_image_embeds, or deactivate the adapter by set_ip_adapter_scale(0)"
            )
        if embeds is not None:
            check_embeds("ip_adapter_image_embeds", embeds, self.adapters)
            counts = [one.shape[1] for one in embeds]
        else:
            counts = [count_of(one) for one in images_given(image, self.adapters)]
            check_encoder(run, self.adapters)
        attention = run.call.get("cross_attention_kwargs")
        if isinstance(attention, Mapping) and attention.get(MASKS) is not None:
            check_masks(attention[MASKS], counts)
        return self

    def answers(self, component: str, network: nn.Module, strength: Any) -> Mapping[str, Answer]:
        """Return the replacements of the U-Net and its attention layers.

        Raises:
            ArgumentError: if a scale names a block that the U-Net doesn't have.
        """
        if component != "unet" or not isinstance(network, UNet2DConditionModel):
            return {}
        adapters, layers = self.adapters, layers_of(network)
        every_keys = zip(*(adapter.image_keys for adapter in adapters))
        scales = layer_scales(strength, network, layers.cross)
        found: dict[str, Answer] = {"": PromptedNetwork(adapters)}
        for path, keys, by_adapter in zip(layers.cross, every_keys, scales):
            if any(scale is not None for scale in by_adapter):
                found[path] = ImageAttention(keys, by_adapter)
        changes: dict[str, list[Any]] = {}
        for number, path in enumerate(layers.every):
            for name, lora in (pair for adapter in adapters for pair in adapter.loras_of(number)):
                place = f"{path}.to_out.0" if name == "to_out" else f"{path}.{name}"
                changes.setdefault(place, []).append(lora)
        return {**found, **{path: ChangedProjection(loras) for path, loras in changes.items()}}

    def predict(
        self, run: Any, tensors: Mapping[str, Any], predict: Predict, strength: Any
    ) -> Predict:
        """Encode the image prompts of a call, as conditions of its network."""
        image, embeds = _prompts_of(run)
        encoded = embeds_for(
            run,
            self.adapters,
            image,
            embeds,
            device=tensors["latents"].device,
            guided=run.do_classifier_free_guidance,
            rows=len(tensors["latents"]),
        )
        run.added_conditions = {**run.added_conditions, EMBEDS: encoded}
        return predict


def _prompts_of(run: Any) -> tuple[Any, Any]:
    return run.call.get(IP_ADAPTER_IMAGE.name), run.call.get("ip_adapter_image_embeds")


def _beside(source: Source, subfolder: str | None, folder: str) -> tuple[str | Path, str] | None:
    """Return where the image encoder of a file is: a source and a folder in it; None for a dict."""
    if isinstance(source, Mapping):
        return None
    if Path(source).is_file():
        return Path(source).parent, folder
    return source, folder if "/" in folder or not subfolder else f"{subfolder}/{folder}"


def _combined(*given: Any) -> list[tuple[Any, Any, Any]]:
    """Return the source, folder and file of each adapter; what is given once is for all.

    Raises:
        ArgumentError: if lists have different lengths, or are empty.
    """
    lists = [list(one) if isinstance(one, (list, tuple)) else [one] for one in given]
    count = max(map(len, lists))
    if any(len(one) not in (1, count) for one in lists):
        lengths = ", ".join(str(len(one)) for one in lists)
        raise ArgumentError(
            f"the lists of sources, subfolders and weight names have {lengths} entries; give one "
            f"entry for all adapters, or one for each"
        )
    return list(zip(*(one * count if len(one) == 1 else one for one in lists)))
