import numpy as np
import pytest

from stm_core.learning import PrincipalComponentRegression, constant_guess, evaluate, nearest_integer

SIZE = 16


@pytest.fixture(scope="module")
def data(bragg_like):
    U = np.repeat(np.arange(6.0), 6)
    return bragg_like(SIZE).images(U, seed=1), U


@pytest.fixture(scope="module")
def unseen(bragg_like):
    U = np.random.default_rng(2).uniform(0, 5, 40)
    return bragg_like(SIZE).images(U, seed=3), U


def whitened_scores(train, other, n):
    """Scores of unit variance from a plain singular value decomposition."""
    flat = train.reshape(len(train), -1).astype(float)
    mean = flat.mean(axis=0)
    _, singular, rows = np.linalg.svd(flat - mean, full_matrices=False)
    scale = singular[:n] / np.sqrt(len(flat) - 1)
    return tuple((x.reshape(len(x), -1) - mean) @ rows[:n].T / scale for x in (train, other))


def test_linear_regression_is_ridge_on_the_scores(data, unseen):
    x, y = whitened_scores(data[0], unseen[0], 3)
    centred = data[1] - data[1].mean()
    weights = np.linalg.solve(x.T @ x + 0.5 * np.eye(3), x.T @ centred)
    model = PrincipalComponentRegression(3, alpha=0.5).fit(*data)
    np.testing.assert_allclose(model.predict(unseen[0]), y @ weights + data[1].mean(), rtol=1e-5)


def test_kernel_regression_is_kernel_ridge_on_the_scores(data, unseen):
    x, y = whitened_scores(data[0], unseen[0], 3)

    def kernel(a, b):
        return np.exp(-0.2 * ((a[:, None] - b[None]) ** 2).sum(axis=-1))

    dual = np.linalg.solve(kernel(x, x) + 0.1 * np.eye(len(x)), data[1] - data[1].mean())
    model = PrincipalComponentRegression(3, "rbf", alpha=0.1, gamma=0.2).fit(*data)
    np.testing.assert_allclose(model.predict(unseen[0]), kernel(y, x) @ dual + data[1].mean(), rtol=1e-4)


def test_regression_beats_a_constant_and_the_kernel_beats_the_line(data, unseen):
    constant = evaluate(unseen[1], constant_guess(data[1], len(unseen[1]))).mae
    linear, kernel = (
        evaluate(unseen[1], PrincipalComponentRegression(3, k).fit(*data).predict(unseen[0])).mae
        for k in (None, "rbf")
    )
    assert kernel < linear < constant / 3


def test_the_penalty_is_the_best_at_leaving_out_one_U(data):
    images, U = data

    def left_out_error(alpha):
        chosen = PrincipalComponentRegression(3).fit(images, U)
        scores = chosen.pca_.transform(images.reshape(len(images), -1).astype(float))
        errors = []
        for level in np.unique(U):
            x, y = scores[level != U], U[level != U]
            centre, mean = x.mean(axis=0), y.mean()
            weights = np.linalg.solve(
                (x - centre).T @ (x - centre) + alpha * np.eye(3), (x - centre).T @ (y - mean)
            )
            errors.append(np.abs((scores[level == U] - centre) @ weights + mean - level).mean())
        return np.mean(errors)

    chosen = PrincipalComponentRegression(3).fit(images, U).regression_.regressor_.alpha
    assert left_out_error(chosen) <= min(left_out_error(10.0**k) for k in range(-6, 2)) + 1e-12


def test_two_levels_are_too_few_to_choose_a_penalty_by_and_still_fit(data):
    images, U = data
    two = U < 2
    model = PrincipalComponentRegression(2, "rbf").fit(images[two], U[two])
    assert evaluate(U[two], model.predict(images[two])).mae < 0.25


def test_constant_guess_is_the_training_mean():
    np.testing.assert_array_equal(constant_guess([0, 1, 5], 4), [2, 2, 2, 2])


def test_rounding_is_a_quarter_off_on_average():
    U = np.linspace(0, 5, 10_001)
    assert evaluate(U, nearest_integer(U)).mae == pytest.approx(0.25, abs=1e-3)


def test_rounding_knows_only_the_training_levels():
    np.testing.assert_array_equal(nearest_integer([0.4, 0.6, 5.9]), [0, 1, 5])
    np.testing.assert_array_equal(nearest_integer([0.4, 2.6, 5.9], levels=(1, 4)), [1, 4, 4])


@pytest.mark.parametrize(
    "options, n, message",
    [
        ({"kernel": "cubic"}, 36, "None or 'rbf'"),
        ({"n_components": 3}, 3, "too few"),
    ],
)
def test_what_cannot_be_fitted_is_named(data, options, n, message):
    with pytest.raises(ValueError, match=message):
        PrincipalComponentRegression(**options).fit(data[0][:n], data[1][:n])


def test_unusable_images_are_named(data):
    model = PrincipalComponentRegression().fit(*data)
    with pytest.raises(ValueError, match="finite"):
        model.predict(np.full((1, SIZE, SIZE), np.nan))
    with pytest.raises(ValueError, match="features"):
        model.predict(np.zeros((1, 8, 8)))
