"""Hallo: hierarchical audio-driven visual synthesis for portraits (Xu et al., 2024, arXiv 2406.08801)."""
