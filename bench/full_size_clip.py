"""Whole videos of StableAvatar and IUFace at full size without weights: by speed profile, and by diffusers' own transformer.

All networks have random weights, so the pictures mean nothing; what is computed is what a video with real weights takes, except
that what a cache skips depends on the weights. See `bench.full_size`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench import registry
from bench.full_size import Clock
from bench.full_size_video import ROWS, TEXT_TOKENS, filled, full_sizes, random_network
from bench.media.clip import samples_for
from methods.clock import Clock as PartClock
from methods.conditioning.video_encoders import FullVideoEncoders
from methods.generator import Request

if TYPE_CHECKING:
    from diffusers import AutoencoderKLWan, WanTransformer3DModel
    from torch import Tensor
    from transformers import CLIPVisionModel, Wav2Vec2Model

    from methods.stableavatar.pipeline import StableAvatarPipeline

PROFILES = ("exact", "guidance_interval", "cached", "compiled")
STEPS = 50
"""Of denoising, as published."""
WARM_UP_STEPS = 2
"""Of a video that is made first and not counted: kernels are chosen, blocks are compiled."""
FPS = 25.0


class RandomVideoEncoders(FullVideoEncoders):
    """Encoders of the published sizes with random weights. Any picture shows one face, any prompt is as long as can be."""

    vae_sizes: ClassVar[dict[str, Any]] = {}
    """Arguments of AutoencoderKLWan, whose defaults are Wan2.1's."""
    clip_sizes: ClassVar[dict[str, Any]] = {
        "hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16,
        "image_size": 224, "patch_size": 14, "hidden_act": "gelu",
    }  # fmt: skip
    """Arguments of CLIPVisionConfig: ViT-H/14."""
    speech_sizes: ClassVar[dict[str, Any]] = {}
    """Arguments of Wav2Vec2Config, whose defaults are the base model's."""
    _parts = ("_vae", "_clip", "_speech")
    _text_parts = ()

    def load_vae(self) -> AutoencoderKLWan:
        import torch
        from diffusers import AutoencoderKLWan

        with torch.device(self.device):
            return AutoencoderKLWan(**self.vae_sizes)

    def load_speech(self) -> Wav2Vec2Model:
        import torch
        from transformers import Wav2Vec2Config, Wav2Vec2Model

        with torch.device(self.device):
            return Wav2Vec2Model(Wav2Vec2Config(**self.speech_sizes))

    @cached_property
    def _clip(self) -> CLIPVisionModel:
        import torch
        from transformers import CLIPVisionConfig, CLIPVisionModel

        with torch.device(self.device):
            network = CLIPVisionModel(CLIPVisionConfig(**self.clip_sizes))
        return self._placed(network, self.dtype)

    def require_one_face(self, image: np.ndarray) -> None:
        pass

    def encode_text(self, words: str) -> Tensor:
        import torch

        return torch.randn(TEXT_TOKENS, self.text_dim)


def measure_videos(method: str, device: str, size: int, frames: int) -> list[dict[str, Any]]:
    """Rows of the table: a video by each speed profile, the exact one also by part, and the stock one likewise."""
    asked = random_request(size, frames)
    rows = []
    for profile in PROFILES:
        rows += _profile_rows(random_pipeline(method, device, size, frames, profile), asked, device)
    return rows + _stock_rows(method, device, asked)


def random_request(size: int, frames: int) -> Request:
    """Noise for picture, speech and Action Units."""
    rng = np.random.default_rng(0)
    return Request(
        case="noise", reference=rng.integers(0, 256, (size, size, 3), np.uint8), num_frames=frames, fps=FPS, height=size,
        width=size, seed=0, audio=0.1 * rng.standard_normal(samples_for(frames, FPS)).astype(np.float32),
        aus=rng.random((frames, 35), np.float32),
    )  # fmt: skip


def random_pipeline(method: str, device: str, size: int, frames: int, profile: str) -> StableAvatarPipeline:
    """As published but for the weights, for videos of one window."""
    from methods.iuface.pipeline import IUFacePipeline
    from methods.stableavatar.pipeline import StableAvatarPipeline

    config = registry.method(method).Config(
        profile=profile, steps=STEPS, window_frames=frames, overlap=1, height=size, width=size
    )
    encoders = RandomVideoEncoders({}, device, config.dtype)
    encoders.load()
    kind = {"stableavatar": StableAvatarPipeline, "iuface": IUFacePipeline}[method]
    return kind(random_network(method, device), encoders, config, device)


