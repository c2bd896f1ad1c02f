"""Writes a pipeline of Stable Diffusion as a checkpoint in the onnx layout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autopipe.attaching.engine import EngineRefusal
from autopipe.attaching.wrappers import unwrapped
from autopipe.checkpoint.atomic import replaced_folder
from autopipe.config import FORMAT_VERSION
from autopipe.errors import ArgumentError, ArgumentTypeError, UnsupportedCheckpointError
from autopipe.wording import listed, logger
from autopipe_components.engines.calls import taken_apart
from autopipe_components.engines.tracing import Program
from autopipe_stable_diffusion.image2image import StableDiffusionImg2ImgPipeline
from autopipe_stable_diffusion.inpaint import StableDiffusionInpaintPipeline
from autopipe_stable_diffusion.text2image import StableDiffusionPipeline

from .described import Description, described
from .export import export, with_weights
from .files import MODEL, WEIGHTS

_log = logger(__name__)

_CLASSES: Mapping[type, str] = {
    StableDiffusionPipeline: "OnnxStableDiffusionPipeline",
    StableDiffusionImg2ImgPipeline: "OnnxStableDiffusionImg2ImgPipeline",
    StableDiffusionInpaintPipeline: "OnnxStableDiffusionInpaintPipeline",
}

_OTHERS = ("tokenizer", "scheduler", "feature_extractor")
"""The components that are saved as in any other layout."""

_MODEL = ["diffusers", "OnnxRuntimeModel"]


def save_onnx(pipe: Any, save_directory: str | Path) -> None:
    """Write a pipeline of Stable Diffusion in the onnx layout, with float32 weights.

    `OnnxStableDiffusionPipeline` and its kin load it, here and in diffusers, and so does any other
    program that runs ONNX models. The files have only standard operators, and take every size and
    number of images. The encoder of the autoencoder gives the most likely latents, so that the
    same image and seed give the same picture.

    Args:
        pipe: a `StableDiffusionPipeline`, or that for image to image or inpainting. Its networks
            are not changed.
        save_directory: the folder to write. Old files of the same names are replaced.

    Raises:
        ArgumentTypeError: if `pipe` is another pipeline.
        ArgumentError: if a component is missing, or the weights are not float32 in main memory.
        UnsupportedCheckpointError: if a network can't be exported.
        CheckpointError: if the folder can't be written.
    """
    name = next((n for kind, n in _CLASSES.items() if type(pipe) is kind), None)
    if name is None:
        raise ArgumentTypeError(
            f"save_onnx takes one of {listed(kind.__name__ for kind in _CLASSES)}, not "
            f"{type(pipe).__name__}"
        )
    components = {key: unwrapped(one) for key, one in pipe.components.items()}
    _warn_of_others(components["vae"])
    networks = {one.folder: one for one in _networks(components)}
    index: dict[str, Any] = {
        "_class_name": name,
        "_diffusers_version": FORMAT_VERSION,
        "requires_safety_checker": bool(pipe.config.requires_safety_checker),
        "safety_checker": [None, None],
        **{key: list(pipe.config[key]) for key in _OTHERS},
        **dict.fromkeys(networks, _MODEL),
    }
    with replaced_folder(save_directory, lambda folder: ()) as folder:
        for key in _OTHERS:
            if components[key] is not None:
                (folder / key).mkdir()
                components[key].save_pretrained(str(folder / key))
        for network in networks.values():
            network.write(folder / network.folder)
        for key, one in (("unet", "unet"), ("vae_encoder", "vae"), ("vae_decoder", "vae")):
            components[one].save_config(folder / key)
        text = json.dumps(dict(sorted(index.items())), indent=2) + "\n"
        (folder / "model_index.json").write_text(text, encoding="utf-8")


@dataclass(frozen=True)
class _Network:
    """A network of the layout.

    Attributes:
        folder: the name of its folder.
        module: from the inputs to the outputs.
        inputs: examples of its inputs, by name.
        outputs: the names of its outputs.
        free: see `export`.
    """

    folder: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]
    free: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the graph, and the weights into a file beside it."""
        form, tensors = taken_apart((tuple(self.inputs.values()), {}))
        program = Program(self.module, "forward", form, tensors)
        weights = program.weights
        for name, tensor in weights.items():
            is_half = tensor.is_floating_point() and tensor.dtype != torch.float32
            if is_half or tensor.device.type != "cpu":
                raise ArgumentError(
                    f"{name} of the {self.folder} is {tensor.dtype} on {tensor.device}; the onnx "
                    f"layout is written from float32 in main memory, so load the checkpoint with "
                    f"dtype='float32' and without offloading"
                )
        try:
            model = export(program, list(self.inputs), self.outputs, free=self.free)
        except EngineRefusal as refusal:
            raise UnsupportedCheckpointError(
                f"the {self.folder} can't be written in the onnx layout: {refusal}"
            ) from refusal
        places = with_weights(model, weights, WEIGHTS)
        folder.mkdir()
        (folder / MODEL).write_bytes(model.SerializeToString())
        with (folder / WEIGHTS).open("wb") as stream:
            for name, (offset, _) in places.items():
                stream.seek(offset)
                stream.write(weights[name].detach().contiguous().numpy().data)


