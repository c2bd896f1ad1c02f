"""Which of our objects answers a name of diffusers that `autopipe` itself doesn't export."""

from __future__ import annotations

from .availability import PACKAGES

_HERE = "autopipe_compat"
_COMPONENTS = "autopipe_components"

_OBJECTS: dict[str, str] = {
    "autopipe.config": "ConfigMixin register_to_config",
    "autopipe.outputs": "BaseOutput ImagePipelineOutput",
    "autopipe.checkpoint.hub.upload": "PushToHubMixin",
    "autopipe.utils": "load_image make_image_grid numpy_to_pil pt_to_pil",
    f"{_COMPONENTS}.networks.attention_processors": "AttnAddedKVProcessor AttnAddedKVProcessor2_0 "
    "AttnProcessor AttnProcessor2_0 FusedAttnProcessor2_0 LoRAAttnAddedKVProcessor "
    "LoRAAttnProcessor LoRAAttnProcessor2_0 LoRAXFormersAttnProcessor XFormersAttnProcessor",
    f"{_COMPONENTS}.networks.autoencoder_kl": "AutoencoderKLOutput",
    f"{_COMPONENTS}.networks.distributions": "DiagonalGaussianDistribution",
    f"{_COMPONENTS}.networks.prior_transformer": "PriorTransformerOutput",
    f"{_COMPONENTS}.networks.unet": "UNet2DConditionOutput",
    f"{_COMPONENTS}.networks.vae": "Decoder DecoderOutput Encoder",
    f"{_COMPONENTS}.networks.vq_model": "VQEncoderOutput",
    f"{_COMPONENTS}.schedulers.output": "SchedulerOutput",
    "autopipe_controlnet.controlnet": "ControlNetOutput",
    "autopipe_sdxl.watermark": "StableDiffusionXLWatermarker",
    f"{_HERE}.availability": "OptionalDependencyNotAvailable compare_versions is_google_colab "
    "requires_backends "
    + " ".join(
        f"is_{name}_{what}" for name in [*PACKAGES, "jinja"] for what in ("available", "version")
    ),
    f"{_HERE}.averaging": "EMAModel",
    f"{_HERE}.cards": "load_or_create_model_card populate_model_card",
    f"{_HERE}.constants": "AysSchedules CONFIG_NAME DEPRECATED_REVISION_ARGS DIFFUSERS_CACHE "
    "ENV_VARS_TRUE_AND_AUTO_VALUES ENV_VARS_TRUE_VALUES GGUF_FILE_EXTENSION HF_HUB_OFFLINE "
    "HUGGINGFACE_CO_RESOLVE_ENDPOINT KarrasDiffusionSchedulers LORA_WEIGHT_NAME "
    "LORA_WEIGHT_NAME_SAFE MIN_PEFT_VERSION ONNX_EXTERNAL_WEIGHTS_NAME ONNX_WEIGHTS_NAME "
    "PIL_INTERPOLATION PipelineDepthInput PipelineImageInput SAFETENSORS_FILE_EXTENSION "
    "SAFETENSORS_WEIGHTS_NAME SAFE_WEIGHTS_INDEX_NAME SCHEDULER_CONFIG_NAME TEXT_ENCODER_NAME "
    "TEXT_INVERSION_NAME TEXT_INVERSION_NAME_SAFE TRANSFORMER_NAME UNET_NAME USE_PEFT_BACKEND "
    "WEIGHTS_INDEX_NAME WEIGHTS_NAME default_cache_path is_compiled_module is_valid_image "
    "is_valid_image_imagelist old_diffusers_cache unwrap_module",
    f"{_HERE}.deprecation": "check_min_version deprecate replace_example_docstring",
    f"{_HERE}.learning_rates": "SchedulerType TYPE_TO_SCHEDULER_FUNCTION get_constant_schedule "
    "get_constant_schedule_with_warmup get_cosine_schedule_with_warmup "
    "get_cosine_with_hard_restarts_schedule_with_warmup get_linear_schedule_with_warmup "
    "get_piecewise_constant_schedule get_polynomial_decay_schedule_with_warmup get_scheduler",
    f"{_HERE}.logs": "add_handler disable_default_handler disable_progress_bar "
    "disable_propagation enable_default_handler enable_explicit_format enable_progress_bar "
    "enable_propagation get_log_levels_dict get_logger get_verbosity is_progress_bar_enabled "
    "log_levels remove_handler reset_format set_verbosity set_verbosity_debug "
    "set_verbosity_error set_verbosity_info set_verbosity_warning tqdm "
    "CRITICAL DEBUG ERROR FATAL INFO NOTSET WARN WARNING",
    f"{_HERE}.lora_keys": "StateDictType adjust_lora_scale_text_encoder "
    "convert_all_state_dict_to_peft convert_state_dict_to_diffusers convert_state_dict_to_kohya "
    "convert_state_dict_to_peft convert_unet_state_dict_to_peft scale_lora_layers "
    "state_dict_all_zero unscale_lora_layers",
    f"{_HERE}.media": "export_to_gif export_to_video load_video",
    f"{_HERE}.mixins": "DeprecatedPipelineMixin FromOriginalModelMixin FromSingleFileMixin "
    "IPAdapterMixin LegacyConfigMixin LegacyModelMixin LoraBaseMixin LoraLoaderMixin "
    "PeftAdapterMixin StableDiffusionLoraLoaderMixin StableDiffusionMixin "
    "StableDiffusionXLLoraLoaderMixin TextualInversionLoaderMixin UNet2DConditionLoadersMixin",
    f"{_HERE}.conversion": "download_from_original_stable_diffusion_ckpt",
    f"{_HERE}.tasks": "AUTO_IMAGE2IMAGE_PIPELINES_MAPPING AUTO_INPAINT_PIPELINES_MAPPING "
    "AUTO_TEXT2IMAGE_PIPELINES_MAPPING",
    f"{_HERE}.training": "cast_training_params compute_density_for_timestep_sampling "
    "compute_dream_and_update_latents compute_loss_weighting_for_sd3 compute_snr "
    "find_nearest_bucket free_memory generate_aspect_ratio_buckets offload_models "
    "parse_buckets_string resolve_interpolation_mode set_seed unet_lora_state_dict "
    "_collate_lora_metadata _set_state_dict_into_text_encoder",
}

