"""Samplers of other programs, and the schedulers that do the same here.

Programs split what a scheduler is into a sampler (`DPM++ 2M`) and a schedule type (`Karras`). The
names of AUTOMATIC1111's web UI and Forge come first in each row; the others are those of
k-diffusion, InvokeAI, ComfyUI, papers and captions.

Sources: the samplers and schedule types of stable-diffusion-webui-forge, ComfyUI and InvokeAI, and
the table in diffusers' documentation of schedulers.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from .request import Scheduler

AUTOMATIC = "Automatic"
"""The schedule type by which a sampler chooses its own."""

_KARRAS, _EXPONENTIAL, _BETA, _UNIFORM = "Karras", "Exponential", "Beta", "Uniform"
_SDE, _ODE = "sde-dpmsolver++", "dpmsolver++"


@dataclass(frozen=True)
class Sampler:
    """A sampler.

    Attributes:
        name: its name in AUTOMATIC1111's web UI.
        scheduler: the class without `Scheduler`.
        aliases: its names elsewhere, without spaces, underscores and hyphens.
        automatic: the schedule type that it chooses, or None if it has no choice.
        config: the settings of the class that tell this sampler from others.
        stochastic: whether it adds noise in every step.
        differs: how it differs from the sampler of the other programs, or an empty string.
    """

    name: str
    scheduler: str
    aliases: str
    automatic: str | None = None
    config: Mapping[str, JsonValue] = field(default_factory=dict)
    stochastic: bool = False
    differs: str = ""


_UNCLIPPED: Mapping[str, JsonValue] = {"clip_sample": False}
"""The classes clip latents by default, which other programs never do."""

_CALLS = "one of its steps there is two here, so double the steps"


def dpm_sde(with_paths: bool) -> Sampler:
    """Return the sampler "DPM++ SDE": that of the other programs, or the nearest without torchsde.

    Args:
        with_paths: whether torchsde is installed, which draws the noise of Brownian paths.
    """
    name, aliases = "DPM++ SDE", "dpmppsdegpu"
    if with_paths:
        return Sampler(name, "DPMSolverSDE", aliases, _KARRAS, stochastic=True)
    return Sampler(
        name,
        "DPMSolverSinglestep",
        aliases,
        _KARRAS,
        {"algorithm_type": _SDE, "solver_order": 2},
        stochastic=True,
        differs=f"{_CALLS}; with torchsde installed it is the same",
    )


SAMPLERS = (
    Sampler("Euler", "EulerDiscrete", "", _UNIFORM),
    Sampler("Euler a", "EulerAncestralDiscrete", "", _UNIFORM, stochastic=True),
    Sampler("Heun", "HeunDiscrete", "", _UNIFORM),
    Sampler("LMS", "LMSDiscrete", "", _UNIFORM),
    Sampler("DPM2", "KDPM2Discrete", "kdpm2", _KARRAS),
    Sampler("DPM2 a", "KDPM2AncestralDiscrete", "kdpm2a", _KARRAS, stochastic=True),
    Sampler(
        "DPM++ 2M",
        "DPMSolverMultistep",
        "dpmpp dpm dpmsolver dpmsolverpp",
        _KARRAS,
        {"algorithm_type": _ODE, "solver_order": 2},
    ),
    Sampler(
        "DPM++ 2M SDE",
        "DPMSolverMultistep",
        "dpmpp2msdegpu",
        _EXPONENTIAL,
        {"algorithm_type": _SDE, "solver_order": 2, "solver_type": "midpoint"},
        stochastic=True,
    ),
    Sampler(
        "DPM++ 2M SDE Heun",
        "DPMSolverMultistep",
        "dpmpp2msdeheungpu",
        _EXPONENTIAL,
        {"algorithm_type": _SDE, "solver_order": 2, "solver_type": "heun"},
        stochastic=True,
    ),
    Sampler(
        "DPM++ 3M SDE",
        "DPMSolverMultistep",
        "dpmpp3msdegpu",
        _EXPONENTIAL,
        {"algorithm_type": _SDE, "solver_order": 3},
        stochastic=True,
    ),
    Sampler(
        "DPM++ 3M",
        "DPMSolverMultistep",
        "",
        _UNIFORM,
        {"algorithm_type": _ODE, "solver_order": 3},
    ),
    dpm_sde(importlib.util.find_spec("torchsde") is not None),
    Sampler(
        "DPM++ 2S",
        "DPMSolverSinglestep",
        "",
        _UNIFORM,
        {"algorithm_type": _ODE, "solver_order": 2},
    ),
    Sampler(
        "DPM++ 2S a",
        "DPMSolverSinglestep",
        "",
        _KARRAS,
        {"algorithm_type": _ODE, "solver_order": 2},
        differs=f"no noise is added here, and {_CALLS}",
    ),
    Sampler("UniPC", "UniPCMultistep", ""),
    Sampler("UniPC BH2", "UniPCMultistep", "", None, {"solver_type": "bh2"}),
    Sampler("DEIS", "DEISMultistep", ""),
    Sampler("DDIM", "DDIM", "", None, _UNCLIPPED),
    Sampler("DDPM", "DDPM", "", None, _UNCLIPPED, stochastic=True),
    Sampler("PLMS", "PNDM", "pndm"),
    Sampler("LCM", "LCM", "", stochastic=True),
    Sampler("TCD", "TCD", "", stochastic=True),
)

_WITH_SIGMAS = frozenset({
    "EulerDiscrete", "HeunDiscrete", "LMSDiscrete", "KDPM2Discrete", "KDPM2AncestralDiscrete",
    "DPMSolverSDE",
    "DPMSolverMultistep", "DPMSolverSinglestep", "UniPCMultistep", "DEISMultistep",
})  # fmt: skip
_WITHOUT_SPACING = frozenset({"DPMSolverSinglestep"})

_SIGMAS = {
    _KARRAS: "use_karras_sigmas",
    _EXPONENTIAL: "use_exponential_sigmas",
    _BETA: "use_beta_sigmas",
}
_SPACED: Mapping[str, Mapping[str, JsonValue]] = {
    _UNIFORM: {"timestep_spacing": "linspace"},
    "SGM Uniform": {"timestep_spacing": "trailing"},
    "DDIM": {"timestep_spacing": "leading", "steps_offset": 1},
}
SCHEDULE_TYPES = (AUTOMATIC, *_SPACED, *_SIGMAS)
"""The schedule types that are known here."""

_SAME = {"normal": _UNIFORM, "simple": "SGM Uniform", "turbo": "SGM Uniform", "ddimuniform": "DDIM"}
_TYPES = {name.lower().replace(" ", ""): name for name in SCHEDULE_TYPES} | _SAME


def _plain(name: str) -> str:
    """Return a name in the spelling of the table's aliases."""
    plain = re.sub(r"[^a-z0-9+]", "", name[:100].lower()).replace("++", "pp")
    return plain.removesuffix("scheduler").replace("ancestral", "a")


