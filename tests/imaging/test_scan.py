"""A simulated scan: against a sum over atoms in real space, and against the exact FT-LDOS."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_core.data import load_dataset
from stm_core.imaging import (
    ScanMap,
    SurfaceLDOS,
    bragg_amplitudes,
    decay_constant,
    form_factor,
    graphene_vectors,
    k_axes,
    scan_amplitudes,
    scan_transform,
)
from stm_core.simulation import GRAPHENE_LATTICE, TwistedBilayer

STRONG = 0.01  # of |F(0)|: peaks that a scan is compared at
PEAKS = 2e-3  # relative error there, from what leaks in of the other peaks
PICTURE = 0.03  # the same half a pixel of the picture beside a peak's top


@pytest.fixture(scope="module")
def cell():
    return TwistedBilayer(i=2)


@pytest.fixture(scope="module")
def ldos(cell):
    return np.random.default_rng(3).uniform(0.1, 1.0, cell.n_atoms)


@pytest.fixture(scope="module")
def shipped():
    """The study's cell, one LDOS of the sweep at its peak, and its scan over some seven moiré periods."""
    every_bias = load_dataset()["ldos"][0].values.astype(float)
    sample = every_bias[every_bias.mean(axis=1).argmax()]
    cell = TwistedBilayer(i=9)
    return cell, sample, SurfaceLDOS.above(cell, sample).scan(512, pixel=0.6, origin=(11.0, -37.0))


def density(rho, height, kappa):
    distance = np.hypot(rho, height)
    fall = np.exp(-2 * kappa * (distance - height))
    return height * (1 + 2 * kappa * distance) * fall / (2 * np.pi * distance**3)


@pytest.mark.parametrize(("height", "work_function"), [(2.0, 4.5), (5.0, 3.0)])
def test_scan_is_the_sum_of_the_atoms_densities(cell, ldos, height, work_function):
    scan = SurfaceLDOS.above(cell, ldos, height, work_function).scan(
        (3, 4), pixel=1.7, angle=0.4, origin=(-2.0, 5.0)
    )
    x, y = np.meshgrid(scan.x, scan.y)
    points = np.stack([np.cos(0.4) * x - np.sin(0.4) * y, np.sin(0.4) * x + np.cos(0.4) * y], axis=-1)
    top = cell.layer == 1
    steps = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 2), axis=-1).reshape(-1, 1, 2) @ cell.lattice
    images = (cell.positions[top, :2] + steps).reshape(-1, 2)
    rho = np.linalg.norm(points[:, :, None] - images, axis=-1)
    expected = density(rho, height, decay_constant(work_function)) @ np.tile(ldos[top], len(steps))
    np.testing.assert_allclose(scan.values, expected, rtol=1e-5)


def test_vacuum_tail_of_graphite():
    # 4.6 eV gives the textbook's decade of current per ångström.
    assert 2 * decay_constant(4.6) / np.log(10) == pytest.approx(0.954, abs=0.003)
    assert form_factor(0.0) == 1.0
    # For long waves the decay is that of Tersoff and Hamann, q²/4κ.
    kappa = decay_constant()
    assert -np.log(form_factor(0.01, height=4.0)) == pytest.approx(4.0 * 0.01**2 / (4 * kappa), rel=1e-4)


def test_scan_gives_back_the_exact_amplitudes(shipped):
    cell, ldos, scan = shipped
    exact, vectors = bragg_amplitudes(cell, ldos)
    to_exact = cell.area / form_factor(np.linalg.norm(vectors, axis=1))
    strong = np.abs(exact) > STRONG * np.abs(exact[0])
    assert strong.sum() > 50
    steep = scan_amplitudes(scan, vectors, "blackmanharris") * to_exact
    np.testing.assert_allclose(steep[strong], exact[strong], rtol=PEAKS)
    # The slower sides of the Hann window let more of F(0) into the weak peaks.
    hann = scan_amplitudes(scan, vectors, "hann") * to_exact
    np.testing.assert_allclose(hann, exact, rtol=0, atol=PEAKS * np.abs(exact[0]))


def test_peaks_stand_on_the_grid_of_the_picture(shipped):
    cell, ldos, scan = shipped
    kx, ky = (axis / GRAPHENE_LATTICE for axis in k_axes())
    exact, vectors = bragg_amplitudes(cell, ldos)
    strong = np.abs(exact) > STRONG * np.abs(exact[0])
    columns = np.abs(kx - vectors[strong, :1]).argmin(axis=1)
    rows = np.abs(ky - vectors[strong, 1:]).argmin(axis=1)
    seen = scan_transform(scan)[rows, columns] * cell.area
    expected = np.abs(exact[strong]) * form_factor(np.linalg.norm(vectors[strong], axis=1))
    np.testing.assert_allclose(seen, expected, rtol=PICTURE)


def test_picture_and_list_of_amplitudes_are_one_transform(cell, ldos):
    scan = SurfaceLDOS.above(cell, ldos).scan((90, 70), pixel=0.7, origin=(4.0, 1.0))
    for n_k in (2, 7, 8):
        kx, ky = (axis / GRAPHENE_LATTICE for axis in k_axes(n_k))
        waves = np.stack(np.meshgrid(kx, ky), axis=-1).reshape(-1, 2)
        expected = np.abs(scan_amplitudes(scan, waves)).reshape(n_k, n_k)
        np.testing.assert_allclose(scan_transform(scan, n_k), expected, rtol=1e-8, atol=1e-14)


