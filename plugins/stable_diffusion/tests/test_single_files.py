"""Single files of Stable Diffusion, of the sizes that are published and of wrong ones."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.single_files import assert_same_images, assert_same_tensors, saved
from support.sparse import layout_shapes, on_meta, sparse_file

from autopipe import (
    AutoencoderKL,
    AutoPipelineForImage2Image,
    AutoPipelineForText2Image,
    DiffusionPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from autopipe.errors import (
    ArgumentError,
    ArgumentTypeError,
    CheckpointError,
    ConfigError,
    DamagedFileError,
    QuantizedWeightsError,
    UnsafeCheckpointError,
    UnsupportedCheckpointError,
    WeightsMismatchError,
)
from autopipe_components.encoders.clip_text import CLIPTextModel
from autopipe_components.original.layout import presets
from autopipe_stable_diffusion.single_file import StableDiffusionLayout

SHAPES = {
    # Of the published files of Stable Diffusion 1.5 and 2.1.
    "sd1": {
        "model.diffusion_model.output_blocks.11.0.skip_connection.weight": (320, 640, 1, 1),
        "model.diffusion_model.input_blocks.1.1.proj_in.weight": (320, 320, 1, 1),
        "first_stage_model.decoder.up.0.block.0.nin_shortcut.weight": (128, 256, 1, 1),
        "first_stage_model.decoder.mid.attn_1.q.weight": (512, 512, 1, 1),
        "cond_stage_model.transformer.text_model.encoder.layers.11.mlp.fc1.weight": (3072, 768),
    },
    "sd2": {
        "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (
            320,
            1024,
        ),
        "model.diffusion_model.input_blocks.1.1.proj_in.weight": (320, 320),
        "cond_stage_model.model.transformer.resblocks.22.attn.in_proj_weight": (3072, 1024),
        "cond_stage_model.model.positional_embedding": (77, 1024),
    },
}


def published(kind: str, channels: int = 4) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a published file, less what is passed over."""
    configs = presets("autopipe_stable_diffusion")[kind]
    classes = {"unet": UNet2DConditionModel, "vae": AutoencoderKL, "text_encoder": CLIPTextModel}
    given = {**configs, "unet": {**configs["unet"], "in_channels": channels}}
    networks = {name: on_meta(cls, given[name]) for name, cls in classes.items()}
    return layout_shapes(StableDiffusionLayout, "StableDiffusionPipeline", networks)


@pytest.mark.parametrize("kind", SHAPES)
def test_names_and_shapes_are_the_published_ones(kind: str) -> None:
    found = published(kind)
    assert {name: found[name] for name in SHAPES[kind]} == SHAPES[kind]
    unet = [name for name in found if name.startswith("model.diffusion_model.")]
    assert len(unet) == 686


@pytest.mark.parametrize(
    ("kind", "channels", "cls", "scheduler", "predicts", "size"),
    [
        ("sd1", 4, "StableDiffusionPipeline", "PNDMScheduler", "epsilon", 64),
        ("sd1", 9, "StableDiffusionInpaintPipeline", "DDIMScheduler", "epsilon", 64),
        ("sd2", 4, "StableDiffusionPipeline", "DDIMScheduler", "v_prediction", 96),
        ("sd2", 9, "StableDiffusionInpaintPipeline", "PNDMScheduler", "epsilon", 64),
    ],
)
def test_a_file_alone_is_enough(
    kind: str, channels: int, cls: str, scheduler: str, predicts: str, size: int, tmp_path: Path
) -> None:
    extra = {"model_ema.decay": (), "alphas_cumprod": (1000,)}
    file = sparse_file(tmp_path / "x.safetensors", published(kind, channels) | extra)
    pipe = DiffusionPipeline.from_single_file(file, torch_dtype="auto")
    assert type(pipe).__name__ == cls
    assert type(pipe.scheduler).__name__ == scheduler
    assert pipe.scheduler.config.get("prediction_type", "epsilon") == predicts
    assert (pipe.unet.config.sample_size, pipe.unet.config.in_channels) == (size, channels)
    assert pipe.unet.dtype is torch.float16
    # As OpenAI's CLIP encodes it.
    ids = pipe.tokenizer("a photo of an astronaut riding a horse", padding="max_length").input_ids
    padding = 0 if kind == "sd2" else 49407
    words = [49406, 320, 1125, 539, 550, 18376, 6765, 320, 4558, 49407]
    assert ids == [*words, *[padding] * 67]
    assert pipe.safety_checker is None


