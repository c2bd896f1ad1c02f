"""Which package to install for a class that no installed plugin offers: text for errors.

This table is the only place where the core mentions families, and nothing but messages and the
order of duplicates depends on it. A third party's family needs no line here.
"""

from __future__ import annotations

_CLASSES: dict[str, str] = {
    "autopipe-components": (
        "UNet2DConditionModel AutoencoderKL VaeImageProcessor PNDMScheduler DDIMScheduler "
        "DDPMScheduler LMSDiscreteScheduler EulerDiscreteScheduler "
        "EulerAncestralDiscreteScheduler HeunDiscreteScheduler KDPM2DiscreteScheduler "
        "KDPM2AncestralDiscreteScheduler DPMSolverMultistepScheduler "
        "DPMSolverSinglestepScheduler UniPCMultistepScheduler DEISMultistepScheduler "
        "LCMScheduler TCDScheduler PriorTransformer VQModel UnCLIPScheduler"
    ),
    "autopipe-stable-diffusion": (
        "StableDiffusionPipeline StableDiffusionImg2ImgPipeline "
        "StableDiffusionInpaintPipeline StableDiffusionSafetyChecker"
    ),
    "autopipe-sdxl": (
        "StableDiffusionXLPipeline StableDiffusionXLImg2ImgPipeline "
        "StableDiffusionXLInpaintPipeline"
    ),
    "autopipe-controlnet": (
        "ControlNetModel MultiControlNetModel StableDiffusionControlNetPipeline "
        "StableDiffusionControlNetImg2ImgPipeline "
        "StableDiffusionControlNetInpaintPipeline StableDiffusionXLControlNetPipeline "
        "StableDiffusionXLControlNetImg2ImgPipeline "
        "StableDiffusionXLControlNetInpaintPipeline"
    ),
    "autopipe-deepfloyd-if": (
        "IFPipeline IFImg2ImgPipeline IFInpaintingPipeline IFSuperResolutionPipeline "
        "IFImg2ImgSuperResolutionPipeline IFInpaintingSuperResolutionPipeline "
        "IFSafetyChecker IFWatermarker"
    ),
    "autopipe-kandinsky21": (
        "KandinskyPriorPipeline KandinskyPipeline KandinskyImg2ImgPipeline "
        "KandinskyInpaintPipeline KandinskyCombinedPipeline "
        "KandinskyImg2ImgCombinedPipeline KandinskyInpaintCombinedPipeline "
        "MultilingualCLIP"
    ),
    "autopipe-kandinsky22": (
        "KandinskyV22PriorPipeline KandinskyV22PriorEmb2EmbPipeline KandinskyV22Pipeline "
        "KandinskyV22Img2ImgPipeline KandinskyV22InpaintPipeline "
        "KandinskyV22CombinedPipeline KandinskyV22Img2ImgCombinedPipeline "
        "KandinskyV22InpaintCombinedPipeline KandinskyV22ControlnetPipeline "
        "KandinskyV22ControlnetImg2ImgPipeline"
    ),
}

_KEYWORDS: dict[str, str] = {"controlnet": "autopipe-controlnet"}

DIST_BY_CLASS: dict[str, str] = {
    name: dist for dist, names in _CLASSES.items() for name in names.split()
}


def owner_of_family(name: str) -> str:
    """The distribution under which this project publishes the family `name`."""
    return "autopipe-" + name.replace("_", "-")


def dist_for_class(class_name: str) -> str | None:
    """The distribution that offers `class_name`, if this project publishes it."""
    return DIST_BY_CLASS.get(class_name)


def dist_for_keyword(keyword: str) -> str | None:
    """The distribution whose condition has this keyword, if this project publishes it."""
    return _KEYWORDS.get(keyword)


def pip_line(dist: str) -> str:
    """The command that installs `dist`."""
    return f"python -m pip install {dist}"
