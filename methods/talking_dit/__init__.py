"""The video transformer that StableAvatar and IUFace share, on stock diffusers classes."""
