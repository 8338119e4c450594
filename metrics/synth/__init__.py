"""Experts for the synthetic world: small networks trained on its renderings, in place of the published ones.

Each is an Extractor as those of `metrics/extractors`, feeds the `@synth` variants of the metrics, and is valid on
`synth_*` protocols only: on real faces its values mean nothing. Weights are in `weights/`; `bench train synth_experts`
makes them again.

| file | holds |
|---|---|
| `arrays.py` | the training arrays on disk, and which identities are left for validation |
| `training.py` | the training loop, checkpoints, weight files |
"""