def _networks(components: Mapping[str, Any]) -> Iterator[_Network]:
    """Yield the networks of the layout."""
    for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        if components[name] is None:
            raise ArgumentError(f"the onnx layout has a {name}, and this pipeline has none")
    unet, vae, encoder = (components[name] for name in ("unet", "vae", "text_encoder"))
    tokens = int(min(components["tokenizer"].model_max_length, 77))
    width = unet.config.encoder_hid_dim or unet.config.cross_attention_dim
    yield _Network(
        "unet",
        _Noise(unet),
        {
            "sample": torch.zeros(2, unet.config.in_channels, 16, 24),
            "timestep": torch.zeros(2, dtype=torch.int64),
            "encoder_hidden_states": torch.zeros(2, tokens, width),
        },
        ("out_sample",),
    )
    ids = torch.zeros(2, tokens, dtype=torch.int32)
    yield _Network(
        "text_encoder", _Text(encoder), {"input_ids": ids}, ("last_hidden_state", "pooler_output")
    )
    pixels = torch.zeros(2, vae.config.in_channels, 64, 128)
    yield _Network("vae_encoder", _Encoder(vae), {"sample": pixels}, ("latent_sample",))
    latents = torch.zeros(2, vae.config.latent_channels, 16, 24)
    yield _Network("vae_decoder", _Decoder(vae), {"latent_sample": latents}, ("sample",))
    checker = components["safety_checker"]
    if isinstance(checker, nn.Module):
        config: Any = checker.config
        side = config.vision_config.image_size
        inputs = {"clip_input": torch.zeros(2, 3, side, side), "images": torch.zeros(2, 64, 128, 3)}
        yield _Network(
            "safety_checker",
            _Checker(checker),
            inputs,
            ("out_images", "has_nsfw_concepts"),
            {"images": (0, 1, 2)},
        )


def _warn_of_others(vae: Any) -> None:
    """Warn if only programs that read the config draw the right pictures."""
    own = described(vae.config, "") if vae is not None else Description()
    usual = Description()
    if (own.factor, own.scaling_factor) != (usual.factor, usual.scaling_factor):
        _log.warning(
            "the autoencoder has the scaling factor %s and %d pixels per cell, which is written "
            "beside it; diffusers takes %s and %d for every checkpoint in this layout, so it draws "
            "other pictures",
            own.scaling_factor,
            own.factor,
            usual.scaling_factor,
            usual.factor,
        )


class _Wrapped(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network


class _Noise(_Wrapped):
    def forward(self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor) -> Any:
        return self.network(sample, timestep, encoder_hidden_states, return_dict=False)[0]


class _Text(_Wrapped):
    def forward(self, input_ids: Tensor) -> Any:
        output = self.network(input_ids)
        return output.last_hidden_state, output.pooler_output


class _Encoder(_Wrapped):
    def forward(self, sample: Tensor) -> Any:
        return self.network.encode(sample).latent_dist.mode()


class _Decoder(_Wrapped):
    def forward(self, latent_sample: Tensor) -> Any:
        return self.network.decode(latent_sample).sample


class _Checker(_Wrapped):
    """The safety checker with tensors in place of flags, as images (B, H, W, 3)."""

    def forward(self, clip_input: Tensor, images: Tensor) -> Any:
        flags = self.network.find_unwanted(clip_input)
        kept = images * (~flags).to(images.dtype)[:, None, None, None]
        return kept, flags
