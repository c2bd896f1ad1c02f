"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import AddOn, Command, Manifest, Method

_PACKAGE = "autopipe_lora"

_OF_PIPELINES = {
    "loading": ("load_lora_weights", "lora_state_dict", "unload_lora_weights"),
    "switching": (
        "set_adapters",
        "get_active_adapters",
        "get_list_adapters",
        "disable_lora",
        "enable_lora",
        "delete_adapters",
        "set_lora_device",
        "enable_lora_hotswap",
        "lora_scale",
    ),
    "fusing": ("fuse_lora", "unfuse_lora", "fused_loras", "num_fused_loras"),
    "saving": ("save_lora_weights",),
}
"""The names that pipelines get, by the module that has them."""

_OF_NETWORKS = {
    f"{_PACKAGE}.networks": (
        "load_lora_adapter",
        "save_lora_adapter",
        "load_attn_procs",
        "save_attn_procs",
        "set_adapters",
        "active_adapters",
        "delete_adapters",
        "fuse_lora",
        "unfuse_lora",
        "unload_lora",
    ),
    "autopipe_components.adapters": (
        "add_adapter",
        "set_adapter",
        "enable_adapters",
        "disable_adapters",
    ),
}
"""The names that networks get, by the module that has them."""


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    return Manifest(
        name="lora",
        addons=(
            AddOn(
                "lora",
                f"{_PACKAGE}.addon:Lora",
                help="a LoRA, from a file, a folder or a repository",
                option="lora",
            ),
        ),
        commands=(Command("lora", f"{_PACKAGE}.command:declare", "show what is in a LoRA file"),),
        methods=(
            *(
                Method(name, f"{_PACKAGE}.{module}:{name}")
                for module, names in _OF_PIPELINES.items()
                for name in names
            ),
            *(
                Method(name, f"{module}:{name}", of="network")
                for module, names in _OF_NETWORKS.items()
                for name in names
            ),
            *(
                Method(f"{act}_lora", f"autopipe_components.adapters:{act}_adapters", of="network")
                for act in ("enable", "disable")
            ),
        ),
        demo=f"{_PACKAGE}:demo",
    )
