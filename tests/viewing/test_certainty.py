import numpy as np
import pandas as pd
import pytest

from stm_core.insight import bend_table
from stm_core.viewing import eigen_images, interval_chart, score_bands

U = np.linspace(0, 5, 12)


def test_bands_enclose_their_scores():
    scores = np.stack([U, -U], axis=1)[::-1]
    figure = score_bands(U[::-1], scores, scores - 0.1, scores + 0.2, [0.8, 0.2])
    band, line = figure.data[0], figure.data[1]
    np.testing.assert_allclose(line.x, U, rtol=1e-6)
    np.testing.assert_allclose(line.y, U, rtol=1e-6)
    np.testing.assert_allclose(band.y[: U.size], U - 0.1, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(band.y[U.size :], (U + 0.2)[::-1], rtol=1e-5)
    assert line.name == "PC 1 (80.0 %)"
    with pytest.raises(ValueError, match="a row for each"):
        score_bands(U, scores[:3], scores, scores, [0.8, 0.2])


def test_eigen_images_are_drawn_in_shares_of_their_largest_pixel():
    pictures = np.random.default_rng(0).standard_normal((2, 6, 6))
    figure = eigen_images(pictures, 0.5 * np.abs(pictures), [0.7, 0.3])
    signed, other, spread = (figure.axes[n].images[0].get_array() for n in (0, 1, 2))
    assert np.abs(signed).max() == np.abs(other).max() == pytest.approx(1)
    np.testing.assert_allclose(spread, 0.5 * np.abs(signed))
    with pytest.raises(ValueError, match="a spread and a share each"):
        eigen_images(pictures, pictures[0], [0.7, 0.3])


def test_intervals_stand_in_rows_and_curves_without_a_bend_are_open():
    quantities = {"corner": np.maximum(0, U - 2.5), "curve": 0.1 * (U - 1) ** 3}
    table = bend_table(U, quantities, n_bootstrap=99)
    figure = interval_chart({"image": table}, known=(2.0, 2.2))
    row = figure.data[0]
    assert list(row.y) == ["corner · image", "curve · image"]
    assert list(row.marker.symbol) == ["circle", "circle-open"]
    np.testing.assert_allclose(row.x + row.error_x.array, table["high"])
    np.testing.assert_allclose(row.x - row.error_x.arrayminus, table["low"])
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (2.0, 2.2)
    with pytest.raises(ValueError, match="no quantity"):
        interval_chart({"image": pd.DataFrame(columns=table.columns)})
