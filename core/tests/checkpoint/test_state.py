"""What a save writes of a network is what a load gives back."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import T5Config, T5EncoderModel

from autopipe.checkpoint.save import SaveOptions, save_model
from autopipe.config import register_to_config
from autopipe.errors import ArgumentError
from autopipe.modeling import ModelMixin

from .conftest import TinyNet, TinyPipeline, names, same, stranger

STEM = "diffusion_pytorch_model"


# Tensors that share memory


class TiedNet(ModelMixin):
    """A class that ties two of its tensors whenever it is made."""

    @register_to_config
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.second.weight = self.first.weight


def tied(net: TinyNet) -> None:
    net.layers[1].weight = net.layers[0].weight


def tied_thrice(net: TinyNet) -> None:
    net.layers[0].bias = net.precise.weight = net.precise.bias = net.seed


def of_one_memory(net: TinyNet) -> None:
    net.layers[1].weight = nn.Parameter(net.layers[0].weight.data)


def parts_of_one(net: TinyNet) -> None:
    fused = torch.randn(3, 4)
    net.precise.weight, net.precise.bias, net.seed = (nn.Parameter(row) for row in fused)


def overlapping(net: TinyNet) -> None:
    fused = torch.randn(6)
    net.precise.weight, net.precise.bias = nn.Parameter(fused[:4]), nn.Parameter(fused[2:])


def transposed(net: TinyNet) -> None:
    net.layers[0].weight = nn.Parameter(net.layers[1].weight.data.T)


def expanded(net: TinyNet) -> None:
    net.seed = nn.Parameter(torch.ones(1).expand(4))


def empty(net: TinyNet) -> None:
    net.seed = nn.Parameter(torch.ones(0))
    net.precise.bias = nn.Parameter(torch.ones(0))


@pytest.mark.parametrize(
    "share", [tied, tied_thrice, of_one_memory, parts_of_one, overlapping, transposed, expanded]
)
@pytest.mark.parametrize("keywords", [{}, {"safe_serialization": False}, {"max_shard_size": 60}])
@pytest.mark.parametrize("where", ["network", "pipeline"])
def test_tensors_that_share_memory_come_back(
    pipe: TinyPipeline, tmp_path: Path, share: Any, keywords: dict[str, Any], where: str
) -> None:
    share(pipe.net)
    values = {name: tensor.clone() for name, tensor in pipe.net.state_dict().items()}
    if where == "network":
        pipe.net.save_pretrained(tmp_path, **keywords)
        loaded = TinyNet.from_pretrained(tmp_path)
    else:
        pipe.save_pretrained(tmp_path, **keywords)
        loaded = TinyPipeline.from_pretrained(tmp_path).net
    assert same(loaded.state_dict(), values)
    # Saving leaves what is saved as it was.
    assert same(pipe.net.state_dict(), values)


@pytest.mark.parametrize("safe", [True, False])
def test_what_a_class_ties_itself_is_saved_once_and_the_rest_under_all_names(
    tmp_path: Path, safe: bool
) -> None:
    net = TiedNet()
    net.second.bias = net.first.bias
    net.save_pretrained(tmp_path, safe_serialization=safe)
    if safe:
        assert load_file(tmp_path / f"{STEM}.safetensors").keys() == {
            "first.weight", "first.bias", "second.bias"
        }  # fmt: skip
    loaded = TiedNet.from_pretrained(tmp_path)
    assert loaded.second.weight is loaded.first.weight
    assert same(loaded.state_dict(), net.state_dict())


def test_what_is_tied_in_a_model_of_transformers_comes_back(
    pipe: TinyPipeline, tmp_path: Path
) -> None:
    layer = pipe.text_encoder.encoder.layers[0].self_attn
    layer.k_proj.weight = layer.q_proj.weight
    layer.v_proj.weight = nn.Parameter(layer.q_proj.weight.data)
    pipe.save_pretrained(tmp_path)
    loaded = TinyPipeline.from_pretrained(tmp_path).text_encoder
    assert same(loaded.state_dict(), pipe.text_encoder.state_dict())


def test_what_every_load_ties_and_differs_here_is_refused(tmp_path: Path) -> None:
    config = T5Config(d_model=8, d_ff=8, d_kv=4, num_layers=1, num_heads=2, vocab_size=12)
    model = T5EncoderModel(config).eval()
    model.encoder.embed_tokens.weight = nn.Parameter(model.shared.weight + 1)
    with pytest.raises(ArgumentError, match=r"shared\.weight.*embed_tokens\.weight.*differ"):
        save_model(model, tmp_path / "t5", SaveOptions())
    # Two tensors of the same values are no loss.
    model.encoder.embed_tokens.weight = nn.Parameter(model.shared.weight.clone())
    save_model(model, tmp_path / "t5", SaveOptions())
    assert [p.name for p in tmp_path.iterdir()] == ["t5"]


class WithState(TinyNet):
    def get_extra_state(self) -> object:
        return {"any": "thing"}

    def set_extra_state(self, state: object) -> None: ...


def sparse() -> TinyNet:
    net = TinyNet()
    net.seed = nn.Parameter(torch.eye(4).to_sparse(), requires_grad=False)
    return net


def quantized() -> TinyNet:
    net = TinyNet()
    tensor = torch.quantize_per_tensor(torch.ones(4), 0.1, 0, torch.qint8)
    net.register_buffer("seed_int8", tensor)
    return net


class Packed(torch.Tensor):
    """As the libraries have it that quantize or shard."""


def packed() -> TinyNet:
    net = TinyNet()
    net.register_buffer("seed_packed", torch.ones(4).as_subclass(Packed))
    return net


def complex_() -> TinyNet:
    net = TinyNet()
    net.register_buffer("seed_complex", torch.ones(4, dtype=torch.complex128))
    return net


@pytest.mark.parametrize("make", [WithState, sparse, quantized, packed, complex_])
@pytest.mark.parametrize("safe", [True, False])
def test_what_no_file_can_hold_is_named_before_one_is_written(
    pipe: TinyPipeline, tmp_path: Path, make: Any, safe: bool
) -> None:
    pipe.net = make()
    if make is complex_ and not safe:
        pipe.net.save_pretrained(tmp_path / "n", safe_serialization=False)
        return
    for what in (pipe, pipe.net):
        with pytest.raises(ArgumentError, match=r"saved while .*(seed|_extra_state)"):
            what.save_pretrained(tmp_path / "p", safe_serialization=safe)
    assert list(tmp_path.iterdir()) == []


# Wrappers


def compiled(net: nn.Module) -> Any:
    return torch.compile(net, backend="eager")


def parallel(net: nn.Module) -> Any:
    return nn.DataParallel(net)


def compiled_and_parallel(net: nn.Module) -> Any:
    return parallel(compiled(net))


PEFT = stranger("BaseTuner", "peft.tuners.tuners_utils", "model")
PEFT_MODEL = stranger("PeftModel", "peft.peft_model", "base_model")
PEFT_LAYER = stranger("BaseTunerLayer", "peft.tuners.tuners_utils", "base_layer")
DEEPSPEED = stranger("DeepSpeedEngine", "deepspeed.runtime.engine", "module")


def adapted(net: nn.Module) -> Any:
    return type("PeftModelOfATask", (PEFT_MODEL,), {})(type("LoraModel", (PEFT,), {})(net))


@pytest.mark.parametrize("wrap", [compiled, parallel, compiled_and_parallel, adapted, DEEPSPEED])
def test_the_network_inside_a_wrapper_is_saved(
    pipe: TinyPipeline, tmp_path: Path, wrap: Any
) -> None:
    plain = pipe.net, pipe.text_encoder
    pipe.save_pretrained(tmp_path / "plain")
    pipe.net, pipe.text_encoder = map(wrap, plain)
    pipe.save_pretrained(tmp_path / "p")
    assert names(tmp_path / "p") == names(tmp_path / "plain")
    for name in names(tmp_path / "p"):
        assert (tmp_path / "p" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    # The pipeline goes on with what it had.
    assert (pipe.components["net"] is plain[0]) is False
    save_model(pipe.net, tmp_path / "n", SaveOptions())
    assert same(TinyNet.from_pretrained(tmp_path / "n").state_dict(), plain[0].state_dict())


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """Of this process alone."""
    store = f"file://{tmp_path}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()
    (tmp_path / "store").unlink(missing_ok=True)


def sharded(net: nn.Module, **keywords: Any) -> Any:
    from torch.distributed.fsdp import FullyShardedDataParallel

    return FullyShardedDataParallel(net, device_id=torch.device("cpu"), **keywords)


def sharded_in_parts(net: Any) -> Any:
    net.layers[0] = sharded(net.layers[0])
    return net


@pytest.mark.parametrize("wrap", [nn.parallel.DistributedDataParallel, sharded_in_parts])
@pytest.mark.filterwarnings("ignore")
def test_a_network_of_a_process_group_is_saved(
    process_group: None, pipe: TinyPipeline, tmp_path: Path, wrap: Any
) -> None:
    state = {name: tensor.clone() for name, tensor in pipe.net.state_dict().items()}
    pipe.net = wrap(pipe.net)
    pipe.save_pretrained(tmp_path / "p")
    assert same(TinyPipeline.from_pretrained(tmp_path / "p").net.state_dict(), state)


def sharded_in_place(net: nn.Module) -> Any:
    torch.distributed.fsdp.fully_shard(net)
    return net


@pytest.mark.parametrize(
    "wrap",
    [
        sharded,
        functools.partial(sharded, use_orig_params=True),
        sharded_in_place,
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_sharded_has_to_be_gathered_first(
    process_group: None, pipe: TinyPipeline, tmp_path: Path, wrap: Any
) -> None:
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    state = {name: tensor.clone() for name, tensor in pipe.net.state_dict().items()}
    pipe.net = wrap(pipe.net)
    with pytest.raises(ArgumentError, match="get_model_state_dict") as caught:
        pipe.save_pretrained(tmp_path / "p")
    assert len(str(caught.value)) < 800
    assert not (tmp_path / "p").exists()
    # What the message says helps.
    whole = get_model_state_dict(pipe.net, options=StateDictOptions(full_state_dict=True))
    pipe.net = TinyNet(depth=2)
    pipe.net.load_state_dict(whole)
    pipe.save_pretrained(tmp_path / "p")
    assert same(TinyPipeline.from_pretrained(tmp_path / "p").net.state_dict(), state)


@pytest.mark.parametrize("wrap", [compiled, PEFT_LAYER])
def test_wrappers_around_parts_leave_the_names_as_they_are(
    pipe: TinyPipeline, tmp_path: Path, wrap: Any, caplog: pytest.LogCaptureFixture
) -> None:
    state = dict(pipe.net.state_dict())
    pipe.net.layers[1] = wrap(pipe.net.layers[1])
    if wrap is PEFT_LAYER:
        pipe.net.layers[1].lora_A = nn.Linear(4, 2)
    pipe.net.layers = wrap(pipe.net.layers)
    pipe.save_pretrained(tmp_path)
    assert same(TinyPipeline.from_pretrained(tmp_path).net.state_dict(), state)
    assert ("lora_A" in caplog.text) is (wrap is PEFT_LAYER)


def test_an_unknown_wrapper_is_refused_before_anything_is_written(
    pipe: TinyPipeline, tmp_path: Path
) -> None:
    pipe.net = stranger("Wrapper", "somebody", "inner")(pipe.net)
    with pytest.raises(ArgumentError, match=r"'net' is a Wrapper"):
        pipe.save_pretrained(tmp_path / "p")
    assert list(tmp_path.iterdir()) == []
