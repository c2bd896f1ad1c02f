"""Text to image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from autopipe.errors import ArgumentError
from autopipe.kinds import Network, Processor, Scheduler
from autopipe.pipeline.base import DiffusionPipeline
from autopipe.pipeline.call import Cancellation, pipeline_call
from autopipe.pipeline.loop import StepCallback, Tensors
from autopipe.tasks import Text2Image
from autopipe_components.embedding_prior import TEXT_TENSORS, repeated_texts
from autopipe_components.steps.callbacks import step_callbacks
from autopipe_components.steps.checks import Prompt, check_guidance, check_tensor, check_text
from autopipe_components.steps.codec import Generators

from .stages import Drawing, UnCLIPPrior
from .steps import Result, UnCLIPSteps, check_embeddings, check_one_of


class UnCLIPPipeline(UnCLIPSteps, Text2Image):
    """Text to image with unCLIP: prior, decoder, and super-resolution (Ramesh et al. 2022,
    arXiv:2204.06125).

    Args:
        prior: a `PriorTransformer`.
        decoder: a `UNet2DConditionModel`.
        text_encoder: a `transformers.CLIPTextModelWithProjection`.
        tokenizer: a `transformers.CLIPTokenizer`.
        text_proj: a `UnCLIPTextProjModel`.
        super_res_first, super_res_last: `UNet2DModel` networks, the second for the last step.
        prior_scheduler, decoder_scheduler, super_res_scheduler: a `UnCLIPScheduler` each.
    """

    _exclude_from_cpu_offload = ("prior",)
    model_cpu_offload_extra = ("prior",)

    prior: Any
    prior_scheduler: Any

    def __init__(
        self,
        prior: Network,
        decoder: Network,
        text_encoder: Network,
        tokenizer: Processor,
        text_proj: Network,
        super_res_first: Network,
        super_res_last: Network,
        prior_scheduler: Scheduler,
        decoder_scheduler: Scheduler,
        super_res_scheduler: Scheduler,
    ) -> None:
        self.register_modules(
            prior=prior,
            decoder=decoder,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            text_proj=text_proj,
            super_res_first=super_res_first,
            super_res_last=super_res_last,
            prior_scheduler=prior_scheduler,
            decoder_scheduler=decoder_scheduler,
            super_res_scheduler=super_res_scheduler,
        )

    @classmethod
    def stage_classes(cls) -> tuple[type[DiffusionPipeline], ...]:
        """Return the classes of the pipelines that a call runs."""
        return UnCLIPPrior, *super().stage_classes()

    @property
    def prior_stage(self) -> UnCLIPPrior:
        """The prior as a pipeline with the current components; see `decoder_stage`."""
        return self.as_stage(UnCLIPPrior(self.prior, self.prior_scheduler))

    @property
    def guided(self) -> bool:
        return bool(self.call.prior_guidance_scale > 1) or super().guided

    def _encode_prompt(
        self,
        prompt: Prompt | None,
        device: torch.device | str | None,
        num_images_per_prompt: int,
        do_classifier_free_guidance: bool,
        text_model_output: Any = None,
        text_attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return pooled texts (B, P), states (B, K, D) and their mask (B, K); negative half first.

        Args:
            text_model_output, text_attention_mask: used in place of encoding `prompt`.
        """
        count, guided = num_images_per_prompt, do_classifier_free_guidance
        if text_model_output is None:
            check_one_of("prompt", prompt, "text_model_output", text_model_output)
            assert prompt is not None
            encoded = self.in_halves(prompt, count, guided)
        else:
            check_one_of("text_attention_mask", text_attention_mask, "prompt", prompt)
            given = (text_model_output[0], text_model_output[1], text_attention_mask)
            encoded = self.of_given(dict(zip(TEXT_TENSORS, given)), count, guided)
        pooled, states, mask = (one.to(device) for one in encoded)
        return pooled, states, mask

    @pipeline_call
    def __call__(
        self,
        prompt: Prompt | None = None,
        num_images_per_prompt: int = 1,
        prior_num_inference_steps: int = 25,
        decoder_num_inference_steps: int = 25,
        super_res_num_inference_steps: int = 7,
        generator: Generators = None,
        prior_latents: Tensor | None = None,
        decoder_latents: Tensor | None = None,
        super_res_latents: Tensor | None = None,
        text_model_output: Any = None,
        text_attention_mask: Tensor | None = None,
        prior_guidance_scale: float = 4.0,
        decoder_guidance_scale: float = 8.0,
        output_type: str = "pil",
        return_dict: bool = True,
        *,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        latents: Tensor | None = None,
        prior_callback_on_step_end: StepCallback | None = None,
        prior_callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        callback_on_step_end: StepCallback | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
        check_memory: bool = True,
        adapters: Mapping[str, Any] | None = None,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Generate images of `prompt`.

        Args:
            prompt: a string, or a list of strings; None if `text_model_output` is given.
            num_images_per_prompt: the number of images per prompt.
            prior_num_inference_steps, decoder_num_inference_steps, super_res_num_inference_steps:
                the numbers of denoising steps, at least 2 with a `UnCLIPScheduler`.
            generator: the random generator of all stages, or a list with one per image.
            prior_latents, decoder_latents, super_res_latents: the initial noise of the stages,
                (B, D), (B, 3, h, w) and (B, 3, H, W); by default it is sampled.
            text_model_output: encoded prompts in place of `prompt`: the output of the text encoder,
                or a tuple of pooled texts (P, D) and hidden states (P, K, D).
            text_attention_mask: their mask (P, K), True for tokens that are not padding.
            prior_guidance_scale, decoder_guidance_scale: how closely to follow the prompt;
                guidance is off if both are at most 1.
            output_type: `"pil"`, `"np"` or `"pt"`.
            return_dict: if False, return a tuple.
            height, width: in pixels, multiples of the ratio of the networks' sizes; by default the
                training resolution.
            num_inference_steps, guidance_scale, latents: the names that all pipelines of the task
                have for the arguments of the decoder, in place of which they count.
            prior_callback_on_step_end, prior_callback_on_step_end_tensor_inputs: the same for the
                prior.
            callback_on_step_end: `callback(run, step, timestep, tensors)`, called after each step
                of the decoder; tensors in the dict that it returns replace those of the call.
                Setting `run._interrupt = True` skips the remaining steps of the stage.
            callback_on_step_end_tensor_inputs: the names of the tensors that it receives.
            check_memory: if False, don't refuse calls that certainly exceed the memory.
            adapters: the strengths of the attachments in this call, such as `{"ink": 0.7}`; by
                default those of the pipeline.
            cancellation: ends the call when it is set, such as a `threading.Event`.

        Returns:
            `ImagePipelineOutput`, or the tuple of its value.

        Raises:
            ArgumentError: if an argument is not valid. Nothing was computed.
            ArgumentTypeError: if an argument has the wrong type. Nothing was computed.
        """
        # 1. Check everything that can be checked
        prompts, given = self._prompts(), self._given_texts()
        check_guidance(self.call.prior_guidance_scale)
        plan = self.plan(len(given["text_mask"]) if prompts is None else len(prompts))
        drawing = self._prior_drawing(plan.rows)

        # 2. Encode the texts
        if prompts is None:
            encoded = self.of_given(given, self.call.num_images_per_prompt, self.guided)
            texts = dict(zip(TEXT_TENSORS, encoded))
        else:
            texts = self.texts_of(prompts)

        # 3. Turn them into the embeddings of images
        embeddings = self.prior_stage(texts, drawing)

        # 4. Draw the images
        return self.draw(embeddings, texts, plan)

    def _prompts(self) -> list[str] | None:
        """Return the prompts of the call; None if it has encoded ones."""
        prompt, encoded = self.call.prompt, self.call.text_model_output
        check_one_of("prompt", prompt, "text_model_output", encoded)
        check_text("prompt", prompt)
        return [prompt] if isinstance(prompt, str) else prompt

    def _given_texts(self) -> Tensors:
        """Return the encoded prompts of the call; without them an empty dict."""
        given, mask = self.call.text_model_output, self.call.text_attention_mask
        if given is None:
            return {}
        check_tensor("text_attention_mask", mask)
        try:
            pooled, states = given[0], given[1]
        except (TypeError, KeyError, IndexError, ValueError):
            pooled = states = None
        width = self.text_proj.config.clip_embeddings_dim
        check_embeddings("text_model_output[0]", pooled, width)
        rows = None if mask is None else tuple(mask.shape)
        if not isinstance(states, Tensor) or states.ndim != 3 or states.shape[:2] != rows:
            raise ArgumentError(
                f"text_model_output[1] must be hidden states (batch, tokens, width) and "
                f"text_attention_mask their mask (batch, tokens), which is {rows}"
            )
        encoded = pooled, states, mask.bool()
        if len(pooled) != len(states):
            raise ArgumentError(
                f"text_model_output has {len(pooled)} pooled texts and hidden states of "
                f"{len(states)}; give one for each"
            )
        return dict(zip(TEXT_TENSORS, encoded))

    def of_given(self, given: Tensors, count: int, guided: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return encoded prompts, each `count` times; if guided, the empty text's half before."""
        empty = self.encode_texts([""] * len(given["text_mask"]), count) if guided else ()
        encoded = [given[name] for name in TEXT_TENSORS]
        return repeated_texts(encoded, count, self._execution_device, empty)

    def _prior_drawing(self, rows: int) -> Drawing:
        """Return how the prior draws, after checking its arguments."""
        call, scale = self.call, self.call.prior_guidance_scale
        drawing = Drawing(
            (rows, self.prior.config.embedding_dim),
            call.prior_num_inference_steps,
            call.generator,
            call.prior_latents,
            scale,
            self.guided and scale != 1,
            call.prior_callback_on_step_end,
            call.prior_callback_on_step_end_tensor_inputs,
        )
        self.check_drawing("prior_num_inference_steps", drawing, self.prior_scheduler)
        step_callbacks(self.prior_stage, drawing.callback_on_step_end, drawing.callback_inputs)
        return drawing
