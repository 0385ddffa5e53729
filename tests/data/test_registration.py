"""From simulated scans, turned, strained and noisy, back to the LDOS and the picture they were made from."""

from dataclasses import replace

import numpy as np
import pytest
from gwyfile.objects import GwyContainer, GwyDataField
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_core.data import ldos_image
from stm_core.data.calibration import find_graphene, level
from stm_core.data.instruments import STMMap
from stm_core.data.registration import register
from stm_core.data.sampling import as_ldos, cell_ldos, scan_image, tip_height
from stm_core.data.scan_ldos import read_scan_image
from stm_core.imaging import SurfaceLDOS, decay_constant, form_factor, layer_mask
from stm_core.simulation import GRAPHENE_LATTICE, TwistedBilayer

CELL = TwistedBilayer()
TOP = CELL.positions[layer_mask(CELL.layer, "top"), :2]
SIZE, PIXELS = 160.0, 250  # Å


def turned(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def smooth_ldos():
    """Bright in the AA regions, not alike on the sublattices; threefold, so that turns do not matter."""
    first, second = CELL.reciprocal
    waves = [np.cos(TOP @ k) for k in (first, second, first + second)]
    sublattice = CELL.sublattice[layer_mask(CELL.layer, "top")]
    return 1 + (0.2 + 0.15 * sublattice) * sum(waves)


LDOS = smooth_ldos()
PICTURE = ldos_image(TOP / GRAPHENE_LATTICE, LDOS)


def scan_of(deformation, noise=0.0, seed=0, height=2.0, size=SIZE, pixels=PIXELS, ldos=LDOS):
    """What a tip records over the surface, which a map with positions as columns has deformed."""
    surface = SurfaceLDOS.above(CELL, ldos, height)
    surface = replace(surface, vectors=surface.vectors @ np.linalg.inv(deformation))
    rng = np.random.default_rng(seed)
    values = surface.scan(pixels, size / pixels, origin=rng.uniform(-40, 40, 2)).values
    values = values + noise * values.std() * rng.normal(size=values.shape)
    return STMMap(values, (size, size))


def likeness(picture, truth=PICTURE):
    """Cosine between deviations from the mean: less forgiving than that of the pictures."""
    a, b = picture - picture.mean(), truth - truth.mean()
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


@settings(max_examples=8, deadline=None)
@given(
    angle=st.floats(-np.pi, np.pi),
    strain=st.floats(-0.02, 0.02),
    direction=st.floats(0, np.pi),
    mirrored=st.booleans(),
    noise=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_deformed_scan_gives_the_picture_of_its_sample(angle, strain, direction, mirrored, noise, seed):
    stretch = turned(direction) @ np.diag([1 + strain, 1.0]) @ turned(-direction)
    mirror = np.diag([1.0, -1.0 if mirrored else 1.0])
    scan = level(scan_of(stretch @ turned(angle) @ mirror, noise, seed))
    found = register(scan, CELL)
    assert found.graphene is not None and found.mirrored == mirrored
    assert np.rad2deg(found.twist) == pytest.approx(np.rad2deg(CELL.angle), abs=0.02)
    assert likeness(scan_image(scan, found, CELL)) > (0.997 if noise else 0.999)


def test_the_ldos_of_every_atom_is_recovered():
    scan = level(scan_of(turned(0.2)))
    ldos = cell_ldos(scan, register(scan, CELL), CELL)
    # Some symmetry of the cell turns one into the other; sorting ignores which.
    np.testing.assert_allclose(np.sort(ldos / ldos.mean()), np.sort(LDOS / LDOS.mean()), atol=0.03)


@pytest.mark.parametrize("height", [0.8, 1.5, 2.5])
def test_the_height_of_the_tip_is_found(height):
    scan = level(scan_of(np.eye(2), height=height))
    assert tip_height(scan, find_graphene(scan)) == pytest.approx(height, abs=0.03)


def test_neighbouring_tails_are_the_transform_of_the_form_factor():
    """The density that is taken out in real space against the factor that the simulator lays on waves."""
    from stm_core.data.sampling import _spread

    for height, q in ((1.0, 0.0), (1.5, 1.7), (3.0, 2.9)):
        x = np.arange(-30, 30, 0.1)
        density = _spread(np.hypot(x, x[:, None]), height)
        total = (density * np.cos(q * x)).sum() * 0.1**2
        assert total == pytest.approx(float(form_factor(q, height)), rel=1e-3)


def test_coarse_pixels_still_give_a_picture():
    """Of the moiré alone: atoms that are not resolved are taken to be where the moiré has them."""
    scan = level(scan_of(turned(0.3), height=3.0, size=300.0, pixels=200))
    found = register(scan, CELL)
    assert found.graphene is None and not found.mirrored
    assert likeness(scan_image(scan, found, CELL)) > 0.99


def test_a_topography_becomes_the_ldos_it_followed():
    scan = scan_of(np.eye(2))
    height = 1e-10 * np.log(scan.values) / (2 * decay_constant())  # of constant current, in m
    ldos = as_ldos(replace(scan, values=height - height.mean(), unit="m"))
    ratio = ldos.values / scan.values
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-9)
    assert as_ldos(scan) is scan
    with pytest.raises(ValueError, match=r"varies by 1e\+03 Å; a topography within 20 Å is needed"):
        as_ldos(STMMap(np.linspace(0, 1e-7, 100).reshape(10, 10), (9.0, 9.0), unit="m"))


def bright_beside(side):
    """LDOS of a state that is bright in the AB (side 1) or the BA regions (side -1)."""
    centre = side * CELL.lattice.sum(axis=0) / 3
    first, second = CELL.reciprocal
    return 1 + 0.2 * sum(np.cos((TOP - centre) @ k) for k in (first, second, first + second))


def likeness_beside(picture):
    """To the picture of that state; half a turn about an AA region takes AB to BA, and no scan tells it."""
    return max(likeness(picture, ldos_image(TOP / GRAPHENE_LATTICE, bright_beside(side))) for side in (1, -1))


def test_a_topography_tells_which_regions_are_aa():
    """A state that is brightest in the AB regions is read a third of a cell off without it."""
    topography, scan = (level(scan_of(turned(0.4), ldos=ldos)) for ldos in (LDOS, bright_beside(1)))
    assert likeness_beside(scan_image(scan, register(scan, CELL, topography), CELL)) > 0.999
    assert likeness_beside(scan_image(scan, register(scan, CELL), CELL)) < 0.99


def test_a_file_is_read_with_the_help_of_its_own_topography(tmp_path):
    height = 1e-10 * np.log(scan_of(turned(0.4)).values) / (2 * decay_constant())  # in m
    current = 1e-12 * scan_of(turned(0.4), ldos=bright_beside(1)).values
    container = GwyContainer()
    for number, (title, values, unit) in enumerate([("Topography", height, "m"), ("LIX 1", current, "A")]):
        side = SIZE * 1e-10
        container[f"/{number}/data/title"] = title
        container[f"/{number}/data"] = GwyDataField(values[::-1], xreal=side, yreal=side, si_unit_z=unit)
    container.tofile(str(tmp_path / "map.gwy"))
    assert likeness_beside(read_scan_image(tmp_path / "map.gwy", CELL)) > 0.999
    # Alone the topography gives the picture of the state that it followed.
    assert likeness(read_scan_image(tmp_path / "map.gwy", CELL, channel="topo")) > 0.99


@pytest.mark.parametrize("noise", [0.0, 1e-12])
def test_a_topography_at_constant_height_is_no_hindrance(noise):
    scan = level(scan_of(turned(0.4)))
    height = noise * np.random.default_rng(3).normal(size=scan.values.shape)
    found = register(scan, CELL, level(replace(scan, values=height, unit="m")))
    np.testing.assert_array_equal(found.corners, register(scan, CELL).corners)


def test_a_pattern_without_a_sixfold_centre_says_so():
    assert register(level(scan_of(np.eye(2))), CELL).sixfold == pytest.approx(0.5, abs=0.05)
    first, second = CELL.reciprocal
    tie = 1 + 0.2 * sum(np.cos(TOP @ k + np.pi / 2) for k in (first, second, -first - second))
    assert register(level(scan_of(np.eye(2), ldos=tie)), CELL).sixfold < 0.1


def test_scans_without_a_whole_cell_are_named():
    surface = scan_of(np.eye(2))
    small = STMMap(surface.values[:72, :72], (36.0, 36.0))
    with pytest.raises(ValueError, match="36 x 36 Å, too small for the moiré cell of 40 Å"):
        cell_ldos(small, register(surface, CELL), CELL)
    flat = replace(surface, values=surface.values - surface.values.mean())
    with pytest.raises(ValueError, match="has a mean of zero"):
        cell_ldos(replace(flat, values=np.zeros_like(flat.values)), register(surface, CELL), CELL)
