"""The denoiser that Hallo and MEMO share, on stock diffusers classes."""