_OTHER_NAMES = {
    "Attention": f"{_COMPONENTS}.networks.attention_members:AttentionMembers",
    "FrozenDict": "autopipe.frozen_config:FrozenConfig",
    "load_pipeline_from_original_stable_diffusion_ckpt": f"{_HERE}.conversion:"
    "download_from_original_stable_diffusion_ckpt",
    **{
        f"{name}SchedulerOutput": f"{_COMPONENTS}.schedulers.{module}:{name}SchedulerOutput"
        for name, module in {
            "DDIM": "ddim",
            "DDPM": "ddpm",
            "EulerAncestralDiscrete": "euler_ancestral_discrete",
            "EulerDiscrete": "euler_discrete",
            "HeunDiscrete": "heun_discrete",
            "KDPM2AncestralDiscrete": "k_dpm_2_ancestral_discrete",
            "KDPM2Discrete": "k_dpm_2_discrete",
            "LCM": "lcm",
            "LMSDiscrete": "lms_discrete",
            "TCD": "tcd",
            "UnCLIP": "unclip",
        }.items()
    },
}
"""Targets of names that are called differently here, or follow a pattern."""

EQUALS: dict[str, str] = {
    **{name: f"{module}:{name}" for module, names in _OBJECTS.items() for name in names.split()},
    **_OTHER_NAMES,
}
"""The target of each name."""

_AT_THE_TOP = (
    "EMAModel FromOriginalModelMixin OptionalDependencyNotAvailable StableDiffusionMixin "
    "get_constant_schedule get_constant_schedule_with_warmup get_cosine_schedule_with_warmup "
    "get_cosine_with_hard_restarts_schedule_with_warmup get_linear_schedule_with_warmup "
    "get_polynomial_decay_schedule_with_warmup get_scheduler is_inflect_available "
    "is_invisible_watermark_available is_librosa_available is_note_seq_available "
    "is_onnx_available is_scipy_available is_torch_available is_torchsde_available "
    "is_transformers_available is_transformers_version is_unidecode_available"
)

EXPORTED = tuple(_AT_THE_TOP.split())
"""The names that diffusers, and so `autopipe`, exports at its top."""
