"""What a body asks for, as a description of a request that the studio completes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autopipe.registry import Registry
from autopipe.wording import shown
from autopipe_requests.foreign import Foreign
from autopipe_requests.foreign.a1111 import without_tags

from ..errors import Refusal
from ..limits import check_texts
from ..settings import Settings
from ..studio import LimitError
from . import names
from .bodies import Drawing, Options, Text2Image, rounded
from .canvas import Size

FORMATS: Mapping[str, str] = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WEBP"}
"""The formats of answered images."""

_NOT_TAKEN = {
    "styles": "styles; write what they say into the prompt",
    "restore_faces": "faces restored; leave restore_faces out",
    "tiling": "images that tile; leave tiling out",
    "subseed_strength": "a second seed; leave subseed_strength out",
    "seed_resize_from_w": "the noise of another size; leave seed_resize_from_w out",
    "seed_resize_from_h": "the noise of another size; leave seed_resize_from_h out",
    "refiner_checkpoint": "a refiner; leave refiner_checkpoint out",
}
_OWN_VAE = ("", "automatic", "none")


@dataclass(frozen=True)
class Wish:
    """What all images of a call share.

    Attributes:
        given: the description of a request, without seed and images.
        model: the name of the model.
        sampler: the name of the sampler.
        format: the format of answered images.
        skipped: the number of last layers of the text encoder that aren't used.
        comments: what is done in another way than there, a sentence each.
    """

    given: Mapping[str, Any]
    model: str
    sampler: str
    format: str
    skipped: int
    comments: Sequence[str]


class Wishes:
    """Reads bodies for one client.

    Args:
        options: what the client has set.
        models: the names of the models, the default first.
        loras: returns the names of the adapters.
        registry: the installed packages.
        settings: the settings of the server.
    """

    def __init__(
        self,
        options: Options,
        models: Sequence[str],
        loras: Callable[[], Sequence[str]],
        registry: Registry,
        settings: Settings,
    ) -> None:
        self._options, self._models, self._loras = options, models, loras
        self._registry, self._settings = registry, settings

    def read(self, body: Drawing, task: str) -> Wish:
        """Return what a body asks for.

        Raises:
            LimitError: if it asks for too many images.
            Refusal: for an unknown name (404), and for what isn't done here (422).
        """
        check_taken(body)
        texts = {"prompt": body.prompt, "negative_prompt": body.negative_prompt}
        check_texts(texts, self._settings.limits)
        most, count = self._settings.limits.images, body.batch_size * body.n_iter
        if count > most:
            raise LimitError(
                f"batch_size times n_iter is {count:,}, and a request has at most {most} images; "
                f"send several requests"
            )
        found = Foreign("a client of the web UI")
        given: dict[str, Any] = {
            "task": task,
            "num_inference_steps": body.steps,
            "guidance_scale": body.cfg_scale,
            "size": [*body.size],
        }
        given |= self._prompts(body.prompt, body.negative_prompt, found)
        sampler = self._sampler(body.sampler_name or body.sampler_index, body.scheduler, found)
        options = known(merged(self._options, body.override_settings), self._models)
        if options.sd_model_checkpoint is not None:
            given["model"] = options.sd_model_checkpoint
        skipped = (options.CLIP_stop_at_last_layers or 1) - 1
        if skipped:
            given["clip_skip"] = skipped
        comments = [*found.left, *found.differs]
        if body.size != (body.width, body.height):
            drawn = "{}x{}".format(*body.size)
            comments.append(f"{body.width}x{body.height} is drawn as {drawn}, in multiples of 8")
        if "scheduler" in found.given:
            given["scheduler"] = found.given["scheduler"]
        format = FORMATS[(options.samples_format or "png").lower()]
        model = options.sd_model_checkpoint or next(iter(self._models), "")
        return Wish(given, model, sampler, format, skipped, comments)

    def _prompts(self, positive: str, negative: str, found: Foreign) -> dict[str, Any]:
        """Return the prompts, with the add-ons that they need."""
        texts = {
            "prompt": without_tags(positive, found),
            "negative_prompt": without_tags(negative, found),
        }
        given: dict[str, Any] = {
            name: one for name, one in texts.items() if one or name == "prompt"
        }
        loras = self._loras() if found.loras else ()
        additions: list[dict[str, Any]] = [
            {"addon": "lora", "source": names.known_lora(name, loras), "strength": weight}
            for name, weight in found.loras
        ]
        weighing = Foreign(found.program)
        weighing.take_prompts(*texts.values(), grammar="a1111", example="(word:1.2)")
        if weighing.grammar in self._registry.of("addon"):
            additions.append({"addon": weighing.grammar})
        else:
            found.differs += weighing.differs
        return given | ({"addons": additions} if additions else {})

    def _sampler(self, name: str, kind: str, found: Foreign) -> str:
        """Take over a sampler, and return its name."""
        known = names.known_sampler(name, kind, self._registry)
        if known is None:
            return names.DEFAULT
        sampler, kind = known
        found.take_sampler(sampler.name, kind)
        return sampler.name


def second_pass(body: Text2Image) -> Text2Image:
    """Return the body of the second pass of `enable_hr`, which changes the enlarged images."""
    chosen = {
        "prompt": body.hr_prompt,
        "negative_prompt": body.hr_negative_prompt,
        "sampler_name": body.hr_sampler_name,
        "scheduler": body.hr_scheduler,
        "steps": body.hr_second_pass_steps,
    }
    width, height = enlarged_size(body)
    update: dict[str, Any] = {"width": width, "height": height}
    update |= {name: one for name, one in chosen.items() if _is_other(one)}
    if _is_other(body.hr_checkpoint_name):
        named = {"sd_model_checkpoint": body.hr_checkpoint_name}
        update["override_settings"] = body.override_settings.model_copy(update=named)
    return body.model_copy(update=update)


def enlarged_size(body: Text2Image) -> Size:
    """Return width and height in pixels after the second pass, multiples of 8."""
    width, height = body.hr_resize_x, body.hr_resize_y
    if not width and not height:
        width, height = round(body.width * body.hr_scale), round(body.height * body.hr_scale)
    elif not width or not height:
        width = width or round(height * body.width / body.height)
        height = height or round(width * body.height / body.width)
    return rounded(width), rounded(height)


def _is_other(value: object) -> bool:
    """Whether a field of the second pass says something else than the first."""
    return bool(value) and not (isinstance(value, str) and value.lower().startswith("use same"))


def merged(options: Options, others: Options) -> Options:
    """Return options with those that are set in `others`."""
    return options.model_copy(update=others.model_dump(exclude_none=True))


def check_taken(body: Drawing) -> None:
    """Raise `Refusal` (422) if a body asks for what isn't done here."""
    for name, what in _NOT_TAKEN.items():
        if getattr(body, name) not in ("", "None", 0, False, []):
            raise Refusal(422, f"this server draws without {what}", param=name)
    scripts = [body.script_name] if body.script_name not in ("", "None") else []
    for name in (*scripts, *body.alwayson_scripts):
        text = f"there is no script {shown(name)} here; there are none, so leave it out"
        raise Refusal(422, text, param="script_name" if scripts else "alwayson_scripts")


def known(options: Options, models: Sequence[str]) -> Options:
    """Return options in which the model has its name.

    Raises:
        Refusal: for an unknown model (404), autoencoder or format (422).
    """
    if options.sd_vae is not None and options.sd_vae.lower() not in _OWN_VAE:
        raise Refusal(
            422,
            f"there is no autoencoder {shown(options.sd_vae)} here; each model has its own, so set "
            f"sd_vae to Automatic",
            param="sd_vae",
        )
    if options.samples_format is not None and options.samples_format.lower() not in FORMATS:
        raise Refusal(
            422,
            f"images are written as png, jpg or webp, not as {shown(options.samples_format)}",
            param="samples_format",
        )
    if not options.sd_model_checkpoint:
        return options.model_copy(update={"sd_model_checkpoint": None})
    name = names.known_model(options.sd_model_checkpoint, models)
    return options.model_copy(update={"sd_model_checkpoint": name})
