"""What this package offers: three add-ons, a condition on another's line, and commands."""

from __future__ import annotations

from autopipe import AddOn, Command, Component, Condition, Input, Manifest, Pipeline, hookimpl

PACKAGE = "autopipe_inks"

KEEP_EVERY = Input("keep_every", "number", required=False, help="how many steps share one")


@hookimpl
def autopipe_family() -> Manifest:
    """The manifest."""
    return Manifest(
        "inks",
        addons=(
            AddOn("low_rank", f"{PACKAGE}.addons:LowRank", help="small changes of many layers"),
            AddOn("repeated", f"{PACKAGE}.addons:Repeated", (KEEP_EVERY,), "fewer predictions"),
            AddOn("emphasis", f"{PACKAGE}.addons:Emphasis", help="word++ is an emphasised word"),
        ),
        conditions=(
            Condition(
                "sketch",
                keyword="sketch",
                target=f"{PACKAGE}.network:SketchNetwork",
                inputs=(
                    Input("sketch_image", "image", help="what the shapes follow"),
                    Input("sketch_scale", "number", required=False, help="how closely"),
                ),
                help="a network that reads sketches",
            ),
        ),
        pipelines=(
            Pipeline(
                "ShapesSketchPipeline",
                f"{PACKAGE}.sketch:ShapesSketchPipeline",
                "unconditional",
                "shapes",
                frozenset({"sketch"}),
            ),
        ),
        components=(
            Component("SketchNetwork", f"{PACKAGE}.network:SketchNetwork", library=PACKAGE),
        ),
        commands=(
            Command("greet", f"{PACKAGE}.greet:declare", "say hello"),
            Command("smudge", f"{PACKAGE}.smudge:declare", "never works"),
        ),
        demo=f"{PACKAGE}:demo",
    )
