"""Which emotions there are, and at which levels."""

EMOTIONS = ("neutral", "angry", "contempt", "disgusted", "fear", "happy", "sad", "surprised")
"""MEAD's words, in the order of every label array."""
LEVELS = (1, 2, 3)
EXPRESSIONS = (("neutral", 1), *((emotion, level) for emotion in EMOTIONS[1:] for level in LEVELS))
"""The 22 (emotion, level) pairs of a person; neutral has one level, as in MEAD."""
