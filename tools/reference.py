"""Write the table of what diffusers has and autopipe lacks, from the installed packages.

`python -m nox -s reference` installs everything under plugins/ and diffusers, and runs this. Error
messages use the table, and it is the last section of docs/differences.md.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILE = ROOT / "core/src/autopipe/resolution/reference.json"
PATHS = ROOT / "plugins/compat/src/autopipe_compat/paths/names.json"
DOCS = ROOT / "docs/differences.md"
MARK = "<!-- Below: written by `python -m nox -s reference`. -->\n"

FAMILY = (
    "use diffusers for it, or publish the family as a plugin, as docs/publish-a-family.md shows"
)
LORA = "call load_lora_weights of the pipeline, or save_lora_weights of its class"
ATTENTION = "leave it out: torch's scaled_dot_product_attention computes all attention here"
PLACING = "use enable_model_cpu_offload(), enable_sequential_cpu_offload() or memory='auto'"
SINGLE = "call from_single_file of the class, which reads the file"

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
    ("LoRA and adapters", LORA, ("lora", "adapter", "attn_procs")),
    ("FreeU", "leave it out: pictures are those of the plain network", ("freeu",)),
    ("Attention", ATTENTION, ("attn_proc", "attention", "fuse_qkv", "flash")),
    ("Memory and placing", PLACING, ("offload", "layerwise", "parallelism", "memory")),
]
"""Groups of methods: a title, what to do instead, and substrings of the names."""
OTHER = ("Other methods", "add it in a subclass, as diffusers has it for its own use")

_WEIGHTED = 'attach "a1111" of autopipe-prompts, which takes long and weighted prompts'
_HERE = "there is a class for it: "

COMMUNITY: dict[str, str] = {
    "lpw_stable_diffusion lpw_stable_diffusion_xl lpw_stable_diffusion_onnx": _WEIGHTED,
    "composable_stable_diffusion": _WEIGHTED + ", and joins texts by AND",
    "stable_diffusion_mega stable_diffusion_comparison": "from_pipe switches one pipeline between "
    "text to image, image to image and inpainting",
    "img2img_inpainting": _HERE + "StableDiffusionInpaintPipeline",
    "stable_diffusion_controlnet_img2img": _HERE + "StableDiffusionControlNetImg2ImgPipeline",
    "stable_diffusion_controlnet_inpaint": _HERE + "StableDiffusionControlNetInpaintPipeline",
    "stable_diffusion_controlnet_inpaint_img2img": _HERE
    + "StableDiffusionControlNetInpaintPipeline",
    "sd_text2img_k_diffusion": "the schedulers have these samplers, such as "
    "DPMSolverMultistepScheduler with use_karras_sigmas=True",
    "latent_consistency_txt2img latent_consistency_img2img": "LCMScheduler draws with any pipeline "
    "of Stable Diffusion",
    "stable_diffusion_tensorrt_txt2img stable_diffusion_tensorrt_img2img "
    "stable_diffusion_tensorrt_inpaint stable_diffusion_ipex stable_diffusion_xl_ipex": "an engine "
    "runs the networks of any pipeline faster: pipe.use_engine('auto')",
    "interpolate_stable_diffusion": "calls take latents= and prompt_embeds=, to be blended",
    "seed_resize_stable_diffusion": "calls take latents= of any size",
    "wildcard_stable_diffusion": "a program can choose the words before the call",
    "checkpoint_merger": "a program can average the state_dict of two networks",
    "pipeline_stable_diffusion_pag pipeline_stable_diffusion_xl_pag": "the Auto classes take "
    "enable_pag=True, with autopipe-pag",
}
"""What does the same as a community pipeline of diffusers, by its names."""

LOCAL = "it belongs to how diffusers works inside; write a small one in your program"
TRAINED = "train the weights themselves, or layers of peft: `unet.add_adapter(LoraConfig(...))`"

INSTEAD: list[tuple[str, str]] = [
    (r"hub_utils:(init_git_repo|push_to_hub)", "use huggingface_hub, or push_to_hub of the object"),
    (r"LoRA(Compatible|Linear|Conv)|PatchedLora", TRAINED),
    (r"(XFormers|NPU|XLA)\w*AttnProcessor|AttnProcessor(NPU|XLA)", ATTENTION),
    (r"attention_dispatch|attention_backend|_modeling_parallel", ATTENTION),
    (r":Flax|_flax|flax_utils", "use the class without Flax: diffusers has removed these as well"),
    (r":\w*(Onnx|ORT_TO_NP)|onnx_utils", ONNX[1]),
    (r"single_file|convert_from_ckpt", SINGLE),
    (
        r"^loaders\.(peft|unet|lora)|peft_utils|state_dict_utils|^models\.lora",
        "call load_lora_weights and its like of the pipeline, or use peft itself",
    ),
    (r"textual_inversion", "call load_textual_inversion of the pipeline"),
    (r"ip_adapter|IPAdapter", "call load_ip_adapter of the pipeline"),
    (r"^loaders", FAMILY),
    (
        r"^utils\.dummy|^utils:Dummy|^dependency|^utils\.(import_utils|versions)",
        "ask importlib.util.find_spec whether a package is installed",
    ),
    (
        r"dynamic_modules|source_code|get_class_from_dynamic",
        "give custom_pipeline= to from_pretrained, with trust_remote_code=True",
    ),
    (r"^utils\.testing_utils", "write it in your tests"),
    (r"export_utils|loading_utils|remote_utils", "use the package that makes it (av, trimesh)"),
    (
        r"^utils|^configuration_utils|^image_processor|^training_utils|^models\.(model|auto|cache)",
        LOCAL,
    ),
    (
        r"^models\.(attention|activ|embed|norm|resnet|up|down|unets|autoenc|controlnets|vae|cross)",
        "copy the layer into your program; networks here are built of layers of their own",
    ),
    *((f"^{part}", instead) for part, (_, instead) in WHAT.items()),
    (r"^callbacks", "give callback_on_step_end= a function of your own"),
    (r"^hub_utils", "use huggingface_hub, or save_pretrained(push_to_hub=True)"),
    (r"^experimental", "use diffusers for it"),
    (r"^pipelines\.(pipeline_loading|free_)", LOCAL),
    (r"", FAMILY),
]
"""What to do instead of a name: the first pattern that is found in `path:name`."""

OLDER = {
    "hub_utils": "init_git_repo push_to_hub",
    "models": "FlaxAutoencoderKL FlaxUNet2DConditionModel",
    "models.adapter": "MultiAdapter T2IAdapter",
    "models.attention_processor": "LoRAAttnProcessor LoRAAttnProcessor2_0 "
    "LoRAXFormersAttnProcessor LoRAAttnAddedKVProcessor",
    "models.autoencoder_kl": "AutoencoderKL AutoencoderKLOutput",
    "models.controlnet": "ControlNetModel ControlNetOutput",
    "models.cross_attention": "CrossAttention CrossAttnProcessor LoRACrossAttnProcessor",
    "models.lora": "text_encoder_lora_state_dict",
    "models.unet_2d_blocks": "CrossAttnDownBlock2D DownBlock2D",
    "models.unet_2d_condition": "UNet2DConditionModel UNet2DConditionOutput",
    "models.vae": "Decoder DecoderOutput DiagonalGaussianDistribution Encoder",
    "pipeline_flax_utils": "FlaxDiffusionPipeline",
    "pipeline_utils": "DiffusionPipeline ImagePipelineOutput",
    "pipelines.alt_diffusion.modeling_roberta_series": "RobertaSeriesModelWithTransformation",
    "pipelines.controlnet.multicontrolnet": "MultiControlNetModel",
    "pipelines.ltx.pipeline_ltx_condition": "LTXVideoTransformer3DModel",
    "pipelines.onnx_utils": "ORT_TO_NP_TYPE",
    "pipelines.pipeline_utils": "variant_compatible_siblings",
    "pipelines.stable_diffusion": "FlaxStableDiffusionPipelineOutput",
    "pipelines.stable_diffusion.safety_checker_flax": "FlaxStableDiffusionSafetyChecker",
    "pipelines.text_to_video_synthesis.pipeline_text_to_video_zero": "CrossFrameAttnProcessor",
    "schedulers": "FlaxDDIMScheduler FlaxDPMSolverMultistepScheduler FlaxLMSDiscreteScheduler "
    "FlaxPNDMScheduler",
    "utils": "_get_model_file is_safetensors_available randn_tensor",
    "utils.constants": "DIFFUSERS_CACHE",
    "utils.hub_utils": "HF_HUB_OFFLINE old_diffusers_cache",
    "utils.torch_utils": "is_torch_version",
}
"""Names of older releases that programs still import, by the module that had them."""

_NO_NAMES = re.compile(r"_|.$|XLA_AVAILABLE$|logger$|\w*EXAMPLE|\w+DOC_STRING$")


def modules_of(theirs: Any) -> Iterator[tuple[str, set[str]]]:
    """Yield each module of diffusers with its public names, without importing most of them."""
    root = Path(theirs.__file__).parent
    for file in sorted(root.rglob("*.py")):
        parts = list(file.relative_to(root).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        if not parts or parts[0] == "commands" or parts[-1].startswith("dummy_"):
            continue
        path = ".".join(parts)
        found = set(names_in(file))
        if file.name == "__init__.py":
            module = importlib.import_module(f"diffusers.{path}")
            listed = getattr(module, "_import_structure", None)
            own = vars(module).items() if path == "utils" or listed is None else ()
            exported = {n for n, one in own if path == "utils" or is_of(one, f"diffusers.{path}")}
            found = exported.union(*listed.values()) if listed else exported
        older = OLDER.get(path, "").split()
        yield path, {n for n in found if not _NO_NAMES.match(n)}.union(older)
    for path, names in OLDER.items():
        if not (root / path.replace(".", "/")).with_suffix(".py").exists():
            yield path, set(names.split())


def is_of(value: Any, module: str) -> bool:
    """Whether a class or function is defined in `module` or below it."""
    return f"{getattr(value, '__module__', '')}.".startswith(f"{module}.")


def names_in(file: Path) -> Iterator[str]:
    """Yield the names that the source of a module defines."""
    left = ast.parse(file.read_text(encoding="utf-8")).body
    while left:
        one = left.pop()
        if isinstance(one, (ast.If, ast.Try)):
            left += [*one.body, *one.orelse]
        elif isinstance(one, (ast.FunctionDef, ast.ClassDef)):
            yield one.name
        elif isinstance(one, (ast.Assign, ast.AnnAssign)):
            targets = one.targets if isinstance(one, ast.Assign) else [one.target]
            yield from (t.id for t in targets if isinstance(t, ast.Name))


def paths() -> dict[str, Any]:
    """Return the table of modules: what is here, and what to do instead of the rest."""
    import diffusers

    from autopipe_compat.paths.table import has

    keys: dict[str, str] = {}
    modules: dict[str, Any] = {}

    def key_of(name: str) -> str:
        sentence = next(one for what, one in INSTEAD if re.search(what, name))
        return keys.setdefault(sentence, str(len(keys)))

    for path, names in sorted(modules_of(diffusers)):
        if not any(map(has, names)):
            modules[path] = key_of(f"{path}:")
            continue
        entry: dict[str, list[str]] = {"here": []}
        for name in sorted(names):
            entry.setdefault("here" if has(name) else key_of(f"{path}:{name}"), []).append(name)
        modules[path] = {key: " ".join(found) for key, found in entry.items()}
    return {"instead": {key: sentence for sentence, key in keys.items()}, "modules": modules}


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
    """Return the table of absent names, methods and community pipelines."""
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
        "community": [
            {"title": names.partition(" ")[0], "instead": instead, "names": names.split()}
            for names, instead in COMMUNITY.items()
        ],
    }


def text(content: dict[str, Any]) -> str:
    """Return the table as the text of its file."""
    kinds = [
        f"{json.dumps(kind)}: [\n" + ",\n".join(map(json.dumps, groups)) + "\n]"
        for kind, groups in content.items()
    ]
    return "{\n" + ",\n".join(kinds) + "\n}\n"


def lines(content: dict[str, Any]) -> str:
    """Return a table of tables as JSON with a line for each entry."""
    parts = (
        f"{json.dumps(kind)}: {{\n"
        + ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in entries.items())
        + "\n}"
        for kind, entries in content.items()
    )
    return "{\n" + ",\n".join(parts) + "\n}\n"


def section(content: dict[str, Any]) -> str:
    """Return the table as a section of the page."""
    lines = []
    for title, kind in (
        ("Names", "names"),
        ("Methods", "methods"),
        ("Community pipelines", "community"),
    ):
        lines += [f"\n### {title}\n", f"| {title.lower()} | what to do instead |", "|---|---|"]
        for group in content[kind]:
            names = ", ".join(f"`{name}`" for name in group["names"])
            title = "" if kind == "community" else f"{group['title']}: "
            lines.append(f"| {title}{names} | {group['instead']} |")
    return "\n".join(lines) + "\n"


def page(old: str, content: dict[str, Any]) -> str:
    """Return the page with the section replaced."""
    return old.partition(MARK)[0] + MARK + section(content)


if __name__ == "__main__":
    if not FILE.is_file():  # Access to a missing name reads it.
        FILE.write_text(text({"names": [], "methods": [], "community": []}), encoding="utf-8")
    made = table()
    FILE.write_text(text(made), encoding="utf-8")
    DOCS.write_text(page(DOCS.read_text(encoding="utf-8"), made), encoding="utf-8")
    PATHS.write_text(lines(paths()), encoding="utf-8")
    print(f"wrote {FILE} and {DOCS}")
