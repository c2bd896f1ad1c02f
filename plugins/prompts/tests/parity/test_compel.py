"""Embeddings of compel: those of the add-on, and those of compel itself on our components."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

import autopipe
from autopipe.checkpoint.address import demo_folder
from autopipe.errors import ArgumentError
from autopipe.registry import default_registry
from autopipe_prompts.compel.operators import parts_of
from autopipe_prompts.embeds import weighted_embeds

pytestmark = pytest.mark.parity

compel = pytest.importorskip("compel")

ROUNDING = 2e-6
"""Float32 rounding: attention and sums in another order. States reach about 3."""

PROMPTS = [
    "",
    "a red circle",
    "a red++ circle",
    "a red-- circle",
    "a (red circle)1.4 on a (white)0.3 background---",
    "(a (red)1.3 circle)0.8 and ((a star)+)++",
    '"a red circle"++ "on white"0.5',
    "a well-known circle, red,blue++ and white.",
    r"\(a\) circle\++",
    "a circle.attend(1.3) (on white).attend(--)",
    "(unbalanced circle++ red)",
    '("a red circle", "a blue star--").and()',
    '("a red++ circle", "a blue star").and(1, 0.4)',
    '("a red circle", "a (blue)0.4 star").blend(0.7, 0.3)',
    '("a red circle", "a star", "white").blend(1, -0.5, 0.2, no_normalize)',
    "(a red circle)0",
    "a red circle. " * 9,
    "a red circle, " * 9,
    "red " * 70,
    "a (red circle. " + "blue star, " * 20 + "white)0.4 star++",
    "(red circle (blue star " + "and white, " * 20 + "red)0.6 blue)0.5",
    '("' + "a red circle, " * 9 + '", "a star").blend(1, 1)',
]


@pytest.fixture(scope="module")
def theirs() -> dict[str, Any]:
    """The tokenizer and the text encoder of the demo, as transformers loads them."""
    folder = demo_folder("stable_diffusion", default_registry())
    encoder = transformers.CLIPTextModel.from_pretrained(folder / "text_encoder")
    return {
        "tokenizer": transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        "text_encoder": encoder.float().eval(),
    }


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize("text", PROMPTS)
def test_embeddings_of_stable_diffusion(
    sd: Any, theirs: dict[str, Any], text: str, truncated: bool
) -> None:
    oracle = compel.Compel(**theirs, truncate_long_prompts=truncated)
    expected = oracle(text)
    found = weighted_embeds(sd, text, grammar="compel", truncate_long_prompts=truncated)[0]
    # A negative prompt is never longer here, so the length is that of the prompt.
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, atol=ROUNDING)
    light = compel.Compel(
        tokenizer=sd.tokenizer, text_encoder=sd.text_encoder, truncate_long_prompts=truncated
    )
    assert torch.allclose(light(text), expected, atol=ROUNDING)


def test_skipped_layers(sd: Any) -> None:
    # For this, compel needs the layers in text_model, which transformers' own class lacks now.
    oracle = compel.Compel(
        tokenizer=sd.tokenizer,
        text_encoder=sd.text_encoder,
        returned_embeddings_type=(
            compel.ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NORMALIZED
        ),
    )
    text = "a (red)0.4 circle++"
    found = weighted_embeds(sd, text, grammar="compel", clip_skip=1)[0]
    assert torch.allclose(found, oracle(text), atol=ROUNDING)


def test_prompts_and_negative_prompts_of_calls(sd: Any, theirs: dict[str, Any]) -> None:
    from compel import CompelForSD

    prompts, negative = ["a red++ circle", "a star, " * 12], ["blue--", "red " * 60]

    class Parts:
        tokenizer, text_encoder = theirs["tokenizer"], theirs["text_encoder"]

    expected = CompelForSD(Parts())(prompts, negative_prompt=negative)
    found = weighted_embeds(sd, prompts, negative, "compel")
    light = CompelForSD(sd)(prompts, negative_prompt=negative)
    for one in (found, (light.embeds, light.negative_embeds)):
        assert torch.allclose(one[0], expected.embeds, atol=ROUNDING)
        assert torch.allclose(one[1], expected.negative_embeds, atol=ROUNDING)
    call = {"num_inference_steps": 2, "output_type": "latent"}

    def drawn(**prompts: Any) -> Tensor:
        latents: Tensor = sd(**prompts, **call, generator=torch.Generator().manual_seed(1)).images
        return latents

    given = drawn(prompt_embeds=light.embeds, negative_prompt_embeds=light.negative_embeds)
    sd.attach("compel")
    own = drawn(prompt=prompts, negative_prompt=negative)
    # Rounding of the embeddings, over two steps.
    assert torch.allclose(own, given, atol=1e-4)


@pytest.fixture
def light_xl(xl: Any, tmp_path: Path) -> Any:
    """The tiny SDXL with our own text encoders and tokenizers."""
    xl.save_pretrained(tmp_path)
    pipe = autopipe.StableDiffusionXLPipeline.from_pretrained(tmp_path, add_watermarker=False)
    assert type(pipe.text_encoder).__module__.startswith("autopipe")
    return pipe


@pytest.mark.parametrize(
    ("text", "style"),
    [
        ("a cat++", None),
        ("a (cat)0.4 (dog)1.3", None),
        ("a cat, a dog. a cat++ and a dog in a car", None),
        ("a cat", "a cat, a dog. a cat++ and a dog in a car"),
        ('("a cat", "a dog").and()', "a (cat)0.3"),
    ],
)
def test_embeddings_of_two_encoders(xl: Any, light_xl: Any, text: str, style: str | None) -> None:
    from compel import CompelForSDXL

    expected = CompelForSDXL(xl)(text, style, negative_prompt="a dog")
    names = ("embeds", "negative_embeds", "pooled_embeds", "negative_pooled_embeds")
    light = CompelForSDXL(light_xl)(text, style, negative_prompt="a dog")
    light_xl.attach("compel")
    with torch.no_grad():
        found = light_xl.encode_prompt(text, style, negative_prompt="a dog")
    for name, own in zip(names, found):
        assert torch.allclose(getattr(light, name), getattr(expected, name), atol=ROUNDING)
        assert torch.allclose(own, getattr(expected, name), atol=ROUNDING)


_ATOMS = (
    *("cat", "a", "dog", "well-known", "1.3", "0.5", "++", "--", "+", "-", "(", ")", "(a b)"),
    *("(a)1.2", '"x y"', '"q"++', ",", ".", ", ", r"\(", r"\)", " ", " ", " ", "  ", "="),
    *("a=b", ".attend(1.2)", ".and()", "é", ":", "5", "-5", ".5", "\n"),
)


def _random_prompt(draw: random.Random) -> str:
    if draw.random() < 0.7:
        return "".join(draw.choices(_ATOMS, k=draw.randint(1, 12)))
    inner = ", ".join(
        '"' + "".join(draw.choices(_ATOMS, k=3)).replace('"', "") + '"'
        for _ in range(draw.randint(1, 3))
    )
    operators = (".blend(0.7, 0.3)", ".and()", ".blend()", ".and(1, 0.5)", ".add(1)")
    return f"({inner}){draw.choice(operators)}"


def test_random_prompts_are_read_as_compel_reads_them() -> None:
    parser, draw = compel.compel.PromptParser(), random.Random(7)
    kept = 0
    for _ in range(150):
        text = _random_prompt(draw)
        try:
            expected = _read_by(parser, text)
        except Exception:
            with pytest.raises(ArgumentError):
                parts_of(text)
            continue
        kept += 1
        found = [
            ([[(f.text, f.weight) for f in one] for one in part.prompts], [*part.shares])
            for part in parts_of(text)
        ]
        for (own, shares), (prompts, others) in zip(found, expected, strict=True):
            assert shares == pytest.approx(others), text
            for one, other in zip(own, prompts, strict=True):
                assert [word for word, _ in one] == [word for word, _ in other], text
                assert [w for _, w in one] == pytest.approx([w for _, w in other]), text
    assert kept > 120


def _read_by(parser: Any, text: str) -> list[tuple[list[Any], list[float]]]:
    """Return what compel reads: fragments with weights, and the shares of what it blends."""

    def read(one: Any) -> list[Any]:
        return [(f.text, f.weight) for f in one.children]

    found = []
    for prompt in parser.parse_conjunction(text).prompts:
        if hasattr(prompt, "prompts"):
            total = sum(prompt.weights) if prompt.normalize_weights else 1.0
            found.append((list(map(read, prompt.prompts)), [w / total for w in prompt.weights]))
        else:
            found.append(([read(prompt)], [1.0]))
    return found
