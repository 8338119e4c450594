"""StableAvatar: infinite-length audio-driven avatar video on Wan2.1 (Tu et al., 2025, arXiv 2508.08248)."""
