"""AUHead as methods: its AUs drive MEMO or Hallo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.media.errors import UserError
from methods.auhead.config import AUHeadConfig, AUHeadHalloConfig, AUHeadMemoConfig
from methods.auhead.sources import AUSource
from methods.auhead.stage1.config import stage1_weights
from methods.generator import Frames, Request
from methods.hallo.generator import Hallo
from methods.memo.generator import Memo

if TYPE_CHECKING:
    from methods.auhead.adapter import AUAdapter
    from methods.talking_unet.unet import TalkingUNet

PAPER = "AUHead: Realistic Emotional Talking Head Generation via Action Units Control, ICLR 2026"


class AUHeadMemo(Memo):
    """AUHead (MEMO) of Tables 2 and 3."""

    Config = AUHeadMemoConfig
    title = "AUHead on MEMO: Action Units heard in the speech (or given) drive the expression"
    paper = PAPER
    synth = {**Memo.synth, "constrained": True}
    au_vocabulary = "feafa24"

    config: AUHeadMemoConfig

    def __init__(self, config: AUHeadMemoConfig, device: str = "cpu", files: Mapping[str, Path] | None = None):
        from methods.auhead.memo import AUHeadMemoPipeline

        super().__init__(config, device, files)
        base = self.pipeline
        adapter = load_adapter("memo", config, self.files, base.modules.denoiser)
        self.pipeline = AUHeadMemoPipeline(base.modules, base.encoders, config, adapter, base.vocal_separator)
        self.source = AUSource(config, self.files, device)

    @classmethod
    def required_weights(cls, config: AUHeadMemoConfig) -> tuple[str, ...]:
        return super().required_weights(config) + added_weights("memo", config)

    def generate(self, request: Request) -> Frames:
        return self.pipeline(replace(request, aus=self.source(request)))

    @property
    def num_parameters(self) -> int:
        adapter = sum(parameter.numel() for parameter in self.pipeline.adapter.parameters())
        return super().num_parameters + adapter + self.source.num_parameters


class AUHeadHallo(Hallo):
    """AUHead (HalloV1) of Table 3."""

    Config = AUHeadHalloConfig
    title = "AUHead on Hallo: Action Units heard in the speech (or given) drive the expression"
    paper = PAPER
    synth = {**Hallo.synth, "constrained": True}
    au_vocabulary = "feafa24"

    config: AUHeadHalloConfig

    def __init__(self, config: AUHeadHalloConfig, device: str = "cpu", files: Mapping[str, Path] | None = None):
        from methods.auhead.hallo import AUHeadHalloPipeline

        super().__init__(config, device, files)
        base = self.pipeline
        adapter = load_adapter("hallo", config, self.files, base.modules.denoiser)
        self.pipeline = AUHeadHalloPipeline(base.modules, base.encoders, config, adapter, base.vocal_separator)
        self.source = AUSource(config, self.files, device)

    @classmethod
    def required_weights(cls, config: AUHeadHalloConfig) -> tuple[str, ...]:
        return super().required_weights(config) + added_weights("hallo", config)

    def generate(self, request: Request) -> Frames:
        return self.pipeline(replace(request, aus=self.source(request)))

    @property
    def num_parameters(self) -> int:
        adapter = sum(parameter.numel() for parameter in self.pipeline.adapter.parameters())
        return super().num_parameters + adapter + self.source.num_parameters


def added_weights(base: str, config: AUHeadConfig) -> tuple[str, ...]:
    """Names in the weights lock of the adapter and of stage 1.

    Raises:
        UserError: a full-size adapter is needed, and none was ever published.
    """
    if config.adapter is None and config.model == "full":
        raise UserError(
            f"auhead_{base} has no published weights; train an adapter with `python -m bench train auhead_{base} "
            "--stage 2` and give it with --set adapter=FILE, or take --set model=synth for the rendered world"
        )
    adapter = () if config.adapter else (_shipped_adapter(base, config),)
    return adapter + (stage1_weights(config.stage1) if config.au_source == "stage1" else ())


def load_adapter(base: str, config: AUHeadConfig, files: Mapping[str, Path], denoiser: TalkingUNet) -> AUAdapter:
    """The adapter that the settings name, in eval mode, on the device and in the type of the denoiser.

    Raises:
        UserError: it is not one for this denoiser, this representation or this face.
    """
    from methods.auhead.adapter import AUAdapter
    from methods.auhead.au_map import load_face

    path = config.adapter or files[_shipped_adapter(base, config)]
    face = None if config.face_mesh is None else load_face(config.face_mesh)
    adapter = AUAdapter.load(path, denoiser.au_sites, face)
    if adapter.config.representation != config.au_representation:
        raise UserError(
            f"{path}: was trained on {adapter.config.representation}; set au_representation to that, "
            f"or give an adapter that was trained on {config.au_representation}"
        )
    return adapter.eval().requires_grad_(False).to(denoiser.device, denoiser.dtype)


def _shipped_adapter(base: str, config: AUHeadConfig) -> str:
    return f"synth_auhead_{base}_{config.au_representation}"
