"""The layout in which latent diffusion models are published: all networks in one file."""

from __future__ import annotations

import functools
import json
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, ClassVar, Literal

from autopipe.checkpoint.formats.headers import TensorInfo
from autopipe.checkpoint.single.layout import Contents, Joined, Layout, Network, Piece, SingleFile
from autopipe.errors import (
    ArgumentError,
    UnsupportedCheckpointError,
    WeightsMismatchError,
    nearest,
)
from autopipe.wording import shown

from .clip_vocabulary import clip_tokenizer
from .configs import scheduler_entries, unet_config, vae_config
from .pieces import (
    clip_joined,
    clip_pieces,
    open_clip_joined,
    open_clip_pieces,
    unet_joined,
    unet_pieces,
    vae_joined,
    vae_pieces,
)

Config = Mapping[str, Any]

_OWN = "conv_in.weight"
"""A tensor by which the names of a U-Net are those here."""

UNET, VAE = "model.diffusion_model.", "first_stage_model."

SCHEDULERS = {
    "ddim": "DDIMScheduler",
    "dpm": "DPMSolverMultistepScheduler",
    "euler": "EulerDiscreteScheduler",
    "euler-ancestral": "EulerAncestralDiscreteScheduler",
    "heun": "HeunDiscreteScheduler",
    "lms": "LMSDiscreteScheduler",
    "pndm": "PNDMScheduler",
}
"""The short names that `scheduler_type=` takes."""

_PROMPT = "attn2.to_k.weight"

_SCHEDULER = "scheduler/scheduler_config.json"


@dataclass(frozen=True)
class Encoder:
    """A text encoder in a file.

    Attributes:
        component: its component.
        prefix: the beginning of the names of its tensors.
        form: whose names the tensors have.
        name: its class.
    """

    component: str
    prefix: str
    form: Literal["transformers", "open_clip"]
    name: str = "CLIPTextModel"


@dataclass(frozen=True)
class Kind:
    """A kind of checkpoint with this layout.

    Attributes:
        pipeline: the class of its pipeline.
        configs: the configs of its networks, by component, which are used if the caller gives none.
        scheduler: the config of its scheduler.
        others: options of the pipeline, and entries of its index.
        padding: the token that fills up short prompts, by tokenizer.
        assumed: what was assumed about the file.
    """

    pipeline: str
    configs: Mapping[str, Config]
    scheduler: Config
    others: Config = field(default_factory=dict)
    padding: Mapping[str, str] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """What the shapes of a U-Net or a ControlNet tell.

    Attributes:
        channels: of its input.
        width: the channels of the first level.
        prompt: the width of encoded prompts; 0 without cross-attention.
    """

    channels: int
    width: int
    prompt: int

    @classmethod
    def of(cls, tensors: Mapping[str, TensorInfo]) -> Measured:
        """Measure a network.

        Args:
            tensors: its tensors, by the names of its authors or those here.

        Raises:
            WeightsMismatchError: if its first convolution isn't one.
        """
        first = tensors.get("input_blocks.0.0.weight") or tensors.get("conv_in.weight")
        if first is None or len(first.shape) != 4:
            raise WeightsMismatchError(
                f"the first convolution of the network has the shape "
                f"{first and first.shape}, not four axes; fetch the file again"
            )
        keys = (one.shape for name, one in tensors.items() if name.endswith(_PROMPT))
        prompt = next((shape[-1] for shape in keys if shape), 0)
        return cls(first.shape[1], first.shape[0], prompt)

    def fits(self, config: Config) -> bool:
        """Whether a network with this `config` has these shapes."""
        widths = config.get("block_out_channels") or [0]
        return (widths[0], config.get("cross_attention_dim")) == (self.width, self.prompt)


