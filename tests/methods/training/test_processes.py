"""Training in several processes. Oracles: the same training without sharding (gloo, two processes); accelerate's own reading
of the configs that ship."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.multiprocessing
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env

from methods import training
from methods.iuface.train import IUFaceLearner
from methods.talking_dit.transformer import TalkingDiT
from methods.training.loop import CHECKPOINT, train
from methods.training.video_recipes import IUFaceRecipe
from tests.methods.fakes import randomised
from tests.methods.training.material import video_batch
from tests.methods.video_fakes import AUS, SIZES

CONFIGS = Path(training.__file__).parent / "launch"
RECIPE = {
    "batch": 2, "precision": "no", "learning_rate": 0.1, "warmup": 0.0, "epsilon": 0.1, "average": 0.9,
    "log_every": 2, "checkpoint_minutes": 60.0, "validate_every": 2, "lips_only": 0.0,
}  # fmt: skip
"""With so large an epsilon a step follows the gradient, not its sign, and rounding stays rounding."""


def transformer() -> TalkingDiT:
    return randomised(TalkingDiT(**SIZES | {"num_layers": 1}, aus=AUS), seed=0)


def environment_of(config: str) -> dict[str, str]:
    """What `accelerate launch --config_file` sets for its processes."""
    arguments = launch_command_parser().parse_args(["--config_file", str(CONFIGS / config), "script.py"])
    return prepare_multi_gpu_env(_validate_launch_command(arguments)[0])


def test_configs_are_what_accelerate_reads(monkeypatch):
    """Suppl. B: four GPUs, bf16."""
    for config, kind in (("ddp.yaml", DistributedType.MULTI_GPU), ("fsdp.yaml", DistributedType.FSDP)):
        read = load_config_from_file(str(CONFIGS / config))
        assert (read.distributed_type, read.num_processes, read.mixed_precision) == (kind, 4, "bf16")
    for name, value in environment_of("fsdp.yaml").items():
        monkeypatch.setenv(name, str(value))
    plugin = FullyShardedDataParallelPlugin()
    network = transformer()
    plugin.set_auto_wrap_policy(network)
    assert plugin.fsdp_version == 2 and plugin.reshard_after_forward and not plugin.activation_checkpointing
    assert plugin.auto_wrap_policy.keywords["transformer_layer_cls"] == {type(network), type(network.blocks[0])}


def one_process(rank: int, config: str, folder: Path, steps: int) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", ACCELERATE_USE_CPU="true")
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    store = torch.distributed.FileStore(str(folder / f"rendezvous_{steps}"), 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    AcceleratorState._reset_state(True)
    PartialState(cpu=True)
    if config == "fsdp.yaml":
        settings = environment_of(config)
        os.environ |= {name: settings[name] for name in settings if "FSDP" in name}
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU  # accelerate shards on GPUs only.
    learner = IUFaceLearner(transformer(), IUFaceRecipe(**RECIPE, steps=steps))

    def validate(step: int) -> None:
        torch.manual_seed(0)
        batch = video_batch(seed=9)
        told = learner.conditions(batch)  # Through the transformer itself, as a pipeline does.
        (folder / f"seen_{rank}_{step}").write_text(
            str(learner.transformer(batch["latent_mean"], 500.0, told).sum().item())
        )

    draw = lambda rng, count: video_batch(count, seed=int(rng.integers(1000)))  # noqa: E731
    train(learner, draw, learner.recipe, folder, seed=0, log=lambda line: None, validate=validate)
    if rank == 0:
        torch.save(learner.state_dict(), folder / "trained.pt")
    torch.distributed.destroy_process_group()


def in_two(config: str, folder: Path, steps: int) -> dict[str, torch.Tensor]:
    folder.mkdir(exist_ok=True)
    torch.multiprocessing.spawn(one_process, args=(config, folder, steps), nprocs=2)
    return torch.load(folder / "trained.pt")


def test_a_sharded_training_is_the_unsharded_one(tmp_path):
    """Weights, average, clipped gradients, what validation sees; in two sessions, with a checkpoint of whole tensors."""
    plain = in_two("ddp.yaml", tmp_path / "ddp", 3)
    in_two("fsdp.yaml", tmp_path / "fsdp", 2)
    seen = [
        float((tmp_path / folder / f"seen_{rank}_2").read_text())
        for folder, rank in (("ddp", 0), ("fsdp", 0), ("fsdp", 1))
    ]
    assert seen == pytest.approx([seen[0]] * 3, rel=1e-4)
    checkpoint = torch.load(tmp_path / "fsdp" / CHECKPOINT, weights_only=True)
    assert type(next(iter(checkpoint["weights"].values()))) is torch.Tensor and checkpoint["step"] == 2
    again = in_two("fsdp.yaml", tmp_path / "fsdp", 3)
    begun = transformer().state_dict()
    moved = max((plain[f"transformer.{name}"] - value).abs().max().item() for name, value in begun.items())
    for name, value in plain.items():
        np.testing.assert_allclose(again[name], value, atol=1e-4 * moved, err_msg=name)
