"""The denoiser of Hallo (arXiv 2406.08801) and MEMO (arXiv 2412.04448): Stable Diffusion 1.5 with modules for speech and motion.

A layer is: resnet, spatial attention with reference, audio module, AU adapter (where one is attached), motion module. Images
run through it as rows (B*F, C, h, w), ordered by sample. Published checkpoints load with strict=True.

Differences from the published code: past frames are used in training and evaluation alike (Hallo's code drops them in
eval()), the memory of MEMO is an argument, and nothing needs xformers.
"""

from __future__ import annotations

from typing import Literal

import torch
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from methods.talking_unet.attention import ReferenceRows, spatial_output, spatial_tokens
from methods.talking_unet.conditions import Conditions, ReferenceFeatures
from methods.talking_unet.hallo_modules import HalloAudioModule, HalloMotionModule
from methods.talking_unet.layers import LayeredUNet, site_name
from methods.talking_unet.memo_modules import MemoAudioModule, MemoMotionModule, MotionMemory


class TalkingUNet(LayeredUNet):
    """Noisy latents of a clip in, what the base predicts out (Hallo: velocity, MEMO: noise minus latents)."""

    au_adapter: nn.Module | None
    """Called at every attention site as adapter(site, image (B*F, C, h, w), aus (B, L, D), num_frames) -> (B*F, C, h, w),
    residual included. It stays outside of parameters(), state_dict() and to(): it has its own checkpoint and owner."""

    @register_to_config
    def __init__(
        self,
        base: Literal["hallo", "memo"],
        sample_size: int = 64,
        in_channels: int = 4,
        out_channels: int = 4,
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        attention_head_dim: int = 8,
        cross_attention_dim: int = 768,
        norm_num_groups: int = 32,
        audio_attention_dim: int = 768,
        motion_heads: int = 8,
        motion_max_frames: int = 32,
        motion_in_plain_blocks: bool | None = None,
        num_emotions: int = 9,
        emotion_dropout: float = 0.3,
        official_row_order: bool = True,
        positions: bool = False,
    ):
        """
        attention_head_dim: the number of heads of spatial and audio attention (the name is Stable Diffusion's).
        motion_max_frames: length of the table of positions; Hallo's holds past frames too.
        motion_in_plain_blocks: run the motion modules of blocks without attention; None = as published: MEMO does, and
            Hallo's inference skips them (it trains with the same code).
        num_emotions, emotion_dropout: MEMO; the null class is number num_emotions, dropout is per norm and sample.
        official_row_order: see `forward`.
        positions: see `add_positions`.
        """
        super().__init__(
            sample_size=sample_size,
            in_channels=in_channels,
            out_channels=out_channels,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            attention_head_dim=attention_head_dim,
            cross_attention_dim=cross_attention_dim,
            norm_num_groups=norm_num_groups,
            **self.block_types(len(block_out_channels)),
        )
        self.gradient_checkpointing = False
        self.add_positions(positions)
        self.au_adapter = None
        self.motion_in_plain_blocks = base == "memo" if motion_in_plain_blocks is None else motion_in_plain_blocks
        self.au_sites: dict[str, int] = {}
        depth = len(block_out_channels)
        inputs = (block_out_channels[0], *block_out_channels)
        for i, block in enumerate(self.down_blocks):
            self._add_modules(
                f"down_blocks.{i}", block, level=i, inner=[inputs[i]] + [inputs[i + 1]] * layers_per_block
            )
        self._add_modules("mid_block", self.mid_block, level=depth - 1, inner=[block_out_channels[-1]])
        for i, block in enumerate(self.up_blocks):
            level = depth - 1 - i
            inner = block_out_channels[max(level - 1, 0)]
            self._add_modules(f"up_blocks.{i}", block, level, inner=[inner] * len(block.resnets))

    def __setattr__(self, name: str, value) -> None:
        if name == "au_adapter":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _add_modules(self, prefix: str, block: nn.Module, level: int, inner: list[int]) -> None:
        """inner: width inside the audio module of each layer. Published: the channels that come into the block."""
        config = self.config
        channels = block.resnets[0].out_channels
        motion_class = {"hallo": HalloMotionModule, "memo": MemoMotionModule}[config.base]
        motion = (channels, config.motion_heads, config.norm_num_groups, config.motion_max_frames)
        attentions = getattr(block, "attentions", [])
        layers = len(attentions) or len(block.resnets)
        block.motion_modules = nn.ModuleList(motion_class(*motion) for _ in range(layers))
        if not attentions:
            return
        block.audio_modules = nn.ModuleList(
            self._audio_module(prefix, channels, inner[i], level, i) for i in range(layers)
        )
        self.au_sites |= {site_name(prefix, block, i): channels for i in range(layers)}

    def _audio_module(self, prefix: str, channels: int, inner: int, level: int, layer: int) -> nn.Module:
        config = self.config
        sizes = (channels, inner, config.audio_attention_dim, config.attention_head_dim, config.norm_num_groups)
        if config.base == "hallo":
            return HalloAudioModule(*sizes, level)
        last = prefix == f"up_blocks.{len(self.up_blocks) - 1}" and layer == config.layers_per_block
        return MemoAudioModule(*sizes, config.num_emotions, config.emotion_dropout, audio_output=not last)

    def forward(
        self, latents: Tensor, timestep: Tensor | float, conditions: Conditions, memory: MotionMemory | None = None
    ) -> Tensor:
        """latents (B, F, c, h, w), timestep scalar or (B,) -> (B, F, c, h, w).

        memory: MEMO only, from `remember`; None = the clip has no history but the past frames in its reference.

        With official_row_order, frame row j of the B*F rows, which are ordered by sample, sees the reference image of
        sample j mod B: the published code tiles references in the other order, and the published weights were run like
        that. For B = 1 it makes no difference; a guidance pair [null, condition] must be one call with B = 2.
        """
        batch, frames = latents.shape[:2]
        rows = self._reference_rows(frames, conditions.use_reference)
        temb = self.time_embedding(self.get_time_embed(latents, timestep)).repeat_interleave(frames, dim=0)
        image = self.enter(latents.flatten(0, 1))
        if conditions.face_mask is not None:
            image = image + conditions.face_mask.flatten(0, 1)
        audio = conditions.audio.flatten(0, 1)

        def layer(prefix: str, block: nn.Module, index: int, image: Tensor) -> Tensor:
            nonlocal audio
            site = site_name(prefix, block, index)
            image, audio = self.checkpointed(
                self._layer, site, block, index, image, temb, audio, conditions, rows, memory
            )
            return image

        image = self.walk(image, temb, layer)
        return self.conv_out(self.conv_act(self.conv_norm_out(image))).unflatten(0, (batch, frames))

    def _layer(
        self,
        site: str,
        block: nn.Module,
        index: int,
        image: Tensor,
        temb: Tensor,
        audio: Tensor,
        conditions: Conditions,
        rows: ReferenceRows,
        memory: MotionMemory | None,
    ) -> tuple[Tensor, Tensor]:
        frames = conditions.audio.shape[1]
        reference = conditions.reference.sites.get(site)
        image = block.resnets[index](image, temb)
        if site in self.au_sites:
            attention = block.attentions[index]
            tokens, normed = spatial_tokens(attention, image)
            tokens = tokens + rows.attend(attention.transformer_blocks[0].attn1, normed, reference[:, 0])
            image = spatial_output(attention, image, tokens, conditions.face)
            image, audio = block.audio_modules[index](image, audio, conditions)
            if self.au_adapter is not None and conditions.aus is not None:
                image = self.au_adapter(site, image, conditions.aus, frames)
        if site in self.au_sites or self.motion_in_plain_blocks:
            past = None if reference is None else reference[:, 1:]
            image = block.motion_modules[index](image, frames, past, None if memory is None else memory.sites[site])
        return image, audio

    def _reference_rows(self, frames: int, use_reference: Tensor) -> ReferenceRows:
        batch = len(use_reference)
        row = torch.arange(batch * frames, device=use_reference.device)
        sample = row % batch if self.config.official_row_order else row // frames
        return ReferenceRows(sample, use_reference.repeat_interleave(frames)[:, None, None])

    def remember(self, reference: ReferenceFeatures, memory: MotionMemory | None = None) -> MotionMemory:
        """MEMO, once a clip: what its motion modules know, the past frames of this clip's reference taken in.

        memory: what they knew before; None at the start of a video. No gradient flows through it.
        """
        sites = {}
        for site, features in reference.sites.items():
            prefix, _, index = site.rsplit(".", 2)
            module = self.get_submodule(f"{prefix}.motion_modules.{index}")
            sites[site] = module.remember(features[:, 1:], None if memory is None else memory.sites[site])
        return MotionMemory(sites)
