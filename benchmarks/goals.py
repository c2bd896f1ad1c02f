"""What is measured, and the goal of each figure."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from processes import Variant

REFERENCE = "reference"
OURS = "autopipe"


@dataclass(frozen=True)
class Row:
    """A figure of the table: a quantity of one variant, as a ratio to that of another.

    Attributes:
        key: its name, by which pages show the figure.
        title: what the table calls it.
        variant: the measured variant of the group.
        against: the variant it is compared with; None if the quantity itself is the figure.
        goal: the figure should be at most this.
        quantity: what is compared.
        beside: a further quantity of both variants, shown beside the figure.
    """

    key: str
    title: str
    goal: float
    variant: str = OURS
    against: str | None = REFERENCE
    quantity: str = "seconds"
    beside: str | None = None

    @property
    def unit(self) -> str:
        """The unit of the quantity."""
        return "MiB" if self.quantity.endswith("MiB") else "s"


@dataclass(frozen=True)
class Group:
    """Variants that take turns at one task, and the rows that come from it.

    Attributes:
        name: what `--only` takes.
        title: the heading of its rows.
        checkpoint: the size of the checkpoint; see `checkpoints.py`.
        task: a task of `measure.py`, or None for programs.
        variants: by name.
        rows: the figures.
        options: options of the task for all variants.
        programs: the commands by variant, where `{folder}` stands for the checkpoint.
        needs: the distributions that a variant needs.
        once: whether a process takes one measurement, because what it measures happens once.
        quick, full: the number of processes of each variant, and of turns in each.
        quick_options: options that replace `options` in a quick run.
        only_full: the variants that a quick run leaves out.
    """

    name: str
    title: str
    checkpoint: str
    rows: Sequence[Row]
    task: str | None = None
    variants: Mapping[str, Variant] = field(
        default_factory=lambda: {REFERENCE: Variant("diffusers"), OURS: Variant("autopipe")}
    )
    options: Mapping[str, Any] = field(default_factory=dict)
    programs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    once: bool = False
    quick: tuple[int, int] = (3, 1)
    full: tuple[int, int] = (7, 1)
    quick_options: Mapping[str, Any] = field(default_factory=dict)
    only_full: frozenset[str] = frozenset()


def _python(text: str) -> Sequence[str]:
    return sys.executable, "-c", text


_DRAW = """
from {library} import AutoPipelineForText2Image
pipe = AutoPipelineForText2Image.from_pretrained("{{folder}}")
pipe.set_progress_bar_config(disable=True)
pipe("a red circle", num_inference_steps=2, height=64, width=64).images[0].save("circle.png")
"""
_IMPORT = "from {library} import AutoPipelineForText2Image"
_SCHEDULERS = (
    "PNDMScheduler",
    "DDIMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
)


def _both(text: str) -> Mapping[str, Sequence[str]]:
    return {
        REFERENCE: _python(text.format(library="diffusers")),
        OURS: _python(text.format(library="autopipe")),
    }


def _overhead(name: str, checkpoint: str, row: Row) -> Group:
    """The group of networks so small that the overhead of Python is what takes the time."""
    return Group(
        name,
        "Tiny networks, 16 x 16: what is left is the overhead of Python; 20 steps, six schedulers",
        checkpoint,
        (row,),
        task="small_calls",
        options={"steps": 20, "side": 16, "schedulers": _SCHEDULERS, "pinned": True},
        quick=(2, 1),
        full=(7, 3),
    )


def _engine(name: str, **options: Any) -> Variant:
    return Variant("autopipe", {"engine": name, "engine_options": options})


_CALLS = {
    REFERENCE: Variant("diffusers"),
    OURS: Variant("autopipe"),
    "allocator off": Variant("autopipe", environment={"AUTOPIPE_ALLOCATOR": "0"}),
    "openvino": _engine("openvino"),
    "openvino bfloat16": _engine("openvino", precision="bf16"),
    "onnx": _engine("onnx"),
    "compile": _engine("compile"),
}
_NEEDS = {
    "openvino": "autopipe-openvino",
    "openvino bfloat16": "autopipe-openvino",
    "onnx": "autopipe-onnx",
}


def _by_engine(key: str, quantity: str, goals: Mapping[str, float]) -> list[Row]:
    """A row for each of several variants of a call, with a goal each."""
    return [
        Row(f"{key}-{variant}".replace(" ", "-"), variant, goal, variant, quantity=quantity)
        for variant, goal in goals.items()
    ]


_LORA = {REFERENCE: "peft", OURS: "autopipe-lora"}


def _with_loras(count: int, told: str) -> Group:
    """The group of steps with so many active LoRAs."""
    return Group(
        f"loras-{told}",
        f"A step of SD 1.5 with active LoRAs, 256 x 256, guidance, one thread: {told}",
        "real",
        (Row(f"lora-{told}", f"with {told}", 0.85, quantity="step"),),
        task="call",
        needs=_LORA,
        options={"steps": 6, "side": 256, "pinned": True, "loras": count},
        quick=(1, 2),
        quick_options={"steps": 3},
        full=(3, 2),
    )


GROUPS = (
    Group(
        "cold",
        "First picture from a cold start, with a tiny checkpoint and two steps",
        "tiny",
        (
            Row("cold", "a program: import, load, draw, save", 0.35),
            Row("generate", "autopipe generate, against that program", 0.35, "generate"),
        ),
        variants={
            REFERENCE: Variant("diffusers"),
            OURS: Variant("autopipe"),
            "generate": Variant("autopipe"),
        },
        programs={
            **_both(_DRAW),
            "generate": (
                *(sys.executable, "-m", "autopipe", "generate", "a red circle", "-q"),
                *("--model", "{folder}", "--steps", "2", "--size", "64x64", "-o", "circle.png"),
            ),
        },
        quick=(4, 1),
    ),
    Group(
        "import",
        "Import of a pipeline class",
        "tiny",
        (Row("import", "import AutoPipelineForText2Image", 0.05),),
        programs=_both(_IMPORT),
    ),
    Group(
        "resolve",
        "Resolving: which class opens a checkpoint for inpainting",
        "tiny",
        (Row("resolve", "with all imports", 0.05),),
        task="resolve",
        once=True,
    ),
    Group(
        "load",
        "Loading SD 1.5 (3.4 GB, float32), without imports",
        "real",
        (Row("load", "from_pretrained", 0.5, beside="peak MiB"),),
        task="load",
        options={"imports": ["StableDiffusionPipeline", "UNet2DConditionModel", "AutoencoderKL"]},
        once=True,
    ),
    Group(
        "load-file",
        "Loading SD 1.5 (3.4 GB, float32) from a single file, without imports",
        "real",
        (
            Row("load-file", "from_single_file", 1.5, beside="peak MiB"),
            Row("load-file-folder", "against the same folder", 1.1, against="folder"),
        ),
        task="load",
        variants={
            REFERENCE: Variant("diffusers", {"single": True}),
            OURS: Variant("autopipe", {"single": True}),
            "folder": Variant("autopipe"),
        },
        options={"imports": ["StableDiffusionPipeline", "UNet2DConditionModel", "AutoencoderKL"]},
        once=True,
    ),
    Group(
        "load-xl",
        "Loading SDXL (6.9 GB, float16), without imports",
        "xl",
        (Row("load-xl", "from_pretrained", 0.5, beside="peak MiB"),),
        task="load",
        options={
            "imports": ["StableDiffusionXLPipeline", "UNet2DConditionModel", "AutoencoderKL"],
            "dtype": "float16",
        },
        once=True,
        full=(5, 1),
    ),
    Group(
        "from_pipe",
        "A second task on the same weights",
        "tiny",
        (Row("from_pipe", "AutoPipelineForInpainting.from_pipe", 0.3),),
        task="from_pipe",
        quick=(2, 2),
        full=(5, 3),
    ),
    _overhead("small", "tiny", Row("overhead", "Stable Diffusion", 0.8)),
    _overhead("small-xl", "tiny-xl", Row("overhead-xl", "Stable Diffusion XL", 0.8)),
    Group(
        "call",
        "SD 1.5, 256 x 256, guidance, one thread",
        "real",
        [
            Row("call", "a whole call", 0.81),
            Row("step", "a step at 32 x 32", 0.8, quantity="step"),
            Row("allocator", "allocator on, against off", 0.85, against="allocator off"),
            *_by_engine(
                "call",
                "seconds",
                {"openvino": 0.52, "openvino bfloat16": 0.28, "onnx": 0.6, "compile": 0.91},
            ),
            *_by_engine(
                "step", "step", {"openvino": 0.48, "openvino bfloat16": 0.25, "onnx": 0.49}
            ),
        ],
        task="call",
        variants=_CALLS,
        needs=_NEEDS,
        options={"steps": 10, "side": 256, "pinned": True},
        quick=(1, 2),
        quick_options={"steps": 2},
        full=(3, 2),
        only_full=frozenset({"compile"}),
    ),
    Group(
        "large",
        "SD 1.5, 512 x 512, guidance, one thread",
        "real",
        [
            Row("step-64", "a step at 64 x 64", 0.9, quantity="step"),
            Row("decode", "decoding", 0.6, quantity="decode", beside="peak MiB"),
            *_by_engine(
                "step-64", "step", {"openvino": 0.56, "openvino bfloat16": 0.3, "onnx": 0.6}
            ),
            *_by_engine("decode", "decode", {"openvino": 0.6, "openvino bfloat16": 0.31}),
        ],
        task="call",
        variants={k: v for k, v in _CALLS.items() if k not in ("compile", "allocator off")},
        needs=_NEEDS,
        options={"steps": 3, "side": 512, "pinned": True},
        quick=(1, 1),
        quick_options={"steps": 2},
        full=(3, 2),
        only_full=frozenset({"openvino", "openvino bfloat16", "onnx"}),
    ),
    Group(
        "ready",
        "SD 1.5: how long until OpenVINO has drawn two steps, from a loaded pipeline",
        "real",
        [
            Row("ready", "with conversion", 10.6, "first", None, "ready", "ready MiB"),
            Row("ready-next", "in the next process", 6, "next", None, "ready", "ready MiB"),
            Row("ready-memory", "most memory, with conversion", 5000, "first", None, "ready MiB"),
        ],
        task="call",
        variants={
            "first": replace(_CALLS["openvino"], fresh_cache=True),
            "next": _CALLS["openvino"],
        },
        needs=dict.fromkeys(("first", "next"), "autopipe-openvino"),
        options={"steps": 2, "side": 256, "pinned": True},
        once=True,
        quick=(1, 1),
        full=(3, 1),
    ),
    Group(
        "tune",
        "autopipe tune, for SD 1.5 at 256 x 256",
        "real",
        (Row("tune", "the whole command", 60, against=None),),
        variants={OURS: Variant("autopipe")},
        programs={
            OURS: (
                *(sys.executable, "-m", "autopipe", "tune", "{folder}"),
                *("--size", "256"),
            )
        },
        full=(2, 1),
        only_full=frozenset({OURS}),
    ),
    Group(
        "threads",
        "Eight threads with one pipeline",
        "demo",
        (Row("threads", "at once, against a lock around it", 1.0, against="lock"),),
        task="threads",
        variants={"lock": Variant("autopipe", {"lock": True}), OURS: Variant("autopipe")},
        options={"steps": 10, "threads": 8},
        quick=(2, 3),
        full=(5, 5),
    ),
    Group(
        "attach",
        "Loading LoRAs of 278 layers into SD 1.5, one after another",
        "real",
        [
            Row("attach-first", "the first", 0.5, "first", "reference first"),
            Row("attach-tenth", "the tenth", 0.2, "tenth", "reference tenth"),
            Row("attach-growth", "the tenth, against the first", 1.5, "tenth", "first"),
        ],
        task="attach",
        variants={
            "reference first": Variant("diffusers", {"count": 1}),
            "reference tenth": Variant("diffusers", {"count": 10}),
            "first": Variant("autopipe", {"count": 1}),
            "tenth": Variant("autopipe", {"count": 10}),
        },
        needs={
            **dict.fromkeys(("reference first", "reference tenth"), "peft"),
            **dict.fromkeys(("first", "tenth"), "autopipe-lora"),
        },
        once=True,
        quick=(2, 1),
        full=(5, 1),
    ),
    Group(
        "attach-xl",
        "Loading a LoRA of 986 layers into SDXL, without imports",
        "xl",
        (Row("attach-xl", "load_lora_weights", 0.5),),
        task="attach",
        options={"count": 1, "dtype": "float16"},
        needs=_LORA,
        once=True,
        quick=(1, 1),
        full=(3, 1),
    ),
    _with_loras(1, "one"),
    _with_loras(3, "three"),
    Group(
        "unloaded",
        "A step of SD 1.5, 256 x 256, guidance, one thread, after LoRAs were unloaded",
        "real",
        (Row("unloaded", "against a pipeline that never had any", 1.03, OURS, "never", "step"),),
        task="call",
        variants={
            "never": Variant("autopipe"),
            OURS: Variant("autopipe", {"loras": 3, "unloaded": True}),
        },
        needs={OURS: "autopipe-lora"},
        options={"steps": 6, "side": 256, "pinned": True},
        quick=(1, 2),
        quick_options={"steps": 3},
        full=(3, 2),
    ),
    Group(
        "steps",
        "Steps that are left out, with the demo; in dB how near the picture is",
        "demo",
        [
            Row("cache", "step_cache, interval 3", 0.42, "cache", "whole", beside="dB"),
            Row("interval", "guidance_interval", 0.8, "interval", "whole", beside="dB"),
        ],
        task="loss",
        variants={
            "whole": Variant("autopipe"),
            "cache": Variant("autopipe", {"addons": {"step_cache": {"interval": 3}}}),
            "interval": Variant(
                "autopipe", {"addons": {"guidance_interval": {"interval": (0.2, 0.8)}}}
            ),
        },
        needs={"cache": "autopipe-speedups", "interval": "autopipe-speedups"},
        options={"steps": 50, "prompt": "a red circle on a white background", "pinned": True},
        quick=(2, 2),
        full=(3, 3),
    ),
)
"""All groups, in the order of the table."""
