"""MEMO: memory-guided diffusion for talking video (Zheng et al., 2024, arXiv 2412.04448)."""
