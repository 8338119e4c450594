"""What exists, by name. Lazy: a name is imported only when it is used, and a broken plug-in breaks only itself.

Third parties add entries through the entry-point groups `au_talking_head_bench.methods`, `.protocols`, `.metrics`,
`.extractors` and `.trainings`; they are listed without being imported.
"""

from __future__ import annotations

import difflib
import importlib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from bench.media.errors import UserError

if TYPE_CHECKING:
    from bench.training import Training
    from methods.generator import Generator
    from metrics.extractor import Extractor
    from metrics.metric import Metric
    from protocols.protocol import Protocol

METHODS = {
    "ground_truth": "methods.sanity.ground_truth:GroundTruth",
    "reencoded": "methods.sanity.reencoded:Reencoded",
    "still_image": "methods.sanity.still_image:StillImage",
    "shuffled_audio": "methods.sanity.shuffled_audio:ShuffledAudio",
    "shifted_audio": "methods.sanity.shifted_audio:ShiftedAudio",
    "hallo": "methods.hallo.generator:Hallo",
    "memo": "methods.memo.generator:Memo",
    "auhead_hallo": "methods.auhead.generator:AUHeadHallo",
    "auhead_memo": "methods.auhead.generator:AUHeadMemo",
    "auhead_stage1": "methods.auhead.stage1.generator:AUHeadStage1",
    "stableavatar": "methods.stableavatar.generator:StableAvatar",
    "iuface": "methods.iuface.generator:IUFace",
    "wav2lip": "methods.baselines.generator:Wav2Lip",
    "audio2head": "methods.baselines.generator:Audio2Head",
    "sadtalker": "methods.baselines.generator:SadTalker",
    "v_express": "methods.baselines.generator:VExpress",
    "aniportrait": "methods.baselines.generator:AniPortrait",
    "edtalk": "methods.baselines.generator:EDTalk",
    "echomimic": "methods.baselines.generator:EchoMimic",
    "hallo_official": "methods.baselines.generator:HalloOfficial",
    "hallo2": "methods.baselines.generator:Hallo2",
    "sonic": "methods.baselines.generator:Sonic",
    "dice_talk": "methods.baselines.generator:DiceTalk",
    "memo_official": "methods.baselines.generator:MemoOfficial",
    "hallo3": "methods.baselines.generator:Hallo3",
    "stableavatar_official": "methods.baselines.generator:StableAvatarOfficial",
}

PROTOCOLS = {
    "folder": "protocols.folder:Folder",
    "mead_std": "protocols.published:MeadStd",
    "mead_std_eat100": "protocols.published:MeadStdEat100",
    "crema_std": "protocols.published:CremaStd",
    "mead_std_iuface": "protocols.published:MeadStdIUFace",
    "mead_disentangle": "protocols.published:MeadDisentangle",
    "hdtf_generalise": "protocols.published:HdtfGeneralise",
    "mead_stage1": "protocols.published:MeadStage1",
    "crema_stage1": "protocols.published:CremaStage1",
    "synth_std": "protocols.synth.protocols:SynthStd",
    "synth_disentangle": "protocols.synth.protocols:SynthDisentangle",
    "synth_generalise": "protocols.synth.protocols:SynthGeneralise",
    "synth_stage1": "protocols.synth.protocols:SynthStage1",
}

TRAININGS = {
    "synth_experts": "bench.synth_experts:SynthExperts",
    "synth_encoders": "bench.synth_encoders:SynthEncoders",
    "memo": "bench.train_unets:MemoTraining",
    "hallo": "bench.train_unets:HalloTraining",
    "auhead_memo": "bench.train_unets:AUHeadMemoTraining",
    "auhead_hallo": "bench.train_unets:AUHeadHalloTraining",
    "auhead_stage1": "bench.train_stage1:Stage1Training",
    "stableavatar": "bench.train_video:StableAvatarTraining",
    "iuface": "bench.train_video:IUFaceTraining",
}
"""Name -> what `bench train NAME` runs."""

METRICS = {
    "psnr": "metrics.functional.psnr",
    "ssim": "metrics.functional.ssim",
    "lpips": "metrics.functional.lpips",
    "fid": "metrics.functional.fid",
    "kid": "metrics.functional.kid",
    "fvd": "metrics.functional.fvd",
    "efid": "metrics.functional.efid",
    "lse_c": "metrics.functional.sync",
    "lse_d": "metrics.functional.sync",
    "av_offset": "metrics.functional.sync",
    "m_lmd": "metrics.functional.lmd",
    "f_lmd": "metrics.functional.lmd",
    "acc_emo": "metrics.functional.acc_emo",
    "au_f1": "metrics.functional.au",
    "au_precision": "metrics.functional.au",
    "au_recall": "metrics.functional.au",
    "au_accuracy": "metrics.functional.au",
    "au_mae": "metrics.functional.au",
    "au_pcc": "metrics.functional.au",
    "au_following": "metrics.functional.au_following",
    "reference_leak": "metrics.functional.reference_leak",
    "csim": "metrics.functional.csim",
}
"""Bare name -> module whose METRICS holds the name's variants, the default first."""

