import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_core.insight import component_bands, cosine_similarity, pattern_change, principal_components

PIXELS = st.floats(-1e3, 1e3, allow_subnormal=False)
STACKS = hnp.arrays(np.float64, st.tuples(st.integers(2, 8), st.just(3), st.just(4)), elements=PIXELS)


@st.composite
def labelled(draw):
    images = draw(STACKS)
    U = draw(hnp.arrays(np.int64, len(images), elements=st.integers(0, 3))).astype(float)
    # A mean image of zero has no direction; a constant pixel of its own rules it out.
    images[:, 0, 0] = 1e-3
    return images, U


@settings(deadline=None)
@given(labelled())
def test_cosine_similarity_is_a_matrix_of_cosines(sample):
    images, U = sample
    values, matrix = cosine_similarity(images, U)
    np.testing.assert_array_equal(values, np.unique(U))
    assert (np.abs(matrix) <= 1).all()
    np.testing.assert_array_equal(np.diag(matrix), 1)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    # A matrix of cosines is a Gram matrix.
    assert np.linalg.eigvalsh(matrix).min() > -1e-9


@settings(deadline=None)
@given(labelled(), st.floats(1e-6, 1e6))
def test_cosine_similarity_does_not_see_the_scale_or_the_order(sample, factor):
    images, U = sample
    _, matrix = cosine_similarity(images, U)
    order = np.random.default_rng(0).permutation(len(U))
    np.testing.assert_allclose(cosine_similarity(factor * images[order], U[order])[1], matrix, atol=1e-9)


def test_cosine_similarity_is_the_cosine_between_mean_images():
    angle = 0.3
    one, other = np.array([[1.0, 0.0]]), np.array([[np.cos(angle), np.sin(angle)]])
    nuisance = np.array([[0.0, 0.5]])
    values, matrix = cosine_similarity([one + nuisance, 5 * other, one - nuisance], [1, 2, 1])
    np.testing.assert_array_equal(values, [1, 2])
    assert matrix[0, 1] == pytest.approx(np.cos(angle))


@pytest.mark.parametrize(
    "images, U, message",
    [
        (np.ones(2), [0, 1], "shape"),
        (np.full((2, 3, 3), np.nan), [0, 1], "finite"),
        (np.ones((2, 3, 3)), [0], "2 finite values"),
        (np.stack([np.ones((3, 3)), np.zeros((3, 3))]), [0, 2.5], "U = 2.5 eV is zero"),
    ],
)
def test_images_without_an_angle_are_named(images, U, message):
    with pytest.raises(ValueError, match=message):
        cosine_similarity(images, U)


@pytest.mark.parametrize("standardise", [False, True])
def test_principal_components_are_those_of_a_singular_value_decomposition(standardise):
    images = np.random.default_rng(0).random((9, 4, 5)) * np.linspace(1, 9, 20).reshape(4, 5)
    result = principal_components(images, 4, standardise)
    flat = images.reshape(9, -1) - images.reshape(9, -1).mean(axis=0)
    if standardise:
        flat = flat / flat.std(axis=0)
    left, singular, right = np.linalg.svd(flat, full_matrices=False)
    components = result.components.reshape(4, -1)
    np.testing.assert_allclose(np.abs(components @ right[:4].T), np.eye(4), atol=1e-9)
    np.testing.assert_allclose(np.abs(result.scores), np.abs(left * singular)[:, :4], atol=1e-9)
    np.testing.assert_allclose(result.explained_variance_ratio, (singular**2 / np.sum(singular**2))[:4])
    largest = np.abs(components).argmax(axis=1)
    assert (components[np.arange(4), largest] > 0).all()


@pytest.mark.parametrize("standardise", [False, True])
def test_scores_and_components_rebuild_the_images(standardise):
    images = np.random.default_rng(1).random((6, 3, 3))
    result = principal_components(images, 5, standardise)
    rebuilt = np.einsum("nc,cyx->nyx", result.scores, result.components) * result.scale + result.mean
    np.testing.assert_allclose(rebuilt, images, atol=1e-12)
    np.testing.assert_allclose(result.transform(images), result.scores, atol=1e-12)


def test_a_pixel_that_does_not_vary_survives_standardising():
    images = np.random.default_rng(2).random((6, 3, 3))
    images[:, 1, 1] = 0.1
    result = principal_components(images, 3, standardise=True)
    assert result.scale[1, 1] == 1
    np.testing.assert_allclose(result.components[:, 1, 1], 0, atol=1e-12)
    unscaled = principal_components(images, 3)
    np.testing.assert_array_equal(unscaled.scale, np.ones((3, 3)))


