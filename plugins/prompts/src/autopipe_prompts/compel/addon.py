"""The add-on for the grammar of compel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from autopipe_components.steps.prompt import lengthened

from ..fragments import Fragment, scaled
from ..reader import Read, Reader
from ..weighting import PromptWeighting
from .chunks import Chunk, chunks_of, first_chunk_of
from .operators import parts_of

_SMALLEST = 1e-5
"""The smallest weight below 1, for which the share of the prompt without the phrase is finite."""


class Compel(PromptWeighting):
    """Reads prompts in the grammar of compel, and encodes them as compel does.

    A weight moves the embeddings of its tokens away from those of the empty prompt, or towards
    them. A weight below 1 also blends the embeddings of all tokens with those of the prompt in
    which the phrase is hidden.

    Args:
        truncate_long_prompts: whether a prompt that doesn't fit into the text encoder is cut off;
            otherwise it is divided into chunks, after a sentence if possible.
    """

    name = "compel"

    def __init__(self, truncate_long_prompts: bool = False) -> None:
        self.truncate_long_prompts = truncate_long_prompts

    def check_text(self, name: str, text: str) -> None:
        """Raise `ArgumentError` if the argument `name` of a call can't be read in the grammar."""
        parts_of(text)

    def is_plain(self, text: str, reader: Reader) -> bool:
        """Whether a text has no syntax, and fits into one chunk or is cut off."""
        (part, *others) = parts_of(text)
        if others or part.weight != 1.0 or len(part.prompts) > 1 or len(part.prompts[0]) > 1:
            return False
        fragment = part.prompts[0][0]
        own, found = reader.ids([text, fragment.text])
        fits = len(own) <= reader.room or self.truncate_long_prompts
        return fits and fragment.weight == 1.0 and own == found

    def read(self, text: str, reader: Reader, strength: float) -> Read:
        """Return the embeddings of all parts, and the pooled one of the text with its syntax."""
        found = []
        for part in parts_of(text):
            each = [self._read(one, reader, strength) for one in part.prompts]
            length = max(one.shape[1] for one in each)
            each = [lengthened(one, length, lambda: reader.empty) for one in each]
            states = torch.stack([share * one for share, one in zip(part.shares, each)]).sum(dim=0)
            if part.weight != 1.0:
                empty = lengthened(reader.empty, length, lambda: reader.empty)
                states = empty + (states - empty) * part.weight
            found.append(states)
        reader.check_chunks(sum(one.shape[1] for one in found) // reader.size)
        if not reader.has_pooled:
            return Read(torch.cat(found, dim=1), None)
        (ids,) = reader.ids([text])
        whole = reader.read([reader.tokens(ids[: reader.room])])
        return Read(torch.cat(found, dim=1), whole.pooled)

    def _read(self, fragments: Sequence[Fragment], reader: Reader, strength: float) -> Tensor:
        """Return the embeddings (1, K, D) of a prompt without operators."""
        ids = reader.ids([one.text for one in fragments])
        weights = [scaled(one.weight, strength) for one in fragments]
        if self.truncate_long_prompts:
            chunks = [first_chunk_of(ids, reader.size)]
            reader.warn_of([one for own in ids for one in own][reader.room :])
        else:
            chunks = chunks_of(ids, reader.size, reader.tokenizer.convert_ids_to_tokens)
        reader.check_chunks(len(chunks))
        read = {owner for chunk in chunks for owner in chunk.owners}
        shares = {
            owner: math.tan((1.0 - max(_SMALLEST, weights[owner])) * math.pi / 2)
            for owner in sorted(read)
            if weights[owner] < 1.0
        }
        return torch.cat([_weighted(one, weights, shares, reader) for one in chunks], dim=1)


def _weighted(
    chunk: Chunk, weights: Sequence[float], shares: dict[int, float], reader: Reader
) -> Tensor:
    """Return the embeddings (1, size, D) of a chunk.

    Args:
        weights: the weight of each fragment.
        shares: for fragments with a weight below 1, the share of the prompt in which it is hidden;
            that of the whole prompt is 1.
    """
    hidden = {owner: places for owner, places in chunk.places.items() if owner in shares}
    states = reader.read([reader.tokens(chunk.ids, one) for one in ((), *hidden.values())]).states
    own = [weights[owner] for owner in chunk.owners]
    if all(one == 1.0 for one in own):
        return states
    factors = states.new_ones(states.shape[1], 1, dtype=torch.float32)
    factors[1 : len(own) + 1, 0] = factors.new_tensor(own)
    empty = reader.empty.float()
    exact = torch.where(factors == 1.0, states.float(), empty + (states - empty) * factors)
    # Where a fragment has no tokens, hiding it changes nothing.
    whole = 1.0 + sum(share for owner, share in shares.items() if owner not in hidden)
    parts = exact.new_tensor([whole, *(shares[owner] for owner in hidden)])
    blended = (exact * (parts / parts.sum())[:, None, None]).sum(dim=0, keepdim=True)
    return blended.to(states.dtype)