EXTRACTORS = {
    "frames": "metrics.extractors.frames:Frames",
    "face_box": "metrics.extractors.face_box:FaceBox",
    "lpips_alex": "metrics.extractors.lpips:LpipsAlex",
    "lpips_vgg": "metrics.extractors.lpips:LpipsVgg",
    "eat_crop": "metrics.extractors.eat_crop:EatCrop",
    "inception": "metrics.extractors.inception:Inception",
    "inception_clean": "metrics.extractors.inception:InceptionClean",
    "inception_eat": "metrics.extractors.inception:InceptionEAT",
    "i3d": "metrics.extractors.i3d:I3D",
    "i3d_full": "metrics.extractors.i3d:I3DFull",
    "deep3d": "metrics.extractors.deep3d:Deep3D",
    "bfm_fit": "metrics.extractors.bfm_fit:BfmFit",
    "landmarks": "metrics.extractors.landmarks:Landmarks",
    "arcface_w600k_r50": "metrics.extractors.arcface:ArcFaceW600kR50",
    "arcface_antelopev2": "metrics.extractors.arcface:ArcFaceAntelopeV2",
    "emotion_fan": "metrics.extractors.emotion:EmotionFAN",
    "hsemotion": "metrics.extractors.emotion:HSEmotion",
    "s3fd_track": "metrics.extractors.s3fd:S3fdTrack",
    "fan68": "metrics.extractors.fan68:Fan68",
    "syncnet_crop": "metrics.extractors.syncnet:SyncnetCrop",
    "syncnet_nocrop": "metrics.extractors.syncnet:SyncnetNocrop",
    "syncnet_eat": "metrics.extractors.syncnet:SyncnetEat",
    "syncnet_exact": "metrics.extractors.syncnet_exact:SyncnetExact",
    "openface": "metrics.extractors.openface:OpenFace",
    "libreface": "metrics.extractors.libreface:LibreFace",
    "synth_face": "metrics.synth.face:SynthFace",
    "synth_au": "metrics.synth.au:SynthAU",
    "synth_expression": "metrics.synth.expression:SynthExpression",
    "synth_identity": "metrics.synth.identity:SynthIdentity",
    "synth_sync": "metrics.synth.sync:SynthSync",
    "synth_image": "metrics.synth.image:SynthImage",
    "synth_lpips": "metrics.synth.image:SynthLpips",
    "synth_video": "metrics.synth.video:SynthVideo",
    "synth_emotion": "metrics.synth.emotion:SynthEmotion",
}


def methods() -> list[str]:
    return sorted({*METHODS, *_plugins("methods")})


def protocols() -> list[str]:
    return sorted({*PROTOCOLS, *_plugins("protocols")})


def method(name: str) -> type[Generator]:
    """The Generator class of this name."""
    return _load("method", name, METHODS, "methods")


def protocol(name: str) -> type[Protocol]:
    """The Protocol class of this name."""
    return _load("protocol", name, PROTOCOLS, "protocols")


def training(name: str) -> type[Training]:
    """The Training class of this name."""
    return _load("training", name, TRAININGS, "trainings")


def extractor(name: str) -> type[Extractor]:
    """The Extractor class of this name."""
    return _load("extractor", name, EXTRACTORS, "extractors")


def all_metrics() -> list[Metric]:
    """Every built-in metric, the default variant of a name before its others. Third-party ones are listed by name only."""
    found = {}
    for name, module in METRICS.items():
        for metric in importlib.import_module(module).METRICS:
            if metric.name == name:
                found[metric.key] = metric
    return list(found.values())


def metric(name: str) -> Metric:
    """The Metric of `name` (its default variant) or `name@variant`.

    Raises:
        UserError: unknown; the message suggests the nearest names.
    """
    bare, at, variant = name.partition("@")
    variant = variant.removesuffix(".openface18").removesuffix(
        ".openface17"
    )  # OpenFace is the vocabulary of a bare role.
    if bare in METRICS:
        variants = [m for m in importlib.import_module(METRICS[bare]).METRICS if m.name == bare]
        if not at:
            return variants[0]
        for candidate in variants:
            if candidate.variant == at + variant:
                return candidate
        raise UserError(f"metric {bare} has no variant @{variant}; it has {', '.join(m.key for m in variants)}")
    plugins = _plugins("metrics")
    if bare in plugins:
        return _load_plugin("metric", plugins[bare])
    raise UserError(_unknown("metric", name, [*METRICS, *plugins]))


def metric_key(metric: Metric) -> str:
    """The name under which results carry it: the bare name for the default variant, name@variant for the others."""
    if metric.name not in METRICS:
        return metric.key
    default = next(m for m in importlib.import_module(METRICS[metric.name]).METRICS if m.name == metric.name)
    return metric.name if default.variant == metric.variant else metric.key


def plugins(group: str) -> dict[str, str]:
    """Third-party entries of a group, not imported: name -> the distribution that brings it."""
    return {name: entry.dist.name if entry.dist else "?" for name, entry in _plugins(group).items()}


@cache
def _plugins(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=f"au_talking_head_bench.{group}")}


def _load(kind: str, name: str, table: dict[str, str], group: str) -> Any:
    if name in table:
        module, attribute = table[name].split(":")
        return getattr(importlib.import_module(module), attribute)
    plugins = _plugins(group)
    if name in plugins:
        return _load_plugin(kind, plugins[name])
    raise UserError(_unknown(kind, name, [*table, *plugins]))


def _load_plugin(kind: str, entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:
        source = entry.dist.name if entry.dist else "an unknown distribution"
        raise UserError(
            f"{kind} {entry.name!r} comes from {source} ({entry.value}), which fails to load: "
            f"{type(error).__name__}: {error}. Update or uninstall {source}; everything else still works"
        ) from error


def _unknown(kind: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name.partition("@")[0], known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"unknown {kind} {name!r}; {hint}`python -m bench list {kind}s` shows all"
