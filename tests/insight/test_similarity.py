import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_core.insight import cosine_similarity, crossover, principal_components

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
        (np.ones((2, 3)), [0, 1], "shape"),
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


def bent(U_c, noise, seed, n=31, repeats=3):
    U = np.repeat(np.linspace(0, 6, n), repeats)
    rng = np.random.default_rng(seed)
    return U, 2.0 - 0.5 * U + 0.8 * np.maximum(0, U - U_c) + noise * rng.standard_normal(len(U))


@pytest.mark.parametrize("U_c", [1.0, 2.7, 4.4])
def test_a_bend_without_noise_is_found_with_its_slopes(U_c):
    result = crossover(*bent(U_c, 0, 0))
    step = (6 - 0.4) / 199
    assert result.U == pytest.approx(U_c, abs=step)
    assert result.low <= result.U <= result.high
    assert result.slope_below == pytest.approx(-0.5, abs=0.02)
    assert result.slope_above == pytest.approx(0.3, abs=0.02)
    assert result.gain > 0.999


def test_the_interval_covers_the_bend_about_as_often_as_it_says():
    results = [crossover(*bent(2.7, 0.1, seed, repeats=1), n_bootstrap=100, seed=seed) for seed in range(150)]
    covered = np.mean([result.low <= 2.7 <= result.high for result in results])
    # 90 % nominal, 85 to 86 % known; 150 sets scatter by 3 %.
    assert 0.77 < covered < 0.95


def test_more_noise_widens_the_interval():
    quiet, loud = (crossover(*bent(2.7, noise, 0)) for noise in (0.02, 0.2))
    assert loud.high - loud.low > 3 * (quiet.high - quiet.low)


def test_a_straight_line_gains_nothing_from_a_bend():
    U, score = bent(9.0, 0.1, 0)
    assert crossover(U, score).gain < 0.2


def test_the_seed_decides_the_interval_and_only_that():
    one, again, other = (crossover(*bent(2.7, 0.2, 0), seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one.U == other.U
    assert (one.low, one.high) != (other.low, other.high)


def test_the_best_bend_is_that_of_a_direct_least_squares_search():
    U, score = bent(2.7, 0.3, 5, repeats=2)
    breaks = np.linspace(0.2, 5.8, 200)

    def residual(b):
        design = np.stack([np.ones_like(U), U, np.maximum(0, U - b)], axis=1)
        return np.linalg.lstsq(design, score, rcond=None)[1][0]

    assert crossover(U, score).U == pytest.approx(min(breaks, key=residual))


@pytest.mark.parametrize(
    "U, score, options, message",
    [
        ([0, 1, 2, 3], [0, 1, 2, 3], {}, "at least 5"),
        (np.arange(6), np.arange(5), {}, "U must be 5 finite values"),
        (np.arange(6), np.full(6, np.nan), {}, "NaN"),
        (np.arange(6), np.arange(6), {"confidence": 1.0}, "between 0 and 1"),
        (np.arange(6), np.arange(6), {"n_bootstrap": 0}, "at least 1"),
    ],
)
def test_what_has_no_bend_to_find_is_named(U, score, options, message):
    with pytest.raises(ValueError, match=message):
        crossover(U, score, **options)
