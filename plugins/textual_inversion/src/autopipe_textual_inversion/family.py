"""The manifest of this package."""

from __future__ import annotations

from autopipe.hooks import hookimpl
from autopipe.manifest import AddOn, Manifest, Method

_METHODS = ("load_textual_inversion", "unload_textual_inversion", "maybe_convert_prompt")


@hookimpl
def autopipe_family() -> Manifest:
    """Return the manifest."""
    package = "autopipe_textual_inversion"
    return Manifest(
        name="textual_inversion",
        addons=(
            AddOn(
                "textual_inversion",
                f"{package}.attachment:TextualInversion",
                help="a word of prompts that was learned from pictures",
                option="embedding",
            ),
        ),
        methods=tuple(Method(name, f"{package}.methods:{name}") for name in _METHODS),
        demo=f"{package}:demo",
    )
