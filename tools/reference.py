"""Write the table of what diffusers has and autopipe lacks, from the installed packages.

`python -m nox -s reference` installs everything under plugins/ and diffusers, and runs this. Error
messages use the table, and it is the last section of docs/differences.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILE = ROOT / "core/src/autopipe/resolution/reference.json"
DOCS = ROOT / "docs/differences.md"
MARK = "<!-- Below: written by `python -m nox -s reference`. -->\n"

FAMILY = (
    "use diffusers for it, or publish the family as a plugin, as docs/publish-a-family.md shows"
)
LORA = (
    "merge the LoRA with diffusers (`load_lora_weights`, `fuse_lora`, `save_pretrained` into a new "
    "folder) and load that folder with from_pretrained"
)
ATTENTION = "leave it out: torch's scaled_dot_product_attention computes all attention here"
PLACING = "use enable_model_cpu_offload(), enable_sequential_cpu_offload() or memory='auto'"
SINGLE = (
    "convert the file once with diffusers (`StableDiffusionPipeline.from_single_file(file)"
    ".save_pretrained(folder)`) and load the folder with from_pretrained"
)

WHAT: dict[str, tuple[str, str]] = {
    "modular_pipelines": ("Modular pipelines", "call the pipeline of the family as a whole"),
    "models": ("Networks of other families", FAMILY),
    "schedulers": (
        "Schedulers",
        "choose one of pipe.scheduler.compatibles, such as DPMSolverMultistepScheduler",
    ),
    "guiders": ("Guiders", "give guidance_scale= to the call"),
    "hooks": ("Hooks and caches", PLACING),
    "quantizers": ("Quantization", "load weights of a smaller dtype, or " + PLACING),
    "loaders": ("Loaders", SINGLE),
    "image_processor": ("Image processors", "use VaeImageProcessor"),
    "video_processor": ("Video", FAMILY),
    "optimization": (
        "Learning rates",
        "use torch.optim.lr_scheduler, or transformers.optimization",
    ),
    "training_utils": ("Training", "use torch.optim.swa_utils.AveragedModel, or diffusers"),
    "utils": ("Helpers", "use the standard library (`logging`, `importlib.util.find_spec`)"),
}
"""The titles of the parts of diffusers, and what to do instead."""

ONNX = (
    "ONNX Runtime",
    "use OnnxStableDiffusionPipeline, OnnxStableDiffusionImg2ImgPipeline and "
    "OnnxStableDiffusionInpaintPipeline of autopipe-onnx, or optimum.onnxruntime",
)

METHODS: list[tuple[str, str, tuple[str, ...]]] = [
    ("Single files", SINGLE, ("from_single_file",)),
    (
        "Image prompts",
        "no installed add-on takes image prompts; use diffusers for them",
        ("ip_adapter",),
    ),
    ("LoRA and adapters", LORA, ("lora", "adapter", "attn_procs")),
    ("FreeU", "leave it out: pictures are those of the plain network", ("freeu",)),
    ("Attention", ATTENTION, ("attn_proc", "attention", "fuse_qkv", "flash")),
    ("Memory and placing", PLACING, ("offload", "layerwise", "parallelism", "memory")),
]
"""Groups of methods: a title, what to do instead, and substrings of the names."""
OTHER = ("Other methods", "add it in a subclass, as diffusers has it for its own use")

FROM_ITSELF = "import the class from autopipe itself, as in `from autopipe import "

MODULES = {
    "loaders": LORA,
    "models": FROM_ITSELF + "AutoencoderKL`",
    "schedulers": FROM_ITSELF + "DDIMScheduler`",
    "pipelines": FROM_ITSELF + "StableDiffusionPipeline`",
    "optimization": WHAT["optimization"][1],
    "training_utils": WHAT["training_utils"][1],
    "image_processor": "import it from autopipe itself: `from autopipe import VaeImageProcessor`",
    "configuration_utils": "import it from autopipe.config: `ConfigMixin`, `FrozenConfig`",
    "callbacks": "give callback_on_step_end= a function of your own",
    "guiders": WHAT["guiders"][1],
    "hooks": None,
    "hub_utils": "use huggingface_hub, or save_pretrained(push_to_hub=True)",
    "modular_pipelines": WHAT["modular_pipelines"][1],
    "quantizers": WHAT["quantizers"][1],
    "video_processor": FAMILY,
}
"""Modules of diffusers that programs import from; None for modules that autopipe has."""


def absent_names(theirs: Any, ours: set[str]) -> list[dict[str, Any]]:
    """Return the public names of diffusers that are not in `ours`, in groups."""
    groups: dict[str, dict[str, Any]] = {}

    def add(title: str, instead: str, names: list[str]) -> None:
        group = groups.setdefault(title, {"title": title, "instead": instead, "names": []})
        group["names"] += names

    taken = set(ours)
    for folder, names in theirs.pipelines._import_structure.items():
        add(f"Pipelines: {folder}", FAMILY, [n for n in names if n not in taken])
        taken |= set(names)
    for module, names in theirs._import_structure.items():
        for name in set(names) - taken:
            add(*group_of(module, name), [name])
        taken |= set(names)
    found = [{**group, "names": sorted(set(group["names"]))} for group in groups.values()]
    return sorted((g for g in found if g["names"]), key=lambda group: str(group["title"]))


def group_of(module: str, name: str) -> tuple[str, str]:
    """Return the title and the advice for a name in a module of diffusers.

    Names that need a package that isn't installed are in modules of dummy objects, so they are
    grouped by name.
    """
    if "Onnx" in name or "ONNX" in name:
        return ONNX
    if "dummy" in module:
        ends = {"Scheduler": "schedulers", "Config": "quantizers"}
        kind = next((kind for end, kind in ends.items() if name.endswith(end)), "")
        return WHAT.get(kind, ("Pipelines: others", FAMILY))
    return WHAT.get(module.partition(".")[0], ("Pipelines: others", FAMILY))


def absent_methods(pairs: list[tuple[Any, Any]]) -> list[dict[str, Any]]:
    """Return the public methods that classes of diffusers have and ours lack, in groups."""
    left = {
        name
        for ours, theirs in pairs
        for name in dir(theirs)
        if not name.startswith("_") and not hasattr(ours, name)
    }
    groups = []
    for title, instead, parts in METHODS:
        names = sorted(name for name in left if any(part in name for part in parts))
        left -= set(names)
        groups.append({"title": title, "instead": instead, "names": names})
    groups.append({"title": OTHER[0], "instead": OTHER[1], "names": sorted(left)})
    return [group for group in groups if group["names"]]


def table() -> dict[str, Any]:
    """Return the table of absent names, methods and modules."""
    import diffusers

    import autopipe
    from autopipe.config import ConfigMixin
    from autopipe.pipeline.base import DiffusionPipeline
    from autopipe.registry import default_registry

    ours = set(dir(autopipe))
    names = [n for n in default_registry().names() if hasattr(diffusers, n)]
    both = [(getattr(autopipe, name), getattr(diffusers, name)) for name in names]
    pairs = [(a, b) for a, b in both if isinstance(a, type) and issubclass(a, ConfigMixin)]
    return {
        "names": absent_names(diffusers, ours),
        "methods": absent_methods([(DiffusionPipeline, diffusers.DiffusionPipeline), *pairs]),
        "modules": [
            {"title": name, "instead": instead, "names": [name]}
            for name, instead in MODULES.items()
            if instead is not None
        ],
    }


def text(content: dict[str, Any]) -> str:
    """Return the table as the text of its file."""
    kinds = [
        f"{json.dumps(kind)}: [\n" + ",\n".join(map(json.dumps, groups)) + "\n]"
        for kind, groups in content.items()
    ]
    return "{\n" + ",\n".join(kinds) + "\n}\n"


def section(content: dict[str, Any]) -> str:
    """Return the table as a section of the page."""
    lines = []
    for title, kind in (("Names", "names"), ("Methods", "methods"), ("Modules", "modules")):
        lines += [f"\n### {title}\n", f"| {kind} | what to do instead |", "|---|---|"]
        for group in content[kind]:
            names = ", ".join(f"`{name}`" for name in group["names"])
            title = "" if kind == "modules" else f"{group['title']}: "
            lines.append(f"| {title}{names} | {group['instead']} |")
    return "\n".join(lines) + "\n"


def page(old: str, content: dict[str, Any]) -> str:
    """Return the page with the section replaced."""
    return old.partition(MARK)[0] + MARK + section(content)


if __name__ == "__main__":
    if not FILE.is_file():  # Access to a missing name reads it.
        FILE.write_text(text({"names": [], "methods": [], "modules": []}), encoding="utf-8")
    made = table()
    FILE.write_text(text(made), encoding="utf-8")
    DOCS.write_text(page(DOCS.read_text(encoding="utf-8"), made), encoding="utf-8")
    print(f"wrote {FILE} and {DOCS}")
