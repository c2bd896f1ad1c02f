"""Methods that packages bring to the classes of pipelines and networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from autopipe import registry
from autopipe.config import register_to_config
from autopipe.errors import NotHereYetError, PluginError
from autopipe.manifest import Manifest, Method
from autopipe.modeling import ModelMixin
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.registry import Registry
from autopipe.resolution.discovery import Installed, Plugin
from autopipe.resolution.methods import bring_all


class Net(ModelMixin):
    @register_to_config
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)


class Pipe(DiffusionPipeline):
    def __init__(self, net: Net) -> None:
        self.register_modules(net=net)


class Louder(Pipe):
    def shout(self, word: str) -> str:
        return super().shout(word) + "!"


def shout(pipe: DiffusionPipeline, word: str) -> str:
    """Shout."""
    return word.upper()


def _made(cls: type) -> str:
    return f"made by {cls.__name__}"


volume = property(lambda pipe: len(pipe.components))
made = classmethod(_made)
twice = staticmethod(lambda word: word * 2)
total = property(lambda net: sum(p.numel() for p in net.parameters()))


def _registry(*methods: Method) -> Registry:
    plugin = Plugin("shouting", "autopipe-shouting", "1")
    return Registry([Installed(plugin, Manifest("shouting", methods=methods))])


@pytest.fixture
def bring(monkeypatch: pytest.MonkeyPatch):
    """Make the default registry one with these methods."""

    def bring(*methods: Method) -> None:
        monkeypatch.setattr(registry, "_default", _registry(*methods))
        bring_all(lambda kind: registry.default_registry().of(kind))

    return bring


@pytest.fixture
def brought(bring) -> None:
    here = __name__
    names = ("shout", "volume", "made", "twice")
    of_pipes = [Method(name, f"{here}:{name}") for name in names]
    bring(*of_pipes, Method("total", f"{here}:total", "network"))


def test_functions_properties_and_methods_of_the_class_come_to_every_pipeline(brought) -> None:
    pipe = Pipe(Net())
    assert pipe.shout("a") == "A"
    assert pipe.volume == 1
    assert Pipe.made() == pipe.made() == "made by Pipe"
    assert Pipe.twice("ab") == pipe.twice("ab") == "abab"
    assert pipe.net.total == 6
    assert not hasattr(pipe.net, "shout")
    assert not hasattr(pipe, "total")


def test_a_subclass_overrides_them_and_calls_super(brought) -> None:
    assert Louder(Net()).shout("a") == "A!"


def test_they_go_with_their_package(bring, monkeypatch) -> None:
    bring(Method("shout", f"{__name__}:shout"))
    assert hasattr(Pipe, "shout")
    assert hasattr(Pipe(Net()), "shout")
    monkeypatch.undo()
    assert not hasattr(Pipe, "shout")
    with pytest.raises(AttributeError, match="no attribute 'shout'"):
        _ = Pipe(Net()).shout


def test_what_the_class_has_itself_stays(bring, caplog) -> None:
    before = DiffusionPipeline.close
    bring(Method("close", f"{__name__}:shout"))
    assert DiffusionPipeline.close is before
    assert "DiffusionPipeline has its own close" in caplog.text


def test_a_method_whose_module_is_broken_names_the_package(bring) -> None:
    bring(Method("shout", "no_such_module:shout"))
    with pytest.raises(PluginError, match="no_such_module:shout can't be loaded"):
        Pipe(Net()).shout("a")


def test_a_method_of_a_package_that_is_not_installed_names_the_package(monkeypatch) -> None:
    table = {"autopipe-shouting": {"pipeline method": ["shout"]}}
    monkeypatch.setattr("autopipe.resolution.hints.published", lambda: table)
    with pytest.raises(NotHereYetError, match=r"install.*autopipe-shouting"):
        Pipe(Net()).shout("a")
    assert not hasattr(Pipe(Net()).net, "shout")


def test_two_packages_that_disagree_are_told_and_neither_is_used() -> None:
    one, two = (
        Installed(
            Plugin(name, f"dist-{name}", "1"),
            Manifest(name, methods=(Method("shout", f"{name}:shout"),)),
        )
        for name in ("one", "two")
    )
    found = Registry([one, two])
    assert "shout" not in found.of("pipeline method")
    assert "pipeline method shout is defined differently" in found.problems[0].reason


def test_registering_at_run_time_brings_them(monkeypatch) -> None:
    monkeypatch.setattr(registry, "_default", registry.default_registry())
    registry.register(Manifest("late", methods=(Method("late_shout", f"{__name__}:shout"),)))
    assert Pipe(Net()).late_shout("b") == "B"
    monkeypatch.undo()
    assert not hasattr(Pipe, "late_shout")


def test_networks_still_tell_their_own_missing_attributes() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = Net().nothing
    assert isinstance(Net().layer.weight, torch.Tensor)
