"""Encoders of the rendered world's video transformer. Oracle: construction."""

import torch

from methods.synth.video_encoders import SynthVideoEncoders


def test_words_have_vectors_and_no_words_have_none():
    """What no prompt is must be what training gives in its place: zeros (`StableAvatarRecipe.drop_text`)."""
    encoders = SynthVideoEncoders({})
    text = encoders.text("Red hair, red!")
    assert text.shape == (16, 32)
    assert torch.equal(text[0], text[2]) and not torch.equal(text[0], text[1])
    assert text[:3].all() and not text[3:].any()
    assert torch.equal(encoders.negative_text(""), torch.zeros(16, 32))
    assert encoders.text(" ".join("abcdefghijklmnopqrst")).all()  # 20 words; the first 16 count.
