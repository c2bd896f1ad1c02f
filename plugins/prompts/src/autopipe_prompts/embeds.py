"""Embeddings of weighted prompts, for programs that pass them to calls or have their own loop."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from autopipe.attaching.attachment import Encode
from autopipe.errors import ArgumentError
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.wording import listed, shown

from .a1111.addon import A1111
from .compel.addon import Compel
from .weighting import PromptWeighting

_GRAMMARS: Mapping[str, type[PromptWeighting]] = {"a1111": A1111, "compel": Compel}


@torch.no_grad()
def weighted_embeds(
    pipe: DiffusionPipeline,
    prompt: str | list[str],
    negative_prompt: str | list[str] | None = None,
    grammar: str = "a1111",
    *,
    clip_skip: int | None = None,
    **options: Any,
) -> tuple[Tensor, ...]:
    """Return the embeddings of weighted prompts, without attaching an add-on.

    Attached add-ons other than grammars act as in a call. Prompts and negative prompts get the same
    number of tokens.

    Args:
        pipe: a pipeline that the add-on of the grammar can be attached to.
        prompt: a string or a list of strings.
        negative_prompt: as `prompt`; None means what it means in a call.
        grammar: `"a1111"` or `"compel"`.
        clip_skip: the number of layers to skip, as in a call.
        **options: the options of the add-on.

    Returns:
        What `pipe.encode_prompt` returns: the embeddings (B, K, D) of prompt and negative prompt;
        with two text encoders also the pooled ones (B, P) of both.

    Raises:
        ArgumentError: if there is no such grammar, the pipeline can't use it, or a prompt can't be
            read in it.
    """
    if grammar not in _GRAMMARS:
        raise ArgumentError(f"grammar is {shown(grammar)}; give one of {listed(_GRAMMARS)}")
    addon = _GRAMMARS[grammar](**options)
    addon.check(pipe)
    view: Any = copy.copy(pipe)
    others = pipe.attached(PromptWeighting)
    view.set_attachments({n: one for n, one in pipe.attachments.items() if n not in others})
    outer = view.encoder

    def encoder(component: str, encode: Encode) -> Encode:
        found: Encode = outer(component, addon.encode(view, component, encode, 1.0))
        return found

    view.encoder = encoder
    found: tuple[Tensor, ...] = view.encode_prompt(
        prompt=prompt,
        device=None,
        num_images_per_prompt=1,
        do_classifier_free_guidance=True,
        negative_prompt=negative_prompt,
        clip_skip=clip_skip,
    )
    return found
