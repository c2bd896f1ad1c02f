"""Tokens, ids, tables and pictures against diffusers, with the same files."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.parity

TOLERANCE = 1e-4
"""Of images in [0, 1]: float32 rounding, summed in another order, over a few steps."""

Rows = Callable[..., torch.Tensor]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    diffusers.utils.logging.set_verbosity_error()


def reference(pipe: Any, tokenizer: Any) -> Any:
    """The pipeline of diffusers with the classes, configs and weights of one of ours."""
    made = {}
    for name in ("vae", "unet", "text_encoder", "text_encoder_2"):
        ours = pipe.components.get(name)
        if ours is None:
            continue
        if hasattr(ours, "to_transformers"):
            made[name] = copy.deepcopy(ours.to_transformers())
        elif name.startswith("text"):
            made[name] = copy.deepcopy(ours)
        else:
            config = {k: v for k, v in ours.config.items() if not k.startswith("_")}
            made[name] = getattr(diffusers, type(ours).__name__).from_config(config).eval()
            made[name].load_state_dict(ours.state_dict())
    scheduler = getattr(diffusers, type(pipe.scheduler).__name__)
    options = {} if "text_encoder_2" in made else {"safety_checker": None}
    if options:
        options |= {"feature_extractor": None, "requires_safety_checker": False}
    else:
        options["add_watermarker"] = False
    tokenizers = {n: copy.deepcopy(tokenizer) for n in pipe.components if "tokenizer" in n}
    theirs = getattr(diffusers, type(pipe).__name__)(
        scheduler=scheduler.from_config(dict(pipe.scheduler.config)),
        **made,
        **tokenizers,
        **options,
    )
    theirs.set_progress_bar_config(disable=True)
    return theirs


@pytest.fixture
def both(pipe: Any, folder: Path) -> tuple[Any, Any]:
    return pipe, reference(pipe, transformers.CLIPTokenizer.from_pretrained(folder))


@pytest.fixture
def both_xl(xl: Any, folder: Path) -> tuple[Any, Any]:
    return xl, reference(xl, transformers.CLIPTokenizer.from_pretrained(folder))


def of_the_web_ui(rows: torch.Tensor, file: Path) -> Path:
    torch.save({"string_to_token": {"*": 265}, "string_to_param": {"*": rows}, "name": "old"}, file)
    return file


def test_files_lists_and_content_give_the_same_ids_and_tables(
    both: tuple[Any, Any], rows: Rows, tmp_path: Path, draw: Callable[..., Any]
) -> None:
    save_file({"<cat>": rows()[0]}, tmp_path / "learned_embeds.safetensors")
    of_the_web_ui(rows(3, seed=1), tmp_path / "ui.pt")
    save_file({"emb_params": rows(2, seed=2)}, tmp_path / "nameless.safetensors")
    for pipe in both:
        pipe.load_textual_inversion(str(tmp_path))
        pipe.load_textual_inversion(str(tmp_path), weight_name="ui.pt", token="<ui>")
        pipe.load_textual_inversion(
            [str(tmp_path / "nameless.safetensors"), {"<d>": rows(1, seed=3)}],
            token=["<n>", "<d>"],
        )
        pipe.load_textual_inversion(rows(2, seed=4), token=["<s0>", "<s1>"])
    check_same(*both)
    prompts = [
        "a <cat> <ui> sat", "a <CAT>", "the<ui>re", "<n><d>", "<s0> <s1>", "<ui>_1", "a cat sat at",
    ]  # fmt: skip
    for prompt in prompts:
        assert check_prompt(*both, prompt) < TOLERANCE
        assert float((draw(both[0], prompt) - drawn(both[1], prompt)).abs().max()) < TOLERANCE
    for pipe in both:
        pipe.unload_textual_inversion(["<cat>", "<n>", "<n>_1"])
    check_same(*both)
    for pipe in both:
        pipe.unload_textual_inversion()
    check_same(*both)
    assert float((draw(both[0]) - drawn(both[1])).abs().max()) < TOLERANCE


def check_same(ours: Any, theirs: Any, second: str = "") -> None:
    one, other = (getattr(p, f"tokenizer{second}") for p in (ours, theirs))
    assert one.get_vocab() == other.get_vocab()
    assert len(one) == len(other)
    one, other = (
        getattr(p, f"text_encoder{second}").get_input_embeddings() for p in (ours, theirs)
    )
    assert torch.equal(one.weight, other.weight)


def check_prompt(ours: Any, theirs: Any, prompt: str) -> float:
    texts = [p.maybe_convert_prompt(prompt, p.tokenizer) for p in (ours, theirs)]
    assert texts[0] == texts[1]
    ids = [p.tokenizer(text).input_ids for p, text in zip((ours, theirs), texts)]
    assert ids[0] == ids[1]
    embeds = [p.encode_prompt(prompt, "cpu", 1, False)[0] for p in (ours, theirs)]
    return float((embeds[0] - embeds[1]).abs().max())


def drawn(pipe: Any, prompt: str = "a <cat> sat") -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    found = pipe(prompt, num_inference_steps=2, output_type="pt", generator=generator).images
    return torch.as_tensor(found)


def test_two_text_encoders_one_by_one(
    both_xl: tuple[Any, Any], rows: Rows, draw: Callable[..., Any]
) -> None:
    def parts(pipe: Any, second: str) -> dict[str, Any]:
        names = (f"tokenizer{second}", f"text_encoder{second}")
        return dict(zip(("tokenizer", "text_encoder"), (getattr(pipe, n) for n in names)))

    tokens = ["<s0>", "<s1>"]
    for pipe in both_xl:
        pipe.load_textual_inversion(rows(2), token=tokens, **parts(pipe, ""))
        pipe.load_textual_inversion(rows(2, second=True), token=tokens, **parts(pipe, "_2"))
        pipe.load_textual_inversion(rows(3, second=True), token="<m>", **parts(pipe, "_2"))
    prompt = "a <s0><s1> <m>"
    ours, theirs = both_xl
    for second in ("", "_2"):
        check_same(ours, theirs, second)
    assert float((draw(ours, prompt) - drawn(theirs, prompt)).abs().max()) < TOLERANCE
    for pipe in both_xl:
        pipe.unload_textual_inversion(tokens=tokens, **parts(pipe, "_2"))
    for second in ("", "_2"):
        check_same(ours, theirs, second)
    assert float((draw(ours, prompt) - drawn(theirs, prompt)).abs().max()) < TOLERANCE


def test_the_same_mistakes_are_errors(both: tuple[Any, Any], rows: Rows) -> None:
    bad: list[tuple[Any, dict[str, Any]]] = [
        ({"at</w>": rows()}, {}),
        ({"<a>": rows(width=7)}, {}),
        ({"<a>": rows(), "<b>": rows()}, {}),
        (rows(), {}),
        ([rows(), rows()], {"token": ["<a>", "<a>"]}),
        ([rows(), rows()], {"token": ["<a>"]}),
        (rows(3), {"token": ["<a>", "<b>"]}),
    ]
    for pipe in both:
        for source, options in bad:
            with pytest.raises(ValueError):
                pipe.load_textual_inversion(source, **options)
        with pytest.raises(ValueError):
            pipe.unload_textual_inversion("<a>")
        pipe.load_textual_inversion({"<a>": rows(2)})
        for token in ("<a>", "<a>_1"):
            with pytest.raises(ValueError):
                pipe.load_textual_inversion({token: rows()})


def test_a_token_and_a_lora_of_the_text_encoder(
    both: tuple[Any, Any], rows: Rows, draw: Callable[..., Any]
) -> None:
    pytest.importorskip("peft")
    layer = "text_encoder.text_model.encoder.layers.1.self_attn.q_proj"
    change = {
        f"{layer}.lora_A.weight": rows(2, seed=5),
        f"{layer}.lora_B.weight": rows(2, seed=6).T.contiguous(),
    }
    pictures = []
    for pipe in both:
        pipe.load_textual_inversion({"<cat>": rows(2)})
        without = drawn(pipe)
        pipe.load_lora_weights(dict(change))
        pictures.append(drawn(pipe))
        assert float((pictures[-1] - without).abs().max()) > TOLERANCE
    assert float((pictures[0] - pictures[1]).abs().max()) < TOLERANCE
    for pipe in both:
        pipe.unload_textual_inversion()
    ours, theirs = (pipe.encode_prompt("a cat sat", "cpu", 1, False)[0] for pipe in both)
    assert float((ours - theirs).detach().abs().max()) < TOLERANCE
