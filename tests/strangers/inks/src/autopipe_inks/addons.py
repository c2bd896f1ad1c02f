"""Three small add-ons: one on weights, one on the prediction, one on the prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from autopipe import Attachment
from autopipe.errors import ArgumentError

from .family import KEEP_EVERY

Encode: TypeAlias = Callable[..., Any]
Predict: TypeAlias = Callable[[int, Tensor], Tensor]


class LowRank(Attachment):
    """A low-rank change of every layer of a network whose path ends in `suffix`.

    arXiv 2106.09685: a layer gives `layer(x) + strength * up(down(x))`.
    """

    name = "low_rank"

    def __init__(
        self, component: str = "unet", suffix: str = "attn2.to_k", rank: int = 2, seed: int = 0
    ) -> None:
        self.component, self.suffix, self.rank, self.seed = component, suffix, rank, seed

    def check(self, pipe: Any) -> None:
        network = pipe.components.get(self.component)
        found = dict(network.named_modules()) if isinstance(network, nn.Module) else {}
        layers = {n: m for n, m in found.items() if n.endswith(self.suffix)}
        if not layers:
            raise ArgumentError(f"no layer of {self.component} is called ...{self.suffix}")
        random = torch.Generator().manual_seed(self.seed)
        self.weights = nn.ParameterDict()
        for path, layer in layers.items():
            up, down = (layer.out_features, self.rank), (self.rank, layer.in_features)
            for part, shape in (("up", up), ("down", down)):
                made = torch.randn(shape, generator=random).to(layer.weight)
                self.weights[f"{path}.{part}".replace(".", "/")] = made

    def answers(self, component: str, network: nn.Module, strength: float) -> Mapping[str, Any]:
        if component != self.component:
            return {}
        paths = {key.rpartition("/")[0] for key in self.weights}
        return {path.replace("/", "."): self._layer(path, strength) for path in paths}

    def _layer(self, path: str, strength: float) -> Any:
        up, down = self.weights[f"{path}/up"], self.weights[f"{path}/down"]
        return lambda layer, x: layer(x) + strength * (x @ down.T) @ up.T


class Repeated(Attachment):
    """Predicts in every second step, or as the call says, and takes that for those between."""

    name = "repeated"
    inputs = (KEEP_EVERY,)

    def predict(
        self, run: Any, tensors: Mapping[str, Any], predict: Predict, strength: float
    ) -> Predict:
        every, last = int(run.call.keep_every or 2), {}

        def repeated(step: int, timestep: Tensor) -> Tensor:
            if step % every == 0 or "prediction" not in last:
                last["prediction"] = predict(step, timestep)
            return last["prediction"]

        return repeated


class Emphasis(Attachment):
    """Reads `word++` as an emphasised word: what is encoded of the text is made larger."""

    name = "emphasis"

    def encode(self, run: Any, component: str, encode: Encode, strength: float) -> Encode:
        def emphasised(texts: Sequence[str], **options: Any) -> Any:
            plain = encode([text.replace("++", "") for text in texts], **options)
            rows = [1.0 + 0.5 * strength * text.count("++") for text in texts]
            first = plain if isinstance(plain, Tensor) else plain[0]
            scaled = first * torch.tensor(rows).to(first).reshape(-1, *(1,) * (first.ndim - 1))
            return scaled if isinstance(plain, Tensor) else (scaled, *plain[1:])

        return emphasised
