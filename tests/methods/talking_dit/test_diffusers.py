"""What diffusers does with its models it does with ours. Oracle: the network alone."""

from inspect import signature

import pytest
import torch
from diffusers import FirstBlockCacheConfig
from diffusers.hooks import MagCacheConfig
from diffusers.models._modeling_parallel import ContextParallelInput

from methods.talking_dit.block import TalkingBlock
from methods.talking_dit.conditions import Conditions
from tests.methods.talking_dit.small import conditions, latents, network

BRANCHES = ("uncond", "au", "cond")


def guidance(seed: int) -> dict[str, Conditions]:
    """Conditions of the three evaluations of Eq. 4."""
    told, true = conditions(seed=seed), torch.tensor([True])
    null = Conditions(**{**vars(told), "silent": true, "null_aus": true})
    return dict(zip(BRANCHES, (null, Conditions(**{**vars(told), "silent": true}), told), strict=True))


def sampled(dit, branches: dict[str, Conditions], seed: int) -> dict[str, torch.Tensor]:
    """Predictions of six steps towards less noise, one cache context for each branch."""
    x, found = latents(seed=seed), []
    for time in torch.linspace(1000, 995, 6):
        step = []
        for name, told in branches.items():
            with dit.cache_context(name), torch.no_grad():
                step.append(dit(x, time, told))
        x = x - 0.01 * sum(step)
        found.append(torch.cat(step))
    return {name: torch.stack([step[i] for step in found]) for i, name in enumerate(branches)}


@pytest.mark.parametrize(
    "config",
    [
        FirstBlockCacheConfig(threshold=0.2),
        MagCacheConfig(threshold=1.0, max_skip_steps=2, num_inference_steps=6, mag_ratios=[1.0] * 6),
    ],
    ids=["first block", "mag"],
)
def test_caches(config):
    """Blocks are skipped; branches have memories of their own; after a reset nothing is left of another clip."""
    dit = network()
    plain = sampled(dit, guidance(40), seed=5)
    dit.enable_cache(config)
    calls = []
    counter = dit.blocks[1].attn1.register_forward_hook(lambda *_: calls.append(1))
    alone = sampled(dit, guidance(40), seed=5)
    counter.remove()
    assert 3 < len(calls) < 18  # of three branches and six steps
    dit._reset_stateful_cache()
    sampled(dit, guidance(70), seed=6)
    dit._reset_stateful_cache()
    again = sampled(dit, guidance(40), seed=5)
    assert all(torch.equal(again[name], alone[name]) for name in BRANCHES)
    for name in BRANCHES:
        assert torch.equal(alone[name][0], plain[name][0])  # the first step is computed
        assert 0 < (alone[name] - plain[name]).norm() < 0.2 * plain[name].norm()
    dit.disable_cache()
    after = sampled(dit, guidance(40), seed=5)
    assert all(torch.equal(after[name], plain[name]) for name in BRANCHES)


def test_one_context_for_all_branches_would_mix_them():
    """Why each branch has its own: with a shared one a branch is given another's residual."""
    dit = network()
    dit.enable_cache(FirstBlockCacheConfig(threshold=0.2))
    own = sampled(dit, guidance(40), seed=5)
    dit._reset_stateful_cache()
    dit.disable_cache()
    dit.enable_cache(FirstBlockCacheConfig(threshold=1e9))
    x, branches = latents(seed=5), guidance(40)
    with dit.cache_context("all"), torch.no_grad():
        dit(x, 1000.0, branches["uncond"])
        mixed = dit(x, 1000.0, branches["cond"])
    assert (mixed - own["cond"][0]).norm() > 0.01 * mixed.norm()


def test_attention_backends():
    dit, told = network(), conditions(2)
    with torch.no_grad():
        native = dit(latents(2), 500.0, told)
        dit.set_attention_backend("_native_math")
        try:
            processors = {block.attn2.processor._attention_backend.value for block in dit.blocks}
            math = dit(latents(2), 500.0, told)
        finally:
            dit.set_attention_backend("native")  # diffusers keeps it for every other network too
    assert processors == {"_native_math"}
    torch.testing.assert_close(math, native, rtol=1e-4, atol=1e-5)


def test_blocks_compile_without_graph_breaks():
    """fullgraph=True raises at a graph break. Oracle: the block as it is."""
    dit, told = network(num_layers=1), conditions()
    with torch.no_grad():
        expected = dit(latents(), 500.0, told)
        dit.compile_repeated_blocks(fullgraph=True, backend="eager")
        torch.testing.assert_close(dit(latents(), 500.0, told), expected)


def test_gradient_checkpointing():
    dit, told = network().train(), conditions()

    def gradients() -> list[torch.Tensor]:
        dit.zero_grad()
        dit(latents(), 500.0, told).square().mean().backward()
        return [parameter.grad.clone() for parameter in dit.parameters()]

    plain = gradients()
    dit.enable_gradient_checkpointing()
    calls = []
    dit.blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
    assert all(torch.equal(one, two) for one, two in zip(plain, gradients(), strict=True))
    assert len(calls) == 2  # once forward, once again backward


@pytest.mark.parametrize(
    "kind", [{"offload_type": "block_level", "num_blocks_per_group": 1}, {"offload_type": "leaf_level"}]
)
def test_group_offloading(kind):
    dit, told = network(), conditions()
    with torch.no_grad():
        expected = dit(latents(), 500.0, told)
        cpu = torch.device("cpu")
        dit.enable_group_offload(cpu, cpu, **kind)
        assert torch.equal(dit(latents(), 500.0, told), expected)


def test_context_parallel_plan():
    """Parts split as the plan says are computed apart: here without self-attention, in which diffusers exchanges them.

    Two processes that do exchange them (Ulysses) need half a minute to start and are not run here.
    """
    dit, told = network(), conditions()
    plan = dit._cp_plan
    (name, split), output = *plan["blocks.0"].items(), plan["proj_out"]
    assert name in signature(TalkingBlock.forward).parameters and isinstance(split, ContextParallelInput)
    dim = split.split_dim
    assert {part.split_dim for part in plan["rope"].values()} == {dim} == {output.gather_dim}
    for block in dit.blocks:
        torch.nn.init.zeros_(block.attn1.to_out[0].weight)
    calls = []
    dit.blocks[0].register_forward_pre_hook(lambda module, args: calls.append(args))
    with torch.no_grad():
        whole = []
        dit.proj_out.register_forward_hook(lambda module, args, output: whole.append(output))
        dit(latents(), 500.0, told)
        hidden, context, temb, rotary = calls[0]
        assert hidden.ndim == split.expected_dims and rotary[0].ndim == plan["rope"][0].expected_dims
        parts = []
        for rank in range(2):
            x, turns = hidden.chunk(2, dim)[rank], tuple(part.chunk(2, dim)[rank] for part in rotary)
            for block in dit.blocks:
                x = block(x, context, temb, turns)
            parts.append(x)
        last = []
        dit.blocks[-1].register_forward_hook(lambda module, args, output: last.append(output))
        dit(latents(), 500.0, told)
    torch.testing.assert_close(torch.cat(parts, dim), last[0], rtol=1e-5, atol=1e-6)
    assert whole[0].ndim == output.expected_dims
