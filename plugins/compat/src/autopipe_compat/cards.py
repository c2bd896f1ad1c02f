"""Model cards of the Hub, as training scripts write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

_LIBRARY = "diffusers"
"""The library of the Hub whose format checkpoints have."""


def load_or_create_model_card(
    repo_id_or_path: str | None = None,
    token: str | None = None,
    is_pipeline: bool = False,
    from_training: bool = False,
    model_description: str | None = None,
    base_model: str | None = None,
    prompt: str | None = None,
    license: str | None = None,
    widget: Sequence[Mapping[str, Any]] | None = None,
    inference: bool | None = None,
) -> ModelCard:
    """Return the card of a repository or a file, or a new one if there is none.

    Args:
        is_pipeline: for the text of a new card.
        from_training: put what follows into its metadata.
        model_description: its text.
        base_model, prompt: what was trained, and with which prompt.
        license, widget, inference: as the Hub takes them.
    """
    if repo_id_or_path is not None:
        try:
            return ModelCard.load(repo_id_or_path, token=token)
        except (EntryNotFoundError, RepositoryNotFoundError):
            pass
    data = ModelCardData()
    if from_training:
        data = ModelCardData(
            license=license,
            library_name=_LIBRARY,
            base_model=base_model,
            inference=inference,
            instance_prompt=prompt,
            widget=widget,
        )
    kind = "pipeline" if is_pipeline else "model"
    text = model_description or f"This is the card of a {kind}. Please describe it here."
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{text}\n")


def populate_model_card(
    model_card: ModelCard, tags: str | Sequence[str] | None = None
) -> ModelCard:
    """Add the library and `tags` to the metadata of a card, and return it."""
    if model_card.data.library_name is None:
        model_card.data.library_name = _LIBRARY
    added = [tags] if isinstance(tags, str) else list(tags or ())
    if added:
        model_card.data.tags = [*(model_card.data.tags or ()), *added]
    return model_card