@functools.cache
def presets(package: str) -> dict[str, Any]:
    """Return the content of `single_file.json` in a package: configs by kind of checkpoint."""
    text = resources.files(package).joinpath("single_file.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


class LatentDiffusion(Layout):
    """A U-Net, an autoencoder and text encoders in one file, or the U-Net alone.

    Attributes:
        encoders: the text encoders that such a file may have.
        pipelines: the classes of pipelines that can be written to such a file.
    """

    encoders: ClassVar[tuple[Encoder, ...]]
    pipelines: ClassVar[tuple[str, ...]]

    @classmethod
    @abstractmethod
    def kind_of(cls, file: SingleFile, unet: Measured) -> Kind:
        """Return which kind of checkpoint `file` is."""

    @classmethod
    def read(cls, file: SingleFile) -> Contents:
        """See `Layout`."""
        prefix = UNET if any(name.startswith(UNET) for name in file.tensors) else ""
        unet = file.under(prefix)
        measured = Measured.of(unet)
        kind = cls.kind_of(file, measured)
        config = _config(file, kind, "unet")
        if config is kind.configs.get("unet") and not measured.fits(config):
            raise _unknown(file, "unet")
        pieces = unet_pieces(unet, config, prefix)
        if _OWN in unet:
            pieces = {name: Piece(name) for name in unet}
        networks = {"unet": Network("diffusers", "UNet2DConditionModel", config, pieces)}
        if not prefix:
            return Contents(networks, assumed=kind.assumed)
        if autoencoder := file.under(VAE):
            config = _config(file, kind, "vae")
            pieces = vae_pieces(autoencoder, config, VAE)
            networks["vae"] = Network("diffusers", "AutoencoderKL", config, pieces)
        for one in cls.encoders:
            if tensors := file.under(one.prefix):
                config = _config(file, kind, one.component)
                pieces = _encoder(one, tensors, config)
                networks[one.component] = Network("transformers", one.name, config, pieces)
        return _with_the_rest(file, kind, networks)

    @classmethod
    def write(
        cls, pipeline: str, components: Mapping[str, tuple[Config, Mapping[str, TensorInfo]]]
    ) -> Mapping[str, Joined] | None:
        """See `Layout`."""
        if pipeline not in cls.pipelines:
            return None
        found: dict[str, Joined] = {}
        writers = {"unet": (unet_joined, UNET), "vae": (vae_joined, VAE)}
        for name, (join, prefix) in writers.items():
            if name in components:
                config, tensors = components[name]
                found |= join(name, tensors, config, prefix)
        for name in {one.component for one in cls.encoders} & components.keys():
            config, tensors = components[name]
            one = cls.encoder_of(name, {n: given for n, (given, _) in components.items()})
            if one.form == "open_clip":
                found |= open_clip_joined(name, tensors, config, one.prefix)
            else:
                found |= clip_joined(name, tensors, one.prefix)
        return found

    @classmethod
    @abstractmethod
    def encoder_of(cls, component: str, configs: Mapping[str, Config]) -> Encoder:
        """Return where a text encoder lies in a file.

        Args:
            component: the text encoder.
            configs: the config of each network, by component.
        """


def _config(file: SingleFile, kind: Kind, component: str) -> Config:
    """Return the config of a network: what the caller gives, else what is usual for the kind."""
    given = file.config(component)
    if given is not None:
        return given
    usual = kind.configs.get(component)
    if file.original is not None and component == "vae":
        return {**(usual or {}), **vae_config(file.original)}
    if file.original is not None and component == "unet":
        size = (usual or {}).get("sample_size", 64)
        return {**(usual or {}), **unet_config(file.original, size)}
    if usual is None:
        raise _unknown(file, component)
    return usual


def _unknown(file: SingleFile, component: str) -> UnsupportedCheckpointError:
    return UnsupportedCheckpointError(
        f"{file.file} has a {component} of a size that is not known, so its config can't be told "
        f"from its tensors; pass config= with the folder of the same kind of checkpoint"
    )


def _encoder(one: Encoder, tensors: Mapping[str, TensorInfo], config: Config) -> dict[str, Piece]:
    if one.form == "transformers":
        return clip_pieces(tensors, one.prefix)
    return open_clip_pieces(tensors, config, one.prefix, one.name.endswith("WithProjection"))


def _with_the_rest(file: SingleFile, kind: Kind, networks: Mapping[str, Network]) -> Contents:
    """Return the contents with a scheduler and tokenizers."""
    scheduler = dict(kind.scheduler)
    changes: dict[str, dict[str, Any]] = {}
    if file.original is not None:
        scheduler |= scheduler_entries(file.original)
    if file.prediction_type is not None:
        changes[_SCHEDULER] = {"prediction_type": file.prediction_type}
    name = scheduler.pop("_class_name")
    index = {name: pair for name, pair in kind.others.items() if pair == [None, None]}
    if file.scheduler_type is not None:
        if file.scheduler_type not in SCHEDULERS:
            raise ArgumentError(
                f"there is no scheduler_type {shown(file.scheduler_type)}."
                f"{nearest(file.scheduler_type, SCHEDULERS)} Known: {', '.join(SCHEDULERS)}"
            )
        name = SCHEDULERS[file.scheduler_type]
        index["scheduler"] = ["diffusers", name]
    changes["model_index.json"] = index
    others: dict[str, Any] = {**kind.others, "scheduler": ["diffusers", name]}
    files: dict[str, Config | Callable[[], bytes]] = {
        _SCHEDULER: {**scheduler, "_class_name": name}
    }
    for component in networks:
        if component.startswith("text_encoder"):
            tokenizer = component.replace("text_encoder", "tokenizer")
            others[tokenizer] = ["transformers", "CLIPTokenizer"]
            files |= clip_tokenizer(tokenizer, kind.padding.get(tokenizer, "<|endoftext|>"))
    return Contents(networks, kind.pipeline, others, files, changes, kind.assumed)
