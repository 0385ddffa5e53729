"""Levelling, and lattices found by their Bragg peaks in scans whose lattices are known."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_core.data.calibration import find_graphene, find_moire, level
from stm_core.data.instruments import STMMap
from stm_core.simulation import GRAPHENE_LATTICE

ANGLE = np.deg2rad(0.05)
STRAIN = 0.002
SIZE, PIXELS = 180.0, 360  # Å
MOIRE = 40.5  # Å


def turned(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def stretched(along, across, direction):
    return turned(direction) @ np.diag([1 + along, 1 + across]) @ turned(-direction)


def shell(constant, angle, deformation):
    """Three Bragg peaks of a lattice whose first vector lies at `angle` before it is deformed."""
    angles = angle + np.deg2rad([30, 90, 150])
    ideal = 4 * np.pi / np.sqrt(3) / constant * np.column_stack([np.cos(angles), np.sin(angles)])
    return ideal @ np.linalg.inv(deformation)


def scan_of(waves, noise=0.0, rng=None, pixels=(PIXELS, PIXELS), size=(SIZE, SIZE)):
    """1 + Σ amplitude cos(k·r), with white noise in units of the standard deviation of its atoms."""
    blank = STMMap(np.zeros(pixels), size)
    x = (np.arange(pixels[1]) + 0.5) * blank.pixel[0]
    y = (np.arange(pixels[0]) + 0.5) * blank.pixel[1]
    values = np.ones(pixels)
    for amplitude, ks in waves:
        values += amplitude * sum(np.cos(k[0] * x + k[1] * y[:, None]) for k in ks)
    if noise:
        values += noise * waves[0][0] * np.sqrt(1.5) * rng.normal(size=pixels)
    return replace(blank, values=values)


def sixfold(angle):
    """An angle folded onto ±30°."""
    return (angle + np.pi / 6) % (np.pi / 3) - np.pi / 6


@settings(max_examples=15, deadline=None)
@given(
    angle=st.floats(-np.pi, np.pi),
    along=st.floats(-0.02, 0.02),
    across=st.floats(-0.02, 0.02),
    direction=st.floats(0, np.pi),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_strained_noisy_lattice_is_found(angle, along, across, direction, seed):
    """To 0.05° and 0.2 %, under as much noise as there is atomic contrast, a tilt and brighter satellites."""
    rng = np.random.default_rng(seed)
    deformation = stretched(along, across, direction)
    atoms, satellites = (shell(a, angle, deformation) for a in (GRAPHENE_LATTICE, MOIRE))
    beside = (atoms[:, None] + satellites).reshape(-1, 2)
    scan = scan_of([(0.1, atoms), (0.3, satellites), (0.05, beside)], 1.0, rng)
    tilted = replace(scan, values=scan.values + np.linspace(0, 5, PIXELS))
    found = find_graphene(level(tilted))
    # A stretch is free of rotation, so the whole turn is `angle`.
    assert abs(sixfold(found.angle - angle)) < ANGLE
    assert found.strain == pytest.approx(sorted((along, across), reverse=True), abs=STRAIN)
    assert found.scale == pytest.approx(np.sqrt((1 + along) * (1 + across)), abs=STRAIN)
    moire = find_moire(level(tilted))
    assert moire.constant == pytest.approx(MOIRE * found.scale, rel=0.01)
    assert abs(sixfold(moire.angle - angle)) < np.deg2rad(0.5)


@settings(max_examples=10, deadline=None)
@given(direction=st.floats(-1.5, 1.5), sign=st.sampled_from([-1, 1]))
def test_the_direction_of_the_strain_is_that_of_the_longest_side(direction, sign):
    deformation = stretched(0.02 * sign, 0.0, direction)
    found = find_graphene(scan_of([(0.1, shell(GRAPHENE_LATTICE, 0.2, deformation))]))
    longest = direction if sign > 0 else direction + np.pi / 2
    assert abs(np.sin(found.strain_angle - longest)) < 0.02
    assert -np.pi / 2 <= found.strain_angle <= np.pi / 2


def test_pixels_need_not_be_square_nor_scans():
    scan = scan_of([(0.1, shell(GRAPHENE_LATTICE, 0.1, np.eye(2)))], pixels=(200, 400), size=(150.0, 120.0))
    found = find_graphene(scan)
    assert abs(found.angle - 0.1) < ANGLE
    assert found.strain == pytest.approx((0, 0), abs=STRAIN)
    np.testing.assert_allclose(np.linalg.norm(found.lattice, axis=1), GRAPHENE_LATTICE, rtol=STRAIN)
    np.testing.assert_allclose(found.lattice @ found.reciprocal.T, 2 * np.pi * np.eye(2), atol=1e-12)


def test_amplitudes_are_in_the_unit_of_the_scan():
    waves = shell(GRAPHENE_LATTICE, 0.3, np.eye(2))
    found = find_graphene(scan_of([(4e-12, waves)]))
    np.testing.assert_allclose(np.abs(found.amplitudes), 2e-12, rtol=1e-3)


@pytest.mark.parametrize("times, turn", [(3**-0.5, np.pi / 6), (0.5, 0.0)])
def test_a_brighter_farther_shell_is_not_taken_for_the_first(times, turn):
    first, farther = shell(MOIRE, 0.2, np.eye(2)), shell(MOIRE * times, 0.2 + turn, np.eye(2))
    moire = find_moire(scan_of([(0.1, first), (0.4, farther)], 0.5, np.random.default_rng(0)))
    assert moire.constant == pytest.approx(MOIRE, rel=0.002)
    assert abs(sixfold(moire.angle - 0.2)) < np.deg2rad(0.2)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_noise_has_no_lattice(seed):
    scan = STMMap(np.random.default_rng(seed).normal(size=(200, 200)), (100.0, 100.0))
    with pytest.raises(ValueError, match=r"shows no Bragg peaks of graphene|that are no lattice of graphene"):
        find_graphene(scan)
    with pytest.raises(ValueError, match=r"Bragg peaks of a moiré lattice|no lattice of a moiré"):
        find_moire(scan)


def test_scans_that_cannot_show_a_lattice_are_named():
    with pytest.raises(ValueError, match=r"pixels of 1.25 Å; 0.93 Å or less resolve"):
        find_graphene(STMMap(np.ones((80, 80)), (100.0, 100.0)))
    wide = shell(1.2 * GRAPHENE_LATTICE, 0.0, np.eye(2))
    beside = (wide[:, None] + shell(MOIRE, 0.0, np.eye(2))).reshape(-1, 2)  # within reach of graphene's
    with pytest.raises(ValueError, match=r"shows a lattice 1\.20 times as wide as graphene's"):
        find_graphene(scan_of([(0.1, wide), (0.05, beside)]))
    with pytest.raises(ValueError, match="shows no Bragg peaks"):
        find_moire(STMMap(np.ones((80, 80)), (100.0, 100.0)))
    with pytest.raises(ValueError, match="shows no Bragg peaks"):
        find_moire(scan_of([(0.1, shell(MOIRE, 0.0, np.eye(2)))], size=(50.0, 50.0)))


@given(
    slopes=st.tuples(st.floats(-10, 10), st.floats(-10, 10)),
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(8, 20), st.integers(8, 20)),
)
def test_a_plane_leaves_no_trace_and_the_mean_stays(slopes, seed, shape):
    values = np.random.default_rng(seed).normal(3.0, 1.0, shape)
    y, x = np.indices(shape)
    plain, tilted = STMMap(values, (20.0, 30.0)), STMMap(values + slopes[0] * x + slopes[1] * y, (20.0, 30.0))
    flat = level(plain)
    np.testing.assert_allclose(
        level(tilted).values - level(tilted).values.mean(), flat.values - flat.values.mean(), atol=1e-9
    )
    assert flat.values.mean() == pytest.approx(values.mean())
    # Nothing is left that a least-squares plane could fit.
    design = np.column_stack([x.ravel(), y.ravel(), np.ones(x.size)])
    fitted = np.linalg.lstsq(design, flat.values.ravel(), rcond=None)[0]
    np.testing.assert_allclose(fitted, [0, 0, values.mean()], atol=1e-9)


def test_jumps_between_lines_are_taken_out():
    rng = np.random.default_rng(0)
    values = np.tile(rng.normal(5, 1, 31), (12, 1))
    jumped = STMMap(values + rng.normal(0, 3, (12, 1)), (30.0, 30.0))
    flat = level(jumped, "lines")
    np.testing.assert_allclose(flat.values - flat.values[0], 0, atol=1e-12)
    assert level(jumped, "none").values is jumped.values
    with pytest.raises(ValueError, match="levelling is 'cubic'; accepted are plane, lines, none"):
        level(jumped, "cubic")