@settings(deadline=None, max_examples=15)
@given(
    angle=st.floats(-np.pi, np.pi), x=st.floats(-50, 50), y=st.floats(-50, 50), pixel=st.floats(0.55, 0.75)
)
def test_peaks_do_not_depend_on_where_and_how_the_scan_lies(cell, ldos, angle, x, y, pixel):
    exact, vectors = bragg_amplitudes(cell, ldos)
    scan = SurfaceLDOS.above(cell, ldos).scan(180, pixel, angle, origin=(x, y))
    turned = vectors @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    seen = scan_amplitudes(scan, turned, "blackmanharris") * cell.area
    expected = exact * form_factor(np.linalg.norm(vectors, axis=1))
    np.testing.assert_allclose(seen, expected, rtol=0, atol=PEAKS * np.abs(exact[0]))


def test_layer_values_and_full_values_give_one_scan(cell, ldos):
    full = SurfaceLDOS.above(cell, ldos)
    only = SurfaceLDOS.above(cell, ldos[cell.layer == 1])
    np.testing.assert_array_equal(full.amplitudes, only.amplitudes)
    assert full.amplitudes[0] * cell.area == pytest.approx(ldos[cell.layer == 1].sum())


def layer_reciprocal(cell, strain, angle, top):
    """Reciprocal vectors of one strained layer, from its lattice vectors."""
    along = np.array([np.cos(angle), np.sin(angle)])
    tensor = strain * (np.outer(along, along) - 0.16 * (np.eye(2) - np.outer(along, along)))
    side = 1 if top else -1
    directions = side * cell.angle / 2 + np.array([0.0, np.pi / 3])
    lattice = GRAPHENE_LATTICE * np.column_stack([np.cos(directions), np.sin(directions)])
    return 2 * np.pi * np.linalg.inv(lattice @ (np.eye(2) + side * tensor / 2)).T


@settings(deadline=None, max_examples=10)
@given(strain=st.floats(-0.01, 0.01), angle=st.floats(0, np.pi))
def test_heterostrain_moves_the_peaks_with_the_layers(strain, angle):
    cell = TwistedBilayer(i=6)
    surface = SurfaceLDOS.above(cell, np.ones(cell.n_atoms))
    strained = surface.heterostrained(cell, strain, angle)
    np.testing.assert_array_equal(strained.amplitudes, surface.amplitudes)
    before = [layer_reciprocal(cell, 0.0, 0.0, top) for top in (True, False)]
    after = [layer_reciprocal(cell, strain, angle, top) for top in (True, False)]
    for m, n in ((1, 0), (0, 1), (1, -1)):
        for old, new in (
            (before[0], after[0]),  # graphene's own first shell
            (before[0] - before[1], after[0] - after[1]),  # the moiré's
            (2 * before[0] - before[1], 2 * after[0] - after[1]),  # a satellite
        ):
            signed = np.concatenate([surface.vectors, -surface.vectors])
            distance = np.linalg.norm(signed - [m, n] @ old, axis=1)
            assert distance.min() < 1e-9
            moved = np.concatenate([strained.vectors, -strained.vectors])[distance.argmin()]
            np.testing.assert_allclose(moved, [m, n] @ new, atol=1e-9)


def test_two_strains_add_up():
    cell = TwistedBilayer(i=6, spacing=3.0, heterostrain=0.02, strain_angle=0.3)
    surface = SurfaceLDOS.above(cell, np.ones(cell.n_atoms))
    more = surface.heterostrained(cell, 0.004, 0.3)
    assert np.abs(more.vectors - surface.vectors).max() > 1e-3
    signed = np.concatenate([more.vectors, -more.vectors])
    for vectors, stretch in zip(cell.layer_lattices[::-1], (0.002, -0.002), strict=True):
        along = np.array([np.cos(0.3), np.sin(0.3)])
        tensor = stretch * (np.outer(along, along) - 0.16 * (np.eye(2) - np.outer(along, along)))
        for peak in 2 * np.pi * np.linalg.inv(vectors @ (np.eye(2) + tensor)).T:
            assert np.linalg.norm(signed - peak, axis=1).min() < 1e-9


def test_graphene_peaks_survive_the_tip(shipped):
    cell, _, scan = shipped
    peaks = np.abs(scan_amplitudes(scan, graphene_vectors(cell)["Bragg"]))
    assert peaks.min() > 1e-3 * scan.values.mean()


def test_scan_refuses_what_it_cannot_do(cell, ldos):
    surface = SurfaceLDOS.above(cell, ldos)
    with pytest.raises(ValueError, match="tip height is 0"):
        SurfaceLDOS.above(cell, ldos, height=0.0)
    with pytest.raises(ValueError, match="work function is -1"):
        SurfaceLDOS.above(cell, ldos, work_function=-1.0)
    with pytest.raises(ValueError, match="one map"):
        SurfaceLDOS.above(cell, np.ones((2, cell.n_atoms)))
    with pytest.raises(ValueError, match="last axis must match"):
        SurfaceLDOS.above(cell, ldos[:5])
    with pytest.raises(ValueError, match=r"at least \(2, 2\)"):
        surface.scan(1)
    with pytest.raises(ValueError, match="pixel is -1"):
        surface.scan(4, pixel=-1.0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        ScanMap(np.full((2, 2), np.nan), pixel=1.0)
    with pytest.raises(ValueError, match="two finite coordinates"):
        ScanMap(np.ones((2, 2)), pixel=1.0, origin=np.zeros(3))
    coarse = surface.scan(8, pixel=1.2)
    with pytest.raises(ValueError, match=r"at most 0\.968 Å"):
        scan_transform(coarse)
    with pytest.raises(ValueError, match="window is 'bell'"):
        scan_transform(surface.scan(8), window="bell")
    with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
        scan_amplitudes(coarse, np.ones(3))
