"""The two renderers: one keeps intensities, the other is shown to lose them."""

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import Normalize
from PIL import Image

from stm_core.imaging import area_weights, render


def picture(n=60, seed=0):
    return np.random.default_rng(seed).gamma(2.0, 1.0, (n, n))


def test_linear_is_the_block_mean_where_blocks_are_whole():
    image = picture(60)
    blocks = image.reshape(20, 3, 20, 3).mean(axis=(1, 3))
    result = render(image, size=20)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, blocks, rtol=1e-6)


@given(n=st.integers(1, 90), data=st.data())
@settings(max_examples=50, deadline=None)
def test_area_average_keeps_the_mean_at_any_size(n, data):
    size = data.draw(st.integers(1, n))
    weights = area_weights(n, size)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(weights.sum(axis=0), size / n, rtol=1e-9)
    image = picture(n)
    assert render(image, size).mean() == pytest.approx(image.mean(), rel=1e-5)


@given(scale=st.floats(1e-3, 1e3), offset=st.floats(-10, 10))
@settings(max_examples=25, deadline=None)
def test_linear_keeps_intensities_and_paper_discards_them(scale, offset):
    image = picture()
    changed = scale * image + offset
    np.testing.assert_allclose(render(changed, 16), scale * render(image, 16) + offset, rtol=1e-4, atol=1e-4)
    # One grey level of slack: the autoscaled value may round to the other side of a colour step.
    difference = render(changed, 60, "paper").astype(int) - render(image, 60, "paper").astype(int)
    assert np.abs(difference).max() <= 3
    assert (difference == 0).mean() > 0.99


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_paper_grey_is_that_of_the_coloured_picture(dtype):
    image = np.vstack([picture(seed=3), picture(seed=4)])[:60, :60].astype(dtype)
    for drawn in (image, np.full((60, 60), 0.3, dtype)):
        colours = matplotlib.colormaps["turbo"](Normalize()(drawn), bytes=True)[..., :3]
        grey = Image.fromarray(np.ascontiguousarray(colours)).convert("L").resize((32, 32), 2)
        np.testing.assert_array_equal(render(drawn, size=32, style="paper"), np.asarray(grey))


def test_paper_grey_is_not_monotonic_in_the_intensity():
    ramp = np.tile(np.linspace(0.0, 1.0, 256), (256, 1))
    grey = render(ramp, size=256, style="paper")[0].astype(int)
    brightest = np.flatnonzero(grey == grey.max())
    assert np.all(np.diff(grey[: brightest[0] + 1]) >= 0) and np.all(np.diff(grey[brightest[-1] :]) <= 0)
    assert 1 - np.mean(brightest) / 255 == pytest.approx(0.45, abs=0.01)
    # The strongest peak of an image is drawn darker than its half height.
    assert grey[-1] < grey[128] - 50


def test_paper_style_returns_grey_levels_of_the_asked_size():
    stack = render(np.stack([picture(seed=1), picture(seed=2)]), size=32, style="paper")
    assert stack.shape == (2, 32, 32) and stack.dtype == np.uint8
    np.testing.assert_array_equal(stack[1], render(picture(seed=2), size=32, style="paper"))


def test_paper_weights_are_those_of_itu_r_601():
    # turbo begins at (48, 18, 59) and ends at (122, 4, 3): grey = 0.299 R + 0.587 G + 0.114 B.
    grey = render(np.array([[0.0, 0.0], [1.0, 1.0]]), size=2, style="paper")
    assert grey[0, 0] == round(0.299 * 48 + 0.587 * 18 + 0.114 * 59)
    assert grey[1, 0] == round(0.299 * 122 + 0.587 * 4 + 0.114 * 3)


def test_orientation_is_kept_in_both_styles():
    image = np.zeros((40, 40))
    image[:10, :10] = 0.5
    for style in ("linear", "paper"):
        result = render(image, size=4, style=style).astype(float)
        assert np.argmax(np.abs(result - result[3, 3])) == 0


def test_stack_is_rendered_image_by_image():
    stack = np.stack([picture(seed=3), picture(seed=4)]).reshape(1, 2, 60, 60)
    assert render(stack, 12).shape == (1, 2, 12, 12)
    np.testing.assert_allclose(render(stack, 12)[0, 1], render(picture(seed=4), 12), rtol=1e-6)


@pytest.mark.parametrize("style", ["linear", "paper"])
def test_bad_input_is_named(style):
    with pytest.raises(ValueError, match="square"):
        render(np.zeros((4, 5)), 2, style)
    with pytest.raises(ValueError, match="square"):
        render(np.zeros(4), 2, style)
    with pytest.raises(ValueError, match="NaN"):
        render(np.full((4, 4), np.nan), 2, style)
    with pytest.raises(ValueError, match="1 to 4 pixels"):
        render(np.zeros((4, 4)), 5, style)
    with pytest.raises(ValueError, match="1 to 4 pixels"):
        render(np.zeros((4, 4)), 0, style)


def test_unknown_style_is_refused_with_the_accepted_ones():
    with pytest.raises(ValueError, match="'linear' and 'paper'"):
        render(np.zeros((4, 4)), 2, "sepia")
