"""Clips, audio, AU tracks and face geometry. A leaf: imports nothing else of this suite."""
