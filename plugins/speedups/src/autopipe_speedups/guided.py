"""Add-ons that choose how each step predicts the halves of guidance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from torch import Tensor

from autopipe.attaching.attachment import Attachment, Predict
from autopipe.errors import ArgumentError
from autopipe_components.guided import GuidedPipeline
from autopipe_components.steps.guidance import Halves

Choose: TypeAlias = Callable[[int, Tensor], "Halves | None"]
"""`(step, timestep) -> halves`; None leaves the decision to others."""


class HalvesChoice(Attachment):
    """The base of add-ons that set `GuidedPipeline.halves` for each step."""

    def check(self, pipe: Any) -> None:
        """Check that the pipeline, or one of its stages, is a `GuidedPipeline`.

        Raises:
            ArgumentError: if not.
        """
        if not any(issubclass(one, GuidedPipeline) for one in type(pipe).stage_classes()):
            raise ArgumentError(
                f"{self.name} needs a pipeline whose steps predict the halves of guidance as a "
                f"GuidedPipeline of autopipe_components does; a {type(pipe).__name__} doesn't"
            )

    def choice(self, run: GuidedPipeline, tensors: Mapping[str, Any]) -> Choose:
        """Return the function that decides in each step of a call."""
        raise NotImplementedError

    def predict(
        self, run: Any, tensors: Mapping[str, Any], predict: Predict, strength: float
    ) -> Predict:
        """Return `predict` with `run.halves` set for each step."""
        if not isinstance(run, GuidedPipeline):
            return predict
        choose = self.choice(run, tensors)

        def chosen(step: int, timestep: Tensor) -> Tensor:
            before = run.halves
            run.halves = choose(step, timestep) or before
            try:
                return predict(step, timestep)
            finally:
                run.halves = before

        return chosen