def _profile_rows(pipeline: StableAvatarPipeline, asked: Request, device: str) -> list[dict[str, Any]]:
    config, work, computed = pipeline.config, f"video, {pipeline.config.profile}", []
    pipeline.config = config.model_copy(update={"steps": WARM_UP_STEPS})
    _exhaust(pipeline(asked))
    pipeline.config = config
    if config.profile == "cached":
        pipeline.transformer.blocks[1].attn1.register_forward_pre_hook(lambda *_: computed.append(1))
    figures = Clock(device).once(lambda: _exhaust(pipeline(asked)))
    if config.profile == "cached":
        work += f" ({len(computed) / ROWS:.3g} of {STEPS} steps computed)"
    return [{"work": work} | figures, *(_parts(work, pipeline.clock, figures) if config.profile == "exact" else [])]


def _parts(work: str, clock: PartClock, figures: dict[str, float]) -> list[dict[str, Any]]:
    return [{"work": f"{work}: {part}"} | figures | {"seconds": seconds} for part, seconds in clock.seconds.items()]


def _exhaust(pieces: Iterable[np.ndarray]) -> None:
    for _ in pieces:
        pass


# -- diffusers' own ---------------------------------------------------------------------------------------------------


def _stock_rows(method: str, device: str, asked: Request) -> list[dict[str, Any]]:
    import torch

    clock = PartClock(device)
    network, encoders = stock_network(method, device), RandomVideoEncoders({}, device, "bfloat16")
    vae = encoders.load_vae().eval().type(torch.bfloat16)
    stock_video(network, vae, encoders, asked, WARM_UP_STEPS, clock)
    clock.reset()
    figures = Clock(device).once(lambda: stock_video(network, vae, encoders, asked, STEPS, clock))
    return [{"work": "stock video"} | figures, *_parts("stock video", clock, figures)]


def stock_network(method: str, device: str) -> WanTransformer3DModel:
    """The transformer of a method's sizes that diffusers has, without speech and Action Units, in bfloat16."""
    import torch
    from accelerate import init_empty_weights
    from diffusers import WanTransformer3DModel

    sizes = {name: value for name, value in full_sizes(method).items() if name not in ("vocal", "aus")}
    dim = sizes["num_attention_heads"] * sizes["attention_head_dim"]
    with init_empty_weights(include_buffers=False):
        network = WanTransformer3DModel(**sizes, added_kv_proj_dim=dim)
    exact = WanTransformer3DModel._keep_in_fp32_modules
    return filled(
        network, device, lambda name: torch.float32 if any(part in name for part in exact) else torch.bfloat16
    )


def stock_video(
    network: WanTransformer3DModel,
    vae: AutoencoderKLWan,
    encoders: RandomVideoEncoders,
    asked: Request,
    steps: int,
    clock: PartClock,
) -> Tensor:
    """A video as diffusers' own pipeline of Wan2.1 makes it, with a third evaluation in every step.

    Returns:
        (1, 3, N, H, W) in about [-1, 1], on the device.
    """
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler

    from methods.conditioning.vae import to_pixels
    from methods.conditioning.wan_vae import KNOWN_CHANNELS, statistics, with_mask
    from methods.stableavatar.guidance import three_pass_guidance

    device, kind = network.device, vae.dtype
    scheduler = FlowMatchEulerDiscreteScheduler(shift=5.0)
    with torch.inference_mode():
        with clock("encode"):
            pixels = torch.zeros(1, 3, asked.num_frames, asked.height, asked.width, device=device, dtype=kind)
            pixels[:, :, 0] = to_pixels(asked.reference[None])
            known = with_mask(vae.encode(pixels).latent_dist.mode())
            image = encoders.image(asked.reference)[None].to(device, kind)
            text = encoders.text()[None].to(device, kind)
        with clock("denoise"):
            latents = torch.randn_like(known[:, KNOWN_CHANNELS:], dtype=torch.float32)
            scheduler.set_timesteps(steps, device=device)
            for time in scheduler.timesteps:
                seen = torch.cat([latents.to(kind), known], dim=1)
                uncond, audio, cond = (network(seen, time[None], text, image).sample.float() for _ in range(ROWS))
                velocity = three_pass_guidance(uncond, audio, cond, audio_scale=5.0, text_scale=3.0)
                latents = scheduler.step(velocity, time, latents).prev_sample
        with clock("decode"):
            mean, std = (values.to(device) for values in statistics(vae))
            return vae.decode((latents * std + mean).to(kind)).sample