def test_keywords_say_what_the_file_does_not(tmp_path: Path, caplog: Any) -> None:
    file = sparse_file(tmp_path / "x.safetensors", published("sd2"))
    load: Any = StableDiffusionPipeline.from_single_file
    with caplog.at_level(logging.INFO, "autopipe"):
        load(file, torch_dtype="auto")
    assert "pass prediction_type='epsilon'" in caplog.text
    caplog.clear()
    pipe = load(file, torch_dtype="auto", prediction_type="epsilon", scheduler_type="euler")
    assert "assumed" not in caplog.text
    assert type(pipe.scheduler).__name__ == "EulerDiscreteScheduler"
    assert pipe.scheduler.config.prediction_type == "epsilon"
    assert pipe.unet.config.sample_size == 64
    with pytest.raises(ArgumentError, match=r"'ddin'.*Did you mean 'ddim'"):
        load(file, scheduler_type="ddin")
    with pytest.raises(ArgumentError, match="prediction_type='noise'"):
        load(file, prediction_type="noise")
    with pytest.raises(ArgumentError, match="safety_checker="):
        load(file, load_safety_checker=True)
    with pytest.raises(ArgumentTypeError, match="no keyword 'nonsense'"):
        load(file, nonsense=1)


@pytest.fixture
def file(build: Callable[..., Any], folder: Path) -> Path:
    return saved(build(StableDiffusionPipeline), folder)


def test_every_way_to_open_it(file: Path, folder: Path) -> None:
    whole = StableDiffusionPipeline.from_pretrained(folder)
    for opener, kind in (
        (DiffusionPipeline, StableDiffusionPipeline),
        (StableDiffusionImg2ImgPipeline, StableDiffusionImg2ImgPipeline),
        (AutoPipelineForText2Image, StableDiffusionPipeline),
        (AutoPipelineForImage2Image, StableDiffusionImg2ImgPipeline),
    ):
        pipe: Any = opener.from_single_file(file, config=folder)  # type: ignore[attr-defined]
        assert type(pipe) is kind
        assert_same_tensors(pipe, whole)
    assert_same_images(
        StableDiffusionPipeline.from_single_file(file, config=folder), whole, prompt="a cat"
    )


def test_given_components_are_used(file: Path, folder: Path) -> None:
    vae = AutoencoderKL.from_pretrained(folder, subfolder="vae")
    pipe: Any = StableDiffusionPipeline.from_single_file(file, config=folder, vae=vae)
    assert pipe.vae is vae


def test_what_the_file_lacks_comes_from_the_folder(file: Path, folder: Path) -> None:
    state = load_file(file)
    save_file({n: t for n, t in state.items() if not n.startswith("first_stage")}, file)
    pipe = StableDiffusionPipeline.from_single_file(file, config=folder)
    assert_same_tensors(pipe, StableDiffusionPipeline.from_pretrained(folder))


def test_the_file_is_named_not_a_temporary_folder(file: Path, folder: Path) -> None:
    pipe: Any = StableDiffusionPipeline.from_single_file(file, config=folder)
    assert pipe.unet.config._name_or_path == str(file / "unet")


