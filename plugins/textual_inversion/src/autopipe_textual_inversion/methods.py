"""The methods of pipelines that load and unload the tokens of textual inversion."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from autopipe.attaching.network_view import origin_of
from autopipe.errors import ArgumentError
from autopipe.pipeline.turns import guard
from autopipe.wording import listed
from autopipe_components.steps.prompt import expanded
from autopipe_components.steps.tokens import tokenizer_of

from .attachment import TextualInversion
from .vectors import FIRST, open_vectors


def load_textual_inversion(
    self: Any,
    pretrained_model_name_or_path: Any,
    token: str | list[str] | None = None,
    tokenizer: Any = None,
    text_encoder: Any = None,
    **kwargs: Any,
) -> None:
    """Attach tokens that were learned from pictures, for use in prompts.

    The tokenizer and the table of embeddings of this pipeline grow; other pipelines that share the
    weights don't have the tokens until they activate them with `set_attachments`. A saved pipeline
    doesn't contain them.

    Args:
        pretrained_model_name_or_path: a file, a folder, a repository, the content of such a file, a
            tensor with a vector or a row for each, or a list of these.
        token: how prompts write the token, or a list of one for each. A single content for several
            tokens must have a vector for each. By default, the name that the file gives.
        tokenizer, text_encoder: those of this pipeline that get the token. By default the first
            ones; both of Stable Diffusion XL for a file with vectors for both.
        **kwargs: the keywords of `autopipe.checkpoint.attachable.open_tensors`: `weight_name`,
            `subfolder`, `use_safetensors`, and those of loading; the access token is `hf_token`.

    Raises:
        ArgumentError: if a token is in a vocabulary already, the numbers of contents and tokens
            differ, or vectors have the wrong width or shape. Then nothing is attached.
        CheckpointError: if a file can't be read.
    """
    component = _component(self, tokenizer, text_encoder) or FIRST
    given = pretrained_model_name_or_path
    sources = [*given] if isinstance(given, list) else [given]
    if "hf_token" in kwargs:
        kwargs["token"] = kwargs.pop("hf_token")
    tokens = _tokens(token, len(sources))
    found = [open_vectors(source, **kwargs) for source in sources]
    if len(tokens) > len(found):
        found = found[0].split(len(tokens))
    added = [
        TextualInversion(vectors, token=name, component=component)
        for vectors, name in zip(found, tokens)
    ]
    names = [one.token for one in added]
    if len(set(names)) < len(names):
        raise ArgumentError(
            f"several of the files name the same token: {listed(names)}; give token="
        )
    for one in added:
        one.check(self)
    done: list[str] = []
    try:
        for one in added:
            label = _label(self, one)
            self.attach(one, name=label)
            done.append(label)
    except BaseException:
        for label in done:
            self.detach(label)
        raise


def unload_textual_inversion(
    self: Any,
    tokens: str | list[str] | None = None,
    tokenizer: Any = None,
    text_encoder: Any = None,
) -> None:
    """Remove tokens that `load_textual_inversion` attached, with all of their vectors.

    The ids of tokens that were attached later move up. Pipelines that share the weights keep the
    tokens that they use.

    Args:
        tokens: the tokens; None removes all.
        tokenizer, text_encoder: those of this pipeline that lose the tokens. By default, the first
            ones, and others that got a token by the same call.

    Raises:
        ArgumentError: if tokens are given, and none of them is attached there.
    """
    component = _component(self, tokenizer, text_encoder)
    named = [tokens] if isinstance(tokens, str) else tokens
    active = {label: one for label, one in _attached(self).items() if self.attachments[label]}
    removed = {
        label: one
        for label, one in active.items()
        if (component or FIRST) in one.encoders and (not named or one.token in named)
    }
    if named and not removed:
        others = listed(dict.fromkeys(one.token for one in active.values())) or "none"
        raise ArgumentError(
            f"there is none of the tokens {listed(named)} to remove; attached: {others}"
        )
    for label, one in removed.items():
        self.detach(label, everywhere=False)
        kept = None if component is None else one.without(component)
        if kept is not None:
            self.attach(kept, name=_label(self, kept))


def maybe_convert_prompt(self: Any, prompt: Any, tokenizer: Any) -> Any:
    """Return prompts in which each token of several vectors is followed by those of the others.

    Calls do that by themselves.

    Args:
        prompt: a text or a list of texts.
        tokenizer: the tokenizer that will read them.
    """
    with guard(tokenizer):
        if isinstance(prompt, list):
            return [expanded(one, tokenizer) for one in prompt]
        return expanded(prompt, tokenizer)


def _attached(pipe: Any) -> Mapping[str, TextualInversion]:
    """Return the attached tokens by the name of the attachment, in the order of their ids."""
    found: Mapping[str, TextualInversion] = pipe.attached(TextualInversion)
    return found


def _label(pipe: Any, one: TextualInversion) -> str:
    """Return a name that is free: the token, else with the text encoder, else with a number."""
    names = (f"{one.token}:{number}" for number in itertools.count(2))
    every = (one.token, f"{one.token}:{one.encoders[0]}")
    return next(name for name in itertools.chain(every, names) if name not in pipe.attachments)


def _tokens(token: Any, count: int) -> list[str | None]:
    """Return the token for each of `count` contents, or those of a single one."""
    tokens: list[Any] = [*token] if isinstance(token, (list, tuple)) else [token]
    if all(one is None for one in tokens):
        return [None] * count
    if (len(tokens) != count and count > 1) or not tokens:
        raise ArgumentError(
            f"there are {count} files and {len(tokens)} tokens ({listed(tokens)}); give one for "
            f"each"
        )
    if len({*map(repr, tokens)}) < len(tokens):
        raise ArgumentError(f"the tokens have duplicates: {listed(tokens)}")
    return tokens


def _component(pipe: Any, tokenizer: Any, text_encoder: Any) -> str | None:
    """Return the name of the text encoder that a caller means; None if none is given."""
    by_encoder = by_tokenizer = None
    for name in pipe.components:
        if not name.startswith(FIRST):
            continue
        if text_encoder is not None and _is(pipe, name, text_encoder):
            by_encoder = by_encoder or name
        if tokenizer is not None and _is(pipe, tokenizer_of(name), tokenizer):
            by_tokenizer = by_tokenizer or name
    for what, given, found in (
        ("text_encoder", text_encoder, by_encoder),
        ("tokenizer", tokenizer, by_tokenizer),
    ):
        if given is not None and found is None:
            raise ArgumentError(
                f"{what}= is not a component of this {type(pipe).__name__}; give "
                f"pipe.{what} or pipe.{what}_2"
            )
    if by_encoder and by_tokenizer and by_encoder != by_tokenizer:
        raise ArgumentError(
            f"text_encoder= is pipe.{by_encoder}, but tokenizer= is pipe."
            f"{tokenizer_of(by_tokenizer)}; give two that belong together"
        )
    return by_encoder or by_tokenizer


def _is(pipe: Any, name: str, given: Any) -> bool:
    """Whether `given` is the component, or what attachments show or showed in its place."""
    component = pipe.components.get(name)
    if component is None:
        return False
    while (origin := _behind(pipe, given)) is not given:
        given = origin
    return given is component


def _behind(pipe: Any, given: Any) -> Any:
    """Return what `given` was made of: the network of a view, the tokenizer of a copy."""
    origins = (one.origin_of(given) for one in _attached(pipe).values())
    return next((one for one in origins if one is not None), origin_of(given))
