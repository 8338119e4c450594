"""Eq. 4. Oracle: the equation as printed."""

import numpy as np
import pytest

from methods.iuface.config import IUFaceConfig
from methods.iuface.guidance import dual_scale_guidance

UNCOND, AU, COND = np.random.default_rng(0).standard_normal((3, 50))


@pytest.mark.parametrize(("au_scale", "audio_scale"), [(3.0, 5.0), (0.0, 0.0), (1.0, 2.0), (2.5, 0.0)])
def test_is_the_equation_as_printed(au_scale, audio_scale):
    expected = UNCOND + au_scale * (AU - UNCOND) + audio_scale * (COND - AU)
    np.testing.assert_allclose(dual_scale_guidance(UNCOND, AU, COND, au_scale, audio_scale), expected)


def test_scales_of_one_leave_the_conditioned_prediction():
    np.testing.assert_allclose(dual_scale_guidance(UNCOND, AU, COND, 1.0, 1.0), COND, atol=1e-15)


def test_no_audio_scale_leaves_guidance_by_aus_and_the_null_au_that_by_audio():
    np.testing.assert_allclose(dual_scale_guidance(UNCOND, AU, COND, 3.0, 0.0), UNCOND + 3 * (AU - UNCOND))
    for au_scale in (0.0, 3.0):
        np.testing.assert_allclose(
            dual_scale_guidance(UNCOND, UNCOND, COND, au_scale, 5.0), UNCOND + 5 * (COND - UNCOND)
        )


def test_published_settings():
    """Oracle: section 2 and suppl. B."""
    config = IUFaceConfig()
    assert (config.au_scale, config.audio_scale, config.steps, config.window_frames) == (3.0, 5.0, 50, 81)
    assert (config.au_source, config.profile, config.shift, config.dtype) == ("driving", "exact", 5.0, "bfloat16")
