"""The reference net: Stable Diffusion 1.5's UNet, run once a clip at time 0 for the features the denoiser attends to.

Hallo (arXiv 2406.08801, section 3.2) and MEMO (arXiv 2412.04448, section 3.2). Differences from the published code:
features are returned, not left behind in patched modules, and the last attention ends where its features are known,
since nothing reads what follows.
"""

from __future__ import annotations

from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from methods.talking_unet.attention import attend, spatial_output, spatial_tokens, to_tokens
from methods.talking_unet.conditions import ReferenceFeatures
from methods.talking_unet.layers import LayeredUNet, site_name


class ReferenceNet(LayeredUNet):
    """Latents of the reference image and of past frames in, features per site out."""

    @register_to_config
    def __init__(
        self,
        sample_size: int = 64,
        in_channels: int = 4,
        block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280),
        layers_per_block: int = 2,
        attention_head_dim: int = 8,
        cross_attention_dim: int = 768,
        norm_num_groups: int = 32,
        plain_blocks: bool = False,
        cut_last_site: bool = False,
        official_row_order: bool = True,
        positions: bool = False,
    ):
        """
        attention_head_dim: the number of heads (the name is Stable Diffusion's).
        plain_blocks: hand out the resnet outputs of blocks without attention too, which MEMO's motion modules read.
        cut_last_site: the last attention has no parameters beyond those its features need, as in MEMO's checkpoint.
        official_row_order: see `forward`.
        positions: see `add_positions`.
        """
        super().__init__(
            sample_size=sample_size,
            in_channels=in_channels,
            block_out_channels=block_out_channels,
            layers_per_block=layers_per_block,
            attention_head_dim=attention_head_dim,
            cross_attention_dim=cross_attention_dim,
            norm_num_groups=norm_num_groups,
            **self.block_types(len(block_out_channels)),
        )
        self.gradient_checkpointing = False
        self.add_positions(positions)
        self.conv_norm_out = self.conv_out = None
        self.last_site = site_name(f"up_blocks.{len(self.up_blocks) - 1}", self.up_blocks[-1], layers_per_block)
        if cut_last_site:
            last = self.get_submodule(self.last_site)
            block = last.transformer_blocks[0]
            block.attn1 = block.norm2 = block.attn2 = block.norm3 = block.ff = last.proj_out = None

    def forward(self, latents: Tensor, face: Tensor) -> ReferenceFeatures:
        """latents (B, R, c, h, w), the reference image first, then past frames, oldest first; face (B, N, D).

        With official_row_order, row j of the B*R rows, which are ordered by sample, sees the face of sample j mod B:
        the published code tiles face tokens in the other order, and the published weights were run like that. For B = 1
        it makes no difference; for more, the features of a sample depend on who shares its batch.
        """
        batch, rows = latents.shape[:2]
        image = latents.flatten(0, 1)
        temb = self.time_embedding(self.get_time_embed(image, 0))
        face = face.repeat(rows, 1, 1) if self.config.official_row_order else face
        sites: dict[str, Tensor] = {}

        def layer(prefix: str, block: nn.Module, index: int, image: Tensor) -> Tensor:
            site = site_name(prefix, block, index)
            image, features = self.checkpointed(self._layer, site, block, index, image, temb, face)
            if features is not None:
                sites[site] = features.unflatten(0, (batch, rows))
            return image

        self.walk(self.enter(image), temb, layer)
        return ReferenceFeatures(sites)

    def _layer(self, site: str, block: nn.Module, index: int, image: Tensor, temb: Tensor, face: Tensor):
        """(image, features or None) after layer `index` of a block."""
        image = block.resnets[index](image, temb)
        if not hasattr(block, "attentions"):
            return image, to_tokens(image) if self.config.plain_blocks else None
        attention = block.attentions[index]
        tokens, features = spatial_tokens(attention, image)
        if site == self.last_site:
            return image, features
        tokens = tokens + attend(attention.transformer_blocks[0].attn1, features)
        return spatial_output(attention, image, tokens, face), features
