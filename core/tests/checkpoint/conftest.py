"""A network, a scheduler and a pipeline small enough to read, and a registry that knows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from support.hub_server import hub_server  # noqa: F401
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from autopipe.config import register_to_config
from autopipe.manifest import Component, Family, Pipeline
from autopipe.modeling import ModelMixin
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.resolution.targets import target_of
from autopipe.scheduling import SchedulerMixin
from autopipe.tasks import Task


class TinyNet(ModelMixin):
    """Two layers, a random parameter, a computed buffer and one that is saved."""

    _keep_in_fp32_modules = ("precise",)

    @register_to_config
    def __init__(self, width: int = 4, depth: int = 1, note: str = "default") -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.precise = nn.LayerNorm(width)
        self.seed = nn.Parameter(torch.randn(width))
        self.register_buffer("steps", torch.arange(width) / width, persistent=False)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.precise(x) + self.seed + self.steps

    @classmethod
    def convert_state_dict(cls, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return {name.replace("old_layers", "layers"): tensor for name, tensor in state.items()}


class OtherNet(TinyNet):
    """A class of its own with the same parameters."""


class TinyScheduler(SchedulerMixin):
    @register_to_config
    def __init__(self, num_train_timesteps: int = 1000, sigma: float = 0.5) -> None:
        self.timesteps = torch.arange(num_train_timesteps)


class OtherScheduler(SchedulerMixin):
    @register_to_config
    def __init__(self, num_train_timesteps: int = 1000, order: int = 1) -> None:
        self.timesteps = torch.arange(num_train_timesteps)


class TinyPipeline(DiffusionPipeline):
    _optional_components: ClassVar[tuple[str, ...]] = ("checker",)

    def __init__(
        self,
        net: TinyNet,
        text_encoder: Any,
        scheduler: TinyScheduler,
        checker: OtherNet | None,
        strict: bool = True,
    ) -> None:
        self.register_modules(
            net=net, text_encoder=text_encoder, scheduler=scheduler, checker=checker
        )
        self.register_to_config(strict=strict)


FAMILY = Family(
    "tiny",
    pipelines=(Pipeline("TinyPipeline", target_of(TinyPipeline), Task.TEXT2IMAGE, "tiny"),),
    components=(
        Component("TinyNet", target_of(TinyNet)),
        Component("OtherNet", target_of(OtherNet), library="tiny"),
        Component("TinyScheduler", target_of(TinyScheduler), kind="scheduler"),
        Component("OtherScheduler", target_of(OtherScheduler), kind="scheduler"),
    ),
)


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registry that everything in these tests uses, whatever is installed."""
    made = Registry([Installed(Plugin("tiny", "tiny-dist", "1"), FAMILY)])
    monkeypatch.setattr("autopipe.registry._default", made)
    return made


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test without a Hub of its own may open a socket."""
    if "hub_server" not in request.fixturenames:
        forbid_sockets(monkeypatch)


def forbid_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, opening a connection fails the test."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


def text_encoder(vocab_size: int = 20) -> CLIPTextModel:
    return CLIPTextModel(
        CLIPTextConfig(
            hidden_size=8,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            vocab_size=vocab_size,
            max_position_embeddings=5,
            bos_token_id=0,
            eos_token_id=2,
        )
    ).eval()


@pytest.fixture
def pipe() -> TinyPipeline:
    torch.manual_seed(0)
    return TinyPipeline(
        TinyNet(depth=2).eval(), text_encoder(), TinyScheduler(sigma=0.25), OtherNet().eval(), False
    )


@pytest.fixture
def saved(pipe: TinyPipeline, tmp_path: Path) -> Path:
    """The folder of a saved pipeline."""
    pipe.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def net_folder(tmp_path: Path) -> Path:
    """The folder of a saved network."""
    torch.manual_seed(0)
    TinyNet(depth=2, note="saved").save_pretrained(tmp_path / "net")
    return tmp_path / "net"


@pytest.fixture
def edit() -> Callable[..., None]:
    """Change entries of a JSON file."""

    def change(file: Path, **entries: Any) -> None:
        content = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps({**content, **entries}), encoding="utf-8")

    return change


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether two state dicts have the same names and exactly the same values."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def names(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def stranger(name: str, module: str, attribute: str) -> Any:
    """A class of a library that isn't installed."""

    def __init__(self: Any, net: nn.Module) -> None:
        nn.Module.__init__(self)
        setattr(self, attribute, net)

    return type(name, (nn.Module,), {"__init__": __init__, "__module__": module})
