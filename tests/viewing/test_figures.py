"""Figures draw the numbers they are given, in the units they name."""

import numpy as np
import pytest

from stm_core.simulation import TwistedBilayer
from stm_core.viewing import (
    band_figure,
    ft_ldos_map,
    ldos_map,
    level_figure,
    pca_scores,
    predicted_vs_true,
    similarity_matrix,
)
from stm_core.viewing.display import k_extent


def labels(figure):
    return [axes.get_xlabel() for axes in figure.axes] + [axes.get_ylabel() for axes in figure.axes]


def test_ldos_map_repeats_the_cell_along_the_lattice():
    cell = TwistedBilayer(i=1)
    values = np.arange(cell.n_atoms, dtype=float)
    figure = ldos_map(cell.positions, values, cell.lattice, repeat=2)
    dots = figure.axes[0].collections[0]
    assert len(dots.get_offsets()) == 4 * cell.n_atoms
    drawn = {
        tuple(np.round(point, 6)): value
        for point, value in zip(*(dots.get_offsets(), dots.get_array()), strict=True)
    }
    moved = cell.positions[5, :2] + cell.lattice.sum(axis=0)
    assert drawn[tuple(np.round(moved, 6))] == 5.0
    assert {"x (Å)", "y (Å)", "LDOS (1/eV per atom)"} <= set(labels(figure))


def test_ldos_map_of_one_cell_keeps_its_limits():
    dots = ldos_map(np.zeros((3, 2)), [1.0, 2.0, 3.0], limits=(0.0, 9.0)).axes[0].collections[0]
    assert len(dots.get_offsets()) == 3 and dots.get_clim() == (0.0, 9.0)


def test_ldos_map_refuses_a_map_of_other_length():
    with pytest.raises(ValueError, match="each of the 3 atoms"):
        ldos_map(np.zeros((3, 2)), [1.0, 2.0])


def test_ft_ldos_map_spans_the_window_and_four_decades():
    image = np.random.default_rng(0).uniform(0.1, 5.0, (20, 20))
    figure = ft_ldos_map(image, marks=[[1.0, 0.5]])
    drawn = figure.axes[0].images[0]
    assert drawn.get_extent() == pytest.approx(k_extent())
    assert drawn.get_clim() == pytest.approx((image.max() * 1e-4, image.max()))
    assert drawn.origin == "lower"
    np.testing.assert_allclose(figure.axes[0].collections[0].get_offsets(), [[1.0, 0.5]])
    assert ft_ldos_map(image, log=False).axes[0].images[0].get_clim() == pytest.approx(
        (image.min(), image.max())
    )


def test_similarity_matrix_colours_the_distance_from_one():
    matrix = np.array([[1.0, 0.9998], [0.9998, 1.0]])
    figure = similarity_matrix([0.0, 1.0], matrix)
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), 1 - matrix)
    with pytest.raises(ValueError, match="3 values of U"):
        similarity_matrix([0.0, 1.0, 2.0], matrix)


def test_band_figure_leaves_out_bands_outside_its_window():
    distance = np.linspace(0, 1, 4)
    bands = np.array([[-9.0, 0.0, 0.5, 9.0]] * 4)
    ticks = [("Γ", 0.0), ("M", 0.4), ("Γ", 1.0)]
    figure = band_figure(distance, {"spin up": bands}, ticks, window=(-1, 1))
    drawn = figure.data[0].y
    assert np.nanmin(drawn) == 0.0 and np.nanmax(drawn) == 0.5
    assert np.isnan(drawn).sum() == 2
    assert figure.layout.xaxis.ticktext == ("Γ", "M", "Γ") and "eV" in figure.layout.yaxis.title.text


def test_level_figure_has_one_column_per_name():
    figure = level_figure({"K": [0.1, 0.2, 0.2], "Γ": [0.4]})
    assert [trace.name for trace in figure.data] == ["K", "Γ"]
    np.testing.assert_allclose(np.unique(figure.data[0].y), [0.1, 0.2], rtol=1e-6)
    assert np.nanmean(figure.data[1].x) == pytest.approx(1.0)


def test_predicted_vs_true_draws_every_model_and_the_diagonal():
    truth = np.array([0.0, 1.0, 2.5])
    figure = predicted_vs_true(truth, {"cnn": truth + 0.1, "fc": truth - 0.1}, levels=[0, 1, 2])
    assert [trace.name for trace in figure.data] == ["cnn", "fc", "perfect"]
    np.testing.assert_allclose(figure.data[0].y, truth + 0.1, rtol=1e-6)
    assert figure.data[2].x == figure.data[2].y == (0.0, 2.5)
    assert len(figure.layout.shapes) == 3
    with pytest.raises(ValueError, match="cnn has 2 predictions for 3 true U"):
        predicted_vs_true(truth, {"cnn": truth[:2]})


def test_pca_scores_names_components_by_their_share():
    figure = pca_scores(np.eye(4)[:, :2], [0, 1, 2, 3], explained=[0.569, 0.268], crossover=(1.0, 2.7))
    assert [trace.name for trace in figure.data] == ["PC 1 (56.9 %)", "PC 2 (26.8 %)"]
    np.testing.assert_array_equal(figure.data[1].y, [0, 1, 0, 0])
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (1.0, 2.7)
    with pytest.raises(ValueError, match="each of the 3 U"):
        pca_scores(np.eye(4), [0, 1, 2])
