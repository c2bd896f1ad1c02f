"""The text encoder of AltDiffusion: an XLM-R whose states are projected to those of CLIP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from autopipe.outputs import BaseOutput
from autopipe_components.encoders.base import encoder_config
from autopipe_components.encoders.xlm_roberta import XLMRobertaBase, XLMRobertaModel


@dataclass
class TransformationModelOutput(BaseOutput):
    """The output of the text encoder.

    Attributes:
        projection_state: the projected states, (B, N, project_dim).
        last_hidden_state: the states after the last layer, (B, N, D).
        hidden_states: the input of the first layer and the output of each layer, if requested.
        attentions: always None.
    """

    projection_state: Tensor
    last_hidden_state: Tensor
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class RobertaSeriesModelWithTransformation(XLMRobertaBase):
    """Encodes texts of many languages as states like those of CLIP (AltCLIP, arXiv 2211.06679).

    Its config is that of XLM-R with further entries.

    Args:
        project_dim: the width of the projected states.
        pooler_fn: how texts are pooled, which has no effect.
        learn_encoder: whether training changes the encoder, which has no effect.
        use_attention_mask: whether pipelines pass the mask of the padding.
        has_pre_transformation: whether the states of the last layer but one are projected, after a
            norm, in place of those of the last layer.
        **entries: the entries of XLM-R.
    """

    wrappers = frozenset({"text_model", "vision_model"})
    embedding_paths = ("roberta.embeddings.word_embeddings",)

    @encoder_config
    def __init__(
        self,
        project_dim: int = 512,
        pooler_fn: str = "cls",
        learn_encoder: bool = False,
        use_attention_mask: bool = True,
        has_pre_transformation: bool = False,
        **entries: Any,
    ) -> None:
        super().__init__(**entries)

    def make_layers(self) -> None:
        config = self.config
        self.roberta = XLMRobertaModel(config)
        self.transformation = nn.Linear(config.hidden_size, config.project_dim)
        if config.has_pre_transformation:
            self.transformation_pre = nn.Linear(config.hidden_size, config.project_dim)
            self.pre_LN = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Return a `TransformationModelOutput`, or its tuple; arguments as for `XLMRobertaModel`.

        Raises:
            ArgumentError: as by `XLMRobertaModel`.
        """
        early = self.config.has_pre_transformation
        wants_states = self.wants_states(output_hidden_states, output_attentions)
        found = self.roberta(
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
            output_hidden_states=wants_states or early,
        )
        if early:
            projected = self.transformation_pre(self.pre_LN(found.hidden_states[-2]))
        else:
            projected = self.transformation(found.last_hidden_state)
        output = TransformationModelOutput(
            projected, found.last_hidden_state, found.hidden_states if wants_states else None
        )
        return output.to_tuple() if return_dict is False else output
