"""Reads the tensors of a LoRA file, whatever its format."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from autopipe.errors import DamagedFileError, WeightsMismatchError
from autopipe.wording import listed, shown

from .assembly import assemble, divide
from .grouping import Group, group
from .layers import LoraFile, LoraLayer, Report
from .module_names import Found, ModuleNames
from .scales import Settings, read_settings
from .summary import BASE_MODEL, entry


def read_lora(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str],
    networks: Mapping[str, nn.Module],
    origin: object = "this LoRA file",
) -> LoraFile:
    """Return the layers that a file has for the modules of networks.

    The format is recognised by the keys: of peft, of diffusers since 2023, of sd-scripts (for a
    U-Net also by its authors' names), and LoCon, LoHa, LoKr, DoRA and whole differences of LyCORIS.
    Tensors keep their dtype if it is float32, float16 or bfloat16; others become float32.

    Args:
        tensors: by key, with or without the names of components.
        metadata: of the safetensors header; `lora_adapter_metadata` gives alphas.
        networks: by the name of the component.
        origin: what the messages of errors call the file.

    Raises:
        WeightsMismatchError: if no layer of the file belongs to a module of `networks`, or a shape
            doesn't fit.
        DamagedFileError: if a layer is incomplete, is there twice, or has unusable values.
        UnsupportedCheckpointError: if it is a kind of file that can't be read, such as OFT.
        ConfigError: if the metadata has unusable settings.
        ArgumentTypeError: if `tensors` has anything other than tensors.
    """
    groups, skipped, style = group(tensors, origin)
    names = ModuleNames(networks)
    settings = {component: read_settings(metadata, component) for component in networks}
    layers: dict[str, dict[str, LoraLayer]] = defaultdict(dict)
    stems: dict[tuple[str, str], str] = {}
    matched: list[str] = []
    unmatched: list[str] = []
    misfits: list[_Misfit] = []
    for stem, one in groups.items():
        found = names.find(stem)
        if found is None:
            unmatched += one.keys.values()
            continue
        for path in found.paths:
            if (twice := stems.setdefault((found.component, path), stem)) != stem:
                raise DamagedFileError(
                    f"{origin} has the layer {found.component}.{path} twice, as {shown(twice)} "
                    f"and as {shown(stem)}"
                )
        matched += one.keys.values()
        try:
            made = _layers(stem, one, found, names, settings[found.component])
        except WeightsMismatchError as error:
            misfits.append(_Misfit(found, one.tensors, str(error)))
        except DamagedFileError as error:
            raise DamagedFileError(
                f"{origin} is damaged in the layer {shown(stem)}: {error}"
            ) from error
        else:
            layers[found.component].update(zip(found.paths, made))
    if misfits:
        raise WeightsMismatchError(_misfit_message(misfits, len(groups), names, metadata, origin))
    if not matched:
        raise WeightsMismatchError(_no_match_message(groups, skipped, names, metadata, origin))
    return LoraFile(dict(layers), Report(style, tuple(matched), tuple(unmatched), skipped))


@dataclass(frozen=True)
class _Misfit:
    found: Found
    tensors: Mapping[str, Tensor]
    reason: str


def _layers(
    stem: str, parts: Group, found: Found, names: ModuleNames, settings: Settings
) -> list[LoraLayer]:
    """Return the layer, or its parts for several modules."""
    shapes = [names.shapes[found.component][path] for path in found.paths]
    shape = (sum(one[0] for one in shapes), *shapes[0][1:])
    spelled = (*found.paths, stem.removeprefix(f"{found.component}."))
    layer = assemble(parts.tensors, shape, lambda rank: settings.scale(spelled, rank))
    return [layer] if len(shapes) == 1 else divide(layer, tuple(one[0] for one in shapes))


def _trained_with(metadata: Mapping[str, str]) -> str:
    """Return a clause that says what a file was trained with, if its metadata tells."""
    name = entry(metadata, BASE_MODEL)
    return f"; by its metadata it was trained with {shown(name)}" if name else ""


def _misfit_message(
    misfits: list[_Misfit],
    number: int,
    names: ModuleNames,
    metadata: Mapping[str, str],
    origin: object,
) -> str:
    first = next((one for one in misfits if one.found.paths[0].endswith("attn2.to_k")), misfits[0])
    path = first.found.paths[0]
    wanted = names.shapes[first.found.component][path]
    text = (
        f"{len(misfits)} of {number} layers of {origin} don't fit this pipeline. The layer "
        f"{first.found.component}.{path} has a weight of shape {wanted}, and {first.reason}"
        f"{_trained_with(metadata)}"
    )
    down = first.tensors.get("down")
    if path.endswith("attn2.to_k") and down is not None and down.shape[-1] != wanted[1]:
        text += (
            f". The file is for a model whose prompts have a width of {down.shape[-1]}, and here "
            f"they have {wanted[1]}"
        )
    return text


def _no_match_message(
    groups: Mapping[str, Group],
    skipped: Mapping[str, str],
    names: ModuleNames,
    metadata: Mapping[str, str],
    origin: object,
) -> str:
    examples = [next(iter(one.keys.values())) for one in groups.values()] or list(skipped)
    has = ", ".join(shown(name, 120) for name in examples[:3])
    here = [f"{name}.{path}" for name, shapes in names.shapes.items() for path in list(shapes)[:1]]
    return (
        f"{origin} has no layer for this pipeline: it {f'has {has}' if has else 'is empty'}"
        f"{_trained_with(metadata)}. The networks here have modules such as "
        f"{listed(here) or '(none)'}"
    )
