"""The separable Fourier transform against direct sums and against what any Fourier transform obeys."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_core.imaging import FourierGrid, ft_ldos, ft_ldos_direct, k_axes

ROUNDING = 1e-12  # relative to |F(0)|, for double precision sums over a few hundred atoms
SINGLE = 2e-6  # the same in single precision

seeds = st.integers(min_value=0, max_value=2**32 - 1)


def atoms(seed, count=60, maps=None):
    rng = np.random.default_rng(seed)
    shape = (count,) if maps is None else (maps, count)
    return rng.uniform(-8.0, 8.0, (count, 2)), rng.uniform(0.0, 1.0, shape)


@pytest.mark.parametrize("n_k", [2, 3, 40, 41])
def test_separable_product_equals_direct_sum(n_k):
    xy, ldos = atoms(1)
    direct = ft_ldos_direct(xy, ldos, n_k=n_k)
    np.testing.assert_allclose(ft_ldos(xy, ldos, n_k=n_k), direct, rtol=0, atol=ROUNDING * ldos.sum())


@pytest.mark.parametrize("n_k", [6, 7])
def test_complex_transform_equals_the_definition_and_gives_the_magnitude(n_k):
    xy, ldos = atoms(2, maps=3)
    grid = FourierGrid.build(xy, n_k=n_k)
    kx, ky = np.meshgrid(grid.kx, grid.ky)
    phases = np.exp(-1j * (kx[..., None] * xy[:, 0] + ky[..., None] * xy[:, 1]))
    expected = np.einsum("yxa,ba->byx", phases, ldos)
    np.testing.assert_allclose(grid.transform(ldos), expected, rtol=0, atol=ROUNDING * 60)
    np.testing.assert_allclose(grid.magnitude(ldos), np.abs(expected), rtol=0, atol=ROUNDING * 60)


def test_leading_axes_are_kept_and_each_map_is_transformed_alone():
    xy, ldos = atoms(3, maps=6)
    stacked = ft_ldos(xy, ldos.reshape(2, 3, -1), n_k=21)
    assert stacked.shape == (2, 3, 21, 21)
    np.testing.assert_array_equal(stacked[1, 2], ft_ldos(xy, ldos[5], n_k=21))


def test_single_precision_is_good_to_its_rounding():
    xy, ldos = atoms(4, count=500)
    single = FourierGrid.build(xy, n_k=101, dtype=np.float32).magnitude(ldos)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, ft_ldos(xy, ldos, n_k=101), rtol=0, atol=SINGLE * ldos.sum())


def test_window_is_the_stated_one():
    kx, ky = k_axes(n_k=1003, extent=1.1)
    assert kx[0] == pytest.approx(-1.1 * 2 * np.pi) and kx[-1] == pytest.approx(1.1 * 2 * np.pi)
    assert ky[-1] == pytest.approx(1.1 * 4 * np.pi / np.sqrt(3))
    np.testing.assert_allclose(kx, -kx[::-1], atol=1e-15)


def test_zero_wave_vector_holds_the_total_weight():
    xy, ldos = atoms(5)
    assert ft_ldos(xy, ldos, n_k=11)[5, 5] == pytest.approx(ldos.sum(), rel=ROUNDING)


def test_rows_are_k_y_and_columns_are_k_x():
    # Two atoms half a lattice constant apart along x interfere along k_x alone.
    image = ft_ldos([[0.0, 0.0], [0.5, 0.0]], [1.0, 1.0], n_k=5, extent=1.0)
    np.testing.assert_allclose(image, np.tile([0, np.sqrt(2), 2, np.sqrt(2), 0], (5, 1)), atol=ROUNDING)


def test_graphene_sublattice_is_periodic_in_its_reciprocal_lattice():
    steps = np.arange(4)
    m, n = np.meshgrid(steps, steps)
    xy = np.stack([m.ravel() + 0.5 * n.ravel(), np.sqrt(3) / 2 * n.ravel()], axis=1)
    ldos = np.random.default_rng(6).uniform(size=16)
    image = ft_ldos(xy, ldos, n_k=9, extent=1.0)
    np.testing.assert_allclose(image[0], image[4], atol=ROUNDING * 16)  # G = (0, 4π/√3)
    # G = (2π, 2π/√3): half the columns and a quarter of the rows of this window
    np.testing.assert_allclose(image[:-2, :-4], image[2:, 4:], atol=ROUNDING * 16)


@given(seed=seeds, shift_x=st.floats(-50, 50), shift_y=st.floats(-50, 50))
@settings(max_examples=30, deadline=None)
def test_translation_changes_only_the_phase(seed, shift_x, shift_y):
    xy, ldos = atoms(seed)
    moved = ft_ldos(xy + np.array([shift_x, shift_y]), ldos, n_k=15)
    np.testing.assert_allclose(moved, ft_ldos(xy, ldos, n_k=15), rtol=0, atol=10 * ROUNDING * ldos.sum())


@given(seed=seeds, first=st.floats(-3, 3), second=st.floats(-3, 3), n_k=st.integers(2, 16))
@settings(max_examples=30, deadline=None)
def test_complex_transform_is_linear(seed, first, second, n_k):
    xy, maps = atoms(seed, maps=2)
    grid = FourierGrid.build(xy, n_k=n_k)
    separate = first * grid.transform(maps[0]) + second * grid.transform(maps[1])
    together = grid.transform(first * maps[0] + second * maps[1])
    np.testing.assert_allclose(together, separate, rtol=0, atol=ROUNDING * maps.sum())


@given(seed=seeds, n_k=st.integers(2, 16))
@settings(max_examples=30, deadline=None)
def test_real_map_has_inversion_symmetric_magnitude(seed, n_k):
    # The fold imposes this symmetry, so it is asserted on the direct sum, which does not know of it.
    xy, ldos = atoms(seed)
    image = ft_ldos(xy, ldos, n_k=n_k)
    np.testing.assert_allclose(image, image[::-1, ::-1], rtol=0, atol=ROUNDING * ldos.sum())
    direct = ft_ldos_direct(xy, ldos, n_k=n_k)
    np.testing.assert_allclose(direct, direct[::-1, ::-1], rtol=0, atol=ROUNDING * ldos.sum())
    np.testing.assert_allclose(image, direct, rtol=0, atol=ROUNDING * ldos.sum())


@given(seed=seeds, n_k=st.integers(3, 12))
@settings(max_examples=20, deadline=None)
def test_parseval_on_points_dual_to_the_grid(seed, n_k):
    # Points spaced by 2π/(n_k Δk) are dual to the k grid, and then Σ_k |F|² = n_k² Σ LDOS².
    kx, ky = k_axes(n_k)
    x = 2 * np.pi / (n_k * (kx[1] - kx[0])) * np.arange(n_k)
    y = 2 * np.pi / (n_k * (ky[1] - ky[0])) * np.arange(n_k)
    xy = np.stack([grid.ravel() for grid in np.meshgrid(x, y)], axis=1)
    ldos = np.random.default_rng(seed).normal(size=n_k**2)
    power = (ft_ldos(xy, ldos, n_k=n_k) ** 2).sum()
    assert power == pytest.approx(n_k**2 * (ldos**2).sum(), rel=1e-9)


@pytest.mark.parametrize("transform", [ft_ldos, ft_ldos_direct])
@pytest.mark.parametrize(
    ("xy", "ldos", "options", "message"),
    [
        (np.zeros((4, 3)), np.ones(4), {}, r"shape \(N, 2\)"),
        (np.zeros((0, 2)), np.ones(0), {}, "at least 1"),
        (np.zeros((4, 2)), np.ones(5), {}, "must match the 4 positions"),
        (np.full((4, 2), np.nan), np.ones(4), {}, "xy holds NaN"),
        (np.zeros((4, 2)), [1, 1, 1, np.inf], {}, "ldos holds NaN or infinite"),
        (np.zeros((4, 2)), np.ones(4), {"n_k": 1}, "2 or more"),
        (np.zeros((4, 2)), np.ones(4), {"extent": 0.0}, "positive, finite"),
    ],
)
def test_bad_input_is_named(transform, xy, ldos, options, message):
    with pytest.raises(ValueError, match=message):
        transform(xy, ldos, **options)


def test_direct_sum_takes_one_map():
    with pytest.raises(ValueError, match="one map"):
        ft_ldos_direct(np.zeros((4, 2)), np.ones((2, 4)), n_k=3)
