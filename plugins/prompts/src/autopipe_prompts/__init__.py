"""Weights the words of prompts, and reads prompts of any length, in two grammars."""

from __future__ import annotations

from .embeds import weighted_embeds as weighted_embeds