def changed(file: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    state = load_file(file)
    change(state)
    other = file.with_name("other.safetensors")
    save_file(state, other)
    return other


CONV = "model.diffusion_model.middle_block.0.in_layers.2.weight"


def test_wrong_files_say_what_is_wrong(file: Path, folder: Path) -> None:
    def refused(error: type[Exception], change: Callable[[dict[str, Any]], Any]) -> str:
        with pytest.raises(error) as caught:
            StableDiffusionPipeline.from_single_file(changed(file, change), config=folder)
        return str(caught.value)

    shape = refused(WeightsMismatchError, lambda s: s.update({CONV: torch.ones(1, 2)}))
    assert "mid_block.resnets.0.conv1.weight has the shape (1, 2)" in shape
    absent = refused(WeightsMismatchError, lambda s: s.pop(CONV))
    assert "lack mid_block.resnets.0.conv1.weight" in absent
    bad = torch.ones(3)
    first = "model.diffusion_model.input_blocks.0.0.weight"
    assert "four axes" in refused(WeightsMismatchError, lambda s: s.update({first: bad}))
    nf4 = refused(QuantizedWeightsError, lambda s: s.update({f"{CONV}.absmax": bad}))
    assert "bitsandbytes" in nf4
    fp8 = refused(QuantizedWeightsError, lambda s: s.update({"scaled_fp8": bad}))
    assert "scaled float8" in fp8
    # Two layouts at once.
    second = {"input_blocks.0.0.weight": bad, "out.2.weight": torch.ones(4)}
    both = refused(UnsupportedCheckpointError, lambda s: s.update(second))
    assert "stable-diffusion and stable-diffusion-unet" in both


@pytest.mark.parametrize(
    ("names", "call"),
    [
        (["unet.down_blocks.0.attentions.0.proj_in.lora_A.weight"], "load_lora_weights"),
        (["lora_unet_down_blocks_0.lora_down.weight"], "load_lora_weights"),
        (["emb_params"], "load_textual_inversion"),
        (["ip_adapter.1.to_k_ip.weight", "image_proj.norm.weight"], "load_ip_adapter"),
        (["encoder.conv_in.weight", "encoder.mid.block_1.conv1.weight"], "config="),
    ],
)
def test_a_file_of_something_else_says_which_call_takes_it(
    names: list[str], call: str, tmp_path: Path
) -> None:
    save_file({name: torch.ones(2) for name in names}, tmp_path / "x.safetensors")
    with pytest.raises((UnsupportedCheckpointError, WeightsMismatchError), match=call):
        DiffusionPipeline.from_single_file(tmp_path / "x.safetensors")


def test_an_autoencoder_alone_is_not_a_pipeline(file: Path, tmp_path: Path) -> None:
    state = {n: t for n, t in load_file(file).items() if n.startswith("first_stage_model.")}
    save_file(state, tmp_path / "vae.safetensors")
    with pytest.raises(CheckpointError, match=r"vae alone.*AutoencoderKL.from_single_file.*vae="):
        DiffusionPipeline.from_single_file(tmp_path / "vae.safetensors")
    with pytest.raises(UnsupportedCheckpointError, match=r"vae \(AutoencoderKL\)"):
        UNet2DConditionModel.from_single_file(tmp_path / "vae.safetensors")


def test_damaged_files(file: Path, folder: Path, tmp_path: Path) -> None:
    load: Any = StableDiffusionPipeline.from_single_file
    content = file.read_bytes()
    file.write_bytes(content[:-5])
    with pytest.raises(DamagedFileError, match="5 are missing"):
        load(file, config=folder)
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(QuantizedWeightsError, match="GGUF"):
        load(tmp_path / "x.gguf")
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"rename it to x.safetensors"):
        load(tmp_path / "x.ckpt")
    torch.save({"state_dict": {"a": print}}, tmp_path / "y.ckpt")
    with pytest.raises(UnsafeCheckpointError, match="could run code"):
        load(tmp_path / "y.ckpt")
    torch.save({"string_to_param": {"*": torch.ones(1, 8)}, "name": "x"}, tmp_path / "e.pt")
    with pytest.raises(UnsupportedCheckpointError, match="load_textual_inversion"):
        load(tmp_path / "e.pt")
    for absent in (tmp_path / "absent.safetensors", "https://example.org/x.safetensors"):
        with pytest.raises(CheckpointError, match="doesn't exist"):
            load(absent)
    with pytest.raises(CheckpointError, match="is a folder; call from_pretrained"):
        load(folder)
    with pytest.raises(ArgumentTypeError, match="not int"):
        load(3)


