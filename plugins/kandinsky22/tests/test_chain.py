"""A decoder's checkpoint finds its prior, and both are saved and switched as one pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autopipe import (
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
    DiffusionPipeline,
    KandinskyV22CombinedPipeline,
    KandinskyV22Img2ImgCombinedPipeline,
    KandinskyV22InpaintCombinedPipeline,
    KandinskyV22Pipeline,
    KandinskyV22PriorPipeline,
)
from autopipe.errors import (
    ArgumentError,
    ArgumentTypeError,
    CheckpointError,
    ConfigError,
    UnsafeCheckpointError,
    UnsupportedCheckpointError,
)

AUTOS: dict[Any, Any] = {
    AutoPipelineForText2Image: KandinskyV22CombinedPipeline,
    AutoPipelineForImage2Image: KandinskyV22Img2ImgCombinedPipeline,
    AutoPipelineForInpainting: KandinskyV22InpaintCombinedPipeline,
}
EVERY = pytest.mark.parametrize("auto", AUTOS, ids=lambda auto: auto.__name__)


@pytest.fixture
def decoder(build: Callable[..., Any], folder: Path) -> Path:
    """The folder of a decoder, with that of a prior beside it."""
    build(KandinskyV22PriorPipeline).save_pretrained(folder / "prior")
    build(KandinskyV22Pipeline).save_pretrained(folder / "decoder")
    return folder / "decoder"


def write_card(decoder: Path, entry: str) -> None:
    (decoder / "README.md").write_text(f"---\nlicense: mit\n{entry}\n---\n# A decoder\n", "utf-8")


@EVERY
@pytest.mark.parametrize("entry", ["prior: ../prior", "prior:\n- ../prior", "prior: [../prior]"])
def test_the_card_names_the_prior(decoder: Path, auto: Any, entry: str) -> None:
    write_card(decoder, entry)
    pipe = auto.from_pretrained(decoder)
    assert type(pipe) is AUTOS[auto]
    assert pipe.origins == {"": str(decoder), "prior": str(decoder.parent / "prior")}


def test_a_prior_inside_the_folder(decoder: Path) -> None:
    (decoder.parent / "prior").rename(decoder / "its_prior")
    write_card(decoder, "prior: its_prior")
    assert "its_prior" in AutoPipelineForText2Image.from_pretrained(decoder).origins["prior"]


def test_the_caller_goes_before_the_card(decoder: Path, build: Callable[..., Any]) -> None:
    write_card(decoder, "prior: ../nowhere")
    path = decoder.parent / "prior"
    assert AutoPipelineForText2Image.from_pretrained(decoder, prior=path).origins["prior"]
    loaded = build(KandinskyV22PriorPipeline)
    pipe = AutoPipelineForText2Image.from_pretrained(decoder, prior=loaded)
    assert pipe.prior_prior is loaded.prior
    assert pipe.prior_scheduler is not loaded.scheduler
    parts = {f"prior_{name}": one for name, one in loaded.components.items()}
    assert AutoPipelineForText2Image.from_pretrained(decoder, **parts).prior_prior is loaded.prior


def test_one_component_of_the_prior(decoder: Path, build: Callable[..., Any]) -> None:
    write_card(decoder, "prior: ../prior")
    mine = build(KandinskyV22PriorPipeline).image_encoder
    pipe = AutoPipelineForText2Image.from_pretrained(decoder, prior_image_encoder=mine)
    assert pipe.prior_image_encoder is mine


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("../../elsewhere", UnsafeCheckpointError),
        ("/etc", UnsafeCheckpointError),
        ("~/prior", UnsafeCheckpointError),
        (".", UnsafeCheckpointError),
        ("..", UnsafeCheckpointError),
        ("a\\b", UnsafeCheckpointError),
        ("link", UnsafeCheckpointError),
        ("nowhere", CheckpointError),
        ("[a, b]", ConfigError),
        ("{a: b}", ConfigError),
        ("!!python/object/apply:os.getcwd []", ConfigError),
    ],
)
def test_a_hostile_card(decoder: Path, tmp_path: Path, name: str, error: type) -> None:
    outside = tmp_path / "outside" / "prior"
    outside.parent.mkdir()
    (decoder.parent / "prior").rename(outside)
    (decoder / "link").symlink_to(outside, target_is_directory=True)
    write_card(decoder, f"prior: {name}")
    with pytest.raises(error, match="prior="):
        AutoPipelineForText2Image.from_pretrained(decoder)


def test_the_working_directory_is_no_place_for_priors(
    decoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name is never looked up where the program happens to run."""
    (tmp_path / "owner").mkdir()
    (decoder.parent / "prior").rename(tmp_path / "owner" / "name")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write_card(decoder, "prior: owner/name")
    with pytest.raises(CheckpointError, match="owner/name"):
        AutoPipelineForText2Image.from_pretrained(decoder, local_files_only=True)


def test_without_a_prior(decoder: Path, build: Callable[..., Any]) -> None:
    with pytest.raises(ArgumentError, match=r"also needs a prior.* as prior="):
        AutoPipelineForText2Image.from_pretrained(decoder)
    with pytest.raises(ArgumentError, match=r"also needs a prior.* as prior="):
        AutoPipelineForImage2Image.from_pipe(build(KandinskyV22Pipeline))
    with pytest.raises(ArgumentError, match="no image_encoder"):
        AutoPipelineForText2Image.from_pretrained(decoder, prior=decoder)
    with pytest.raises(ArgumentTypeError, match="'prior'"):
        AutoPipelineForText2Image.from_pretrained(decoder, priro=decoder)
    assert type(DiffusionPipeline.from_pretrained(decoder)) is KandinskyV22Pipeline


def test_the_decoders_options(decoder: Path) -> None:
    write_card(decoder, "prior: ../prior")
    pipe, told = AutoPipelineForText2Image.from_pretrained(
        decoder, torch_dtype=torch.bfloat16, output_loading_info=True
    )
    assert pipe.prior_prior.dtype == pipe.unet.dtype == torch.bfloat16
    assert {"unet", "prior_prior"} <= set(told)


def test_a_variant_that_only_the_decoder_has(decoder: Path, build: Callable[..., Any]) -> None:
    build(KandinskyV22Pipeline).to(torch.float32).save_pretrained(decoder, variant="ema")
    write_card(decoder, "prior: ../prior")
    assert AutoPipelineForText2Image.from_pretrained(decoder, variant="ema").prior_prior is not None


@EVERY
def test_both_in_one_folder(build: Callable[..., Any], folder: Path, auto: Any) -> None:
    pipe = build(KandinskyV22CombinedPipeline)
    pipe.save_pretrained(folder)
    loaded = auto.from_pretrained(folder)
    assert type(loaded) is AUTOS[auto]
    assert set(loaded.components) == set(pipe.components)


@EVERY
def test_switching_shares_everything(build: Callable[..., Any], auto: Any) -> None:
    pipe = build(KandinskyV22CombinedPipeline)
    prior, decoder = build(KandinskyV22PriorPipeline), build(KandinskyV22Pipeline)
    for view in (auto.from_pipe(pipe), auto.from_pipe(decoder, prior=prior)):
        assert type(view) is AUTOS[auto]
        for name, one in view.components.items():
            shared = one is pipe.components[name]
            assert shared or "scheduler" in name or "tokenizer" in name, name


def test_no_controlnet(build: Callable[..., Any]) -> None:
    with pytest.raises(UnsupportedCheckpointError, match="controlnet"):
        AutoPipelineForText2Image.from_pipe(
            build(KandinskyV22CombinedPipeline), controlnet=torch.nn.Identity()
        )
