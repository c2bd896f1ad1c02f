"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import AddOn, Export, Manifest, Method

from .inputs import IP_ADAPTER_IMAGE

_METHODS = {
    "load_ip_adapter": "methods",
    "set_ip_adapter_scale": "methods",
    "unload_ip_adapter": "methods",
    "prepare_ip_adapter_image_embeds": "methods",
    "encode_image": "encoding",
}


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    package = "autopipe_ip_adapter"
    return Manifest(
        name="ip_adapter",
        addons=(
            AddOn(
                "ip_adapter",
                f"{package}.addon:IPAdapter",
                (IP_ADAPTER_IMAGE,),
                "pictures as prompts",
                option="ip-adapter",
            ),
        ),
        exports=(Export("IPAdapterMaskProcessor", f"{package}.masks:IPAdapterMaskProcessor"),),
        methods=tuple(
            Method(name, f"{package}.{module}:{name}") for name, module in _METHODS.items()
        ),
        demo=f"{package}:demo",
    )
