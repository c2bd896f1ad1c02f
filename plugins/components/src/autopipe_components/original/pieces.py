"""Takes the tensors of networks from the tensors of their authors' files, and the other way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from autopipe.checkpoint.single.layout import Joined, Piece

from .open_clip_names import PROJECTED, PROJECTION, open_clip_tensor_names
from .unet_names import unet_module_names
from .vae_names import TOPS, is_projection, vae_module_names

Config = Mapping[str, Any]


def unet_pieces(names: Iterable[str], config: Config, prefix: str) -> dict[str, Piece]:
    """Return the tensors of a U-Net or a ControlNet.

    Args:
        names: the names of the tensors that begin with `prefix`, without it.
        config: of the network.
    """
    modules = unet_module_names(config)
    return {_renamed(name, modules): Piece(prefix + name) for name in names}


def vae_pieces(names: Iterable[str], config: Config, prefix: str) -> dict[str, Piece]:
    """Return the tensors of an `AutoencoderKL`; arguments as for `unet_pieces`."""
    modules = vae_module_names(config)
    own = (name for name in names if name.split(".", 1)[0] in TOPS)
    paths = ((name, _renamed(name, modules)) for name in own)
    return {path: Piece(prefix + name, matrix=is_projection(path)) for name, path in paths}


def clip_pieces(names: Iterable[str], prefix: str) -> dict[str, Piece]:
    """Return the tensors of a text encoder that has the names of transformers in the file."""
    return {name: Piece(prefix + name) for name in names if not name.endswith("position_ids")}


def open_clip_pieces(
    names: Iterable[str], config: Config, prefix: str, projected: bool
) -> dict[str, Piece]:
    """Return the tensors of a text encoder of OpenCLIP; arguments as for `unet_pieces`.

    Layers beyond those of the config are left out: Stable Diffusion 2.x doesn't use the last one.

    Args:
        projected: whether the network has the final projection.
    """
    every = open_clip_tensor_names(config["num_hidden_layers"])
    present = {*names}
    found = {
        path: Piece(prefix + name, part, len(paths))
        for name, paths in every.items()
        if name in present
        for part, path in enumerate(paths)
    }
    if projected and PROJECTION in present:
        found[PROJECTED] = Piece(prefix + PROJECTION, transposed=True)
    return found


def _renamed(name: str, modules: Mapping[str, str]) -> str:
    """Return the name here of the tensor `name`; the same if no module of it is known."""
    path = name
    while path and path not in modules:
        path = path.rpartition(".")[0]
    return modules[path] + name[len(path) :] if path else name


def unet_joined(
    component: str, names: Iterable[str], config: Config, prefix: str
) -> dict[str, Joined]:
    """Return the tensors of the file with a U-Net or a ControlNet, the inverse of `unet_pieces`."""
    modules = _inverse(unet_module_names(config))
    return {prefix + _renamed(name, modules): Joined(component, (name,)) for name in names}


def vae_joined(
    component: str, names: Iterable[str], config: Config, prefix: str
) -> dict[str, Joined]:
    """Return the tensors of the file with an `AutoencoderKL`, the inverse of `vae_pieces`."""
    modules = _inverse(vae_module_names(config))
    return {
        prefix + _renamed(name, modules): Joined(component, (name,), kernel=is_projection(name))
        for name in names
    }


def clip_joined(component: str, names: Iterable[str], prefix: str) -> dict[str, Joined]:
    """Return the tensors of the file with a text encoder, the inverse of `clip_pieces`."""
    return {prefix + _wrapped(name): Joined(component, (name,)) for name in names}


def open_clip_joined(
    component: str, names: Iterable[str], config: Config, prefix: str
) -> dict[str, Joined]:
    """Return the tensors of the file with a text encoder, the inverse of `open_clip_pieces`."""
    stored = {_wrapped(name): name for name in names}
    return dict(_open_clip(component, stored, config["num_hidden_layers"], prefix))


def _open_clip(
    component: str, stored: Mapping[str, str], layers: int, prefix: str
) -> Iterator[tuple[str, Joined]]:
    for name, paths in open_clip_tensor_names(layers).items():
        if all(path in stored for path in paths):
            yield prefix + name, Joined(component, tuple(stored[path] for path in paths))
    if PROJECTED in stored:
        yield prefix + PROJECTION, Joined(component, (stored[PROJECTED],), transposed=True)


def _wrapped(name: str) -> str:
    """Return the name of a text encoder's tensor with the part that some releases leave out."""
    return name if name.startswith(("text_model.", "text_projection.")) else f"text_model.{name}"


def _inverse(modules: Mapping[str, str]) -> dict[str, str]:
    return {path: name for name, path in modules.items()}