_BY_NAME = {
    plain: one for one in reversed(SAMPLERS) for plain in (_plain(one.name), *one.aliases.split())
}


def schedule_type(name: str) -> str | None:
    """Return the schedule type that goes by a name such as `sgm_uniform`, or None."""
    return _TYPES.get(_plain(name))


def split_name(name: str) -> tuple[Sampler | None, str | None]:
    """Return the sampler and the schedule type in a name such as `DPM++ 2M Karras`.

    Both are None if the sampler is unknown; the type is None if the name has none.
    """
    plain = _plain(name)
    for kind, end in ((None, ""), *((_TYPES[end], end) for end in _TYPES), (_KARRAS, "k")):
        if plain.endswith(end):
            stem = plain.removesuffix(end)
            if found := _BY_NAME.get(stem) or _BY_NAME.get(stem.removeprefix("k")):
                return found, kind
    return None, None


def scheduler_of(sampler: Sampler, kind: str | None) -> tuple[Scheduler, str | None]:
    """Return the scheduler for a sampler and a schedule type, and what it can't have of the type.

    Args:
        kind: the schedule type of another program; None for that of the checkpoint.
    """
    name, config = f"{sampler.scheduler}Scheduler", dict(sampler.config)
    wanted = None if kind is None else schedule_type(kind)
    if wanted == AUTOMATIC:
        wanted = sampler.automatic
    elif kind is not None and wanted is None:
        return Scheduler(name=name, config=config), "has no counterpart here"
    if wanted is None:
        return Scheduler(name=name, config=config), None
    if wanted in _SIGMAS:
        if sampler.scheduler not in _WITH_SIGMAS:
            return Scheduler(name=name, config=config), f"is not for {name}"
        return Scheduler(name=name, config={**config, _SIGMAS[wanted]: True}), None
    if sampler.scheduler in _WITH_SIGMAS:
        config |= {_SIGMAS[_KARRAS]: False}
    if sampler.scheduler in _WITHOUT_SPACING:
        missing = None if wanted == _UNIFORM else f"is not for {name}"
        return Scheduler(name=name, config=config), missing
    return Scheduler(name=name, config={**config, **_SPACED[wanted]}), None


def scheduler_known_as(name: str) -> Scheduler | None:
    """Return the scheduler that is called `name` in other programs, or None.

    The schedule type may follow, as in `DPM++ 2M Karras` or `dpmpp_2m_k`. Without it, the schedule
    stays that of the checkpoint.
    """
    sampler, kind = split_name(name)
    return None if sampler is None else scheduler_of(sampler, kind)[0]


def sampler_of(scheduler: Scheduler) -> tuple[str, str] | None:
    """Return the names of sampler and schedule type in AUTOMATIC1111's web UI, or None.

    None stands for a scheduler that no sampler there corresponds to.
    """
    config = dict(scheduler.config)
    if any(config.get(name) for name in ("use_lu_lambdas", "use_flow_sigmas")):
        return None
    found = None
    for one in (*SAMPLERS, dpm_sde(True), dpm_sde(False)):
        fits = all(config.get(key, value) == value for key, value in one.config.items())
        if f"{one.scheduler}Scheduler" == scheduler.name and fits:
            stated = len(one.config.keys() & config.keys())
            if found is None or stated > found[0]:
                found = stated, one
    if found is None:
        return None
    kinds = [kind for kind, key in _SIGMAS.items() if config.get(key)]
    kinds += [
        kind
        for kind, spacing in _SPACED.items()
        if config.get("timestep_spacing") == spacing["timestep_spacing"]
    ]
    usual = AUTOMATIC if found[1].automatic is None else _UNIFORM
    return found[1].name, kinds[0] if kinds else usual
