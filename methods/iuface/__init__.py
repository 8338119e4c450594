"""IUFace: identity-aware Action Unit conditioning and neutral-reference debiasing on Wan2.1 (Ton and Yoo)."""
