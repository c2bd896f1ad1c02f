"""The doodle family: little pictures of coloured shapes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .image2image import DoodleImg2ImgPipeline as DoodleImg2ImgPipeline
    from .inpaint import DoodleInpaintPipeline as DoodleInpaintPipeline
    from .text2image import DoodlePipeline as DoodlePipeline
else:

    def __getattr__(name: str) -> object:
        """A class of the family, imported on first use: the manifest has to stay light."""
        from importlib import import_module

        from .family import TASKS

        for module, pipeline in TASKS.values():
            if name == pipeline:
                return getattr(import_module(f".{module}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