@pytest.mark.parametrize("n", [0, 5, 12])
def test_more_components_than_images_are_refused(n):
    with pytest.raises(ValueError, match="1 to 4 components"):
        principal_components(np.random.default_rng(0).random((5, 3, 3)), n)


def rank_two(n=24, noise=0.05, seed=0):
    """Vectors (n, 30) that follow two orthogonal curves of U along two fixed directions, with noise."""
    rng = np.random.default_rng(seed)
    U = np.linspace(0, 6, n)
    directions = np.linalg.qr(rng.standard_normal((30, 2)))[0]
    x = (U - U.mean()) / np.ptp(U)
    truth = np.stack([18 * x, 8 * (x**2 - np.mean(x**2))], axis=1)
    return U, truth @ directions.T + noise * rng.standard_normal((n, 30))


def test_bands_hold_the_scores_and_widen_with_the_noise():
    widths = []
    for noise in (0.02, 0.2):
        U, samples = rank_two(noise=noise)
        result = principal_components(samples, 2)
        bands = component_bands(samples, result, U, n_bootstrap=60)
        assert np.mean((bands.low <= result.scores) & (result.scores <= bands.high)) > 0.9
        assert (bands.stability > 0.9).all()
        widths.append(np.mean(bands.high - bands.low, axis=0))
    # Which U are drawn turns the components even without noise, so that the width does not go to zero.
    assert (widths[1] > widths[0]).all()


def test_a_pixel_that_no_component_reaches_has_no_spread():
    U, samples = rank_two(noise=0.0)
    bands = component_bands(samples, principal_components(samples, 2), U, n_bootstrap=20)
    # Two directions are all there is: a draw may turn them in their plane, so a pixel outside it stays fixed.
    assert bands.spread.shape == (2, 30)
    assert bands.stability.min() > 0.99
    empty = np.concatenate([samples, np.zeros((len(U), 5))], axis=1)
    assert (
        component_bands(empty, principal_components(empty, 2), U, n_bootstrap=20).spread[:, 30:].max() < 1e-12
    )


def test_components_of_equal_variance_are_not_stable():
    rng = np.random.default_rng(3)
    samples = rng.standard_normal((40, 10))
    result = principal_components(samples, 2)
    assert component_bands(samples, result, np.arange(40.0), n_bootstrap=40).stability.max() < 0.9


def test_images_of_one_U_are_drawn_together():
    U, samples = rank_two(noise=0.0)
    doubled = np.repeat(samples, 2, axis=0)
    once = component_bands(samples, principal_components(samples, 2), U, n_bootstrap=5, seed=4)
    twice = component_bands(doubled, principal_components(doubled, 2), np.repeat(U, 2), n_bootstrap=5, seed=4)
    np.testing.assert_allclose(np.abs(twice.low[::2]), np.abs(once.low), atol=1e-9)
    np.testing.assert_allclose(twice.stability, once.stability, atol=1e-9)


@pytest.mark.parametrize("options", [{"confidence": 0.0}, {"n_bootstrap": 0}])
def test_bands_without_draws_are_refused(options):
    U, samples = rank_two()
    with pytest.raises(ValueError, match=r"between 0 and 1 and n_bootstrap|between 0 and 1"):
        component_bands(samples, principal_components(samples, 2), U, **options)


def test_a_pattern_keeps_its_shape_at_any_strength():
    fine = np.array([4.0, 1.0, 0.5])
    assert pattern_change(3 * fine, fine) == 0
    other = np.array([8.0, 4.0, 1.0])  # (1, 0.5, 0.125) beside (1, 0.25, 0.125)
    assert pattern_change(other, fine) == pytest.approx(0.25 / np.sqrt(1 + 0.25**2 + 0.125**2))


def test_patterns_change_bias_by_bias():
    coarse, fine = [[5.0, 3.0], [2.0, 1.0]], [[10.0, 6.0], [1.0, 1.0]]
    np.testing.assert_allclose(pattern_change(coarse, fine), [0, 0.5 / np.sqrt(2)])


@pytest.mark.parametrize(
    "coarse, fine, message",
    [
        ([1.0, 2.0], [1.0], "two arrays of one shape"),
        (1.0, 1.0, "two arrays of one shape"),
        ([1.0, np.nan], [1.0, 1.0], "finite"),
        ([1.0, 1.0], [0.0, 0.0], "positive largest"),
    ],
)
def test_what_is_no_pair_of_patterns_is_refused(coarse, fine, message):
    with pytest.raises(ValueError, match=message):
        pattern_change(coarse, fine)