def test_tiny_files_need_a_config(file: Path) -> None:
    with pytest.raises(UnsupportedCheckpointError, match=r"unet of a size .* pass config="):
        StableDiffusionPipeline.from_single_file(file)


ORIGINAL = """
model:
  target: os.system
  params:
    linear_start: 0.00085
    linear_end: 0.012
    timesteps: 1000
    parameterization: v
    scale_factor: 0.5
    unet_config:
      target: posix.system
      params: {in_channels: 4, out_channels: 4, model_channels: 32, num_res_blocks: 1,
        attention_resolutions: [1], channel_mult: [1, 2], num_heads: 2, context_dim: 768,
        transformer_depth: 1, use_spatial_transformer: true, legacy: false}
    first_stage_config:
      params:
        ddconfig: {resolution: 16, in_channels: 3, out_ch: 3, ch: 32, ch_mult: [1, 2],
          num_res_blocks: 1, z_channels: 4, double_z: true, attn_resolutions: []}
"""


@pytest.fixture
def described(unets: Any, build: Callable[..., Any], tmp_path: Path) -> Path:
    """A file whose networks the original config describes; the text encoder is left out."""
    pipe = build(
        StableDiffusionPipeline,
        unet=unets(block_out_channels=(32, 64), cross_attention_dim=768, norm_num_groups=32),
        vae=AutoencoderKL(
            block_out_channels=(32, 64),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
        ),
    )
    file = saved(pipe, tmp_path / "described")
    return changed(file, lambda s: [s.pop(n) for n in list(s) if n.startswith("cond_")])


def test_an_original_config_is_data(described: Path, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(ORIGINAL)
    import yaml

    for original in (
        tmp_path / "x.yaml",
        str(tmp_path / "x.yaml"),
        ORIGINAL,
        yaml.safe_load(ORIGINAL),
    ):
        pipe: Any = StableDiffusionPipeline.from_single_file(
            described, original_config=original, text_encoder=None, tokenizer=None
        )
        assert pipe.unet.config.block_out_channels == [32, 64]
        assert pipe.vae.config.scaling_factor == 0.5
        assert pipe.scheduler.config.prediction_type == "v_prediction"
    with pytest.raises(ArgumentError, match="give one of them"):
        StableDiffusionPipeline.from_single_file(
            described, original_config=ORIGINAL, config=tmp_path
        )


@pytest.mark.parametrize(
    ("original", "message"),
    [
        ("!!python/object/apply:os.system ['true']\n", "not plain YAML"),
        ("a: [\n", "not plain YAML"),
        ("a: &a {x: 1}\nb: {<<: [*a, *a]}\n", "line 2 has an alias"),
        ("a: !!int ''\n", "line 1 has an alias or a tag"),
        ("a: !!timestamp x\n", "line 1 has an alias or a tag"),
        ("a: 2026-01-01\n", "not plain YAML"),
        (f"a: 0x{'f' * 9000}\n", "not plain YAML"),
        ("a: 1\n", "no 'model' with 'params'"),
        ("[" * 100_000 + "\n", "not plain YAML"),
        ("x" * (1 << 20) + "\n", "the limit is"),
        ("model: {params: {unet_config: {params: {model_channels: x}}}}\n", "channel_mult|integer"),
        ("https://example.org/x.yaml", "is a URL"),
        ("absent.yaml", "can't be read"),
        ({}, "no 'model' with 'params'"),
        (5, "must be a path"),
    ],
)
def test_bad_original_configs(original: Any, message: str, described: Path) -> None:
    with pytest.raises((ConfigError, ArgumentTypeError), match=message):
        StableDiffusionPipeline.from_single_file(described, original_config=original)
