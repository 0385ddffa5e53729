"""The gallery shows the scans it names, on one scale and with units."""

import numpy as np
import pytest

from stm_core.imaging import Imperfections, SurfaceLDOS, TipBlur, WhiteNoise, scan_transform
from stm_core.simulation import TwistedBilayer
from stm_core.viewing import imperfection_gallery
from stm_core.viewing.display import k_extent


@pytest.fixture(scope="module")
def scan():
    cell = TwistedBilayer(i=2)
    return SurfaceLDOS.above(cell, np.linspace(0.5, 1.0, cell.n_atoms)).scan((80, 100), pixel=0.5)


def test_gallery_draws_every_scan_beside_its_transform(scan):
    steps = [TipBlur(width=0.1), WhiteNoise(percent=20.0)]
    figure = imperfection_gallery(scan, steps, seed=3, shown=2.0, n_k=41)
    panels = [axes for axes in figure.axes if axes.get_xlabel()]
    bars = [axes for axes in figure.axes if not axes.get_xlabel()]
    maps, transforms = panels[::2], panels[1::2]
    assert [axes.get_title() for axes in maps] == ["clean", "tip blur 0.1 nm", "white noise 20 %"]
    assert {axes.get_xlabel() for axes in maps} == {"x (nm)"}
    assert {axes.get_xlabel() for axes in transforms} == {"$k_x$ (1/Å)"}
    assert [bar.get_ylabel() for bar in bars] == ["LDOS (1/(eV Å²))", "|F(k)|/|F(0)|"] * 3
    scans = [scan, *(step(scan, np.random.default_rng(3)) for step in steps)]
    for left, right, one in zip(maps, transforms, scans, strict=True):
        np.testing.assert_array_equal(left.images[0].get_array(), one.values)
        assert left.images[0].get_clim() == (scan.values.min(), scan.values.max())
        expected = scan_transform(one, 41) / one.values.mean()
        np.testing.assert_allclose(right.images[0].get_array(), expected)
        assert right.images[0].get_extent() == pytest.approx(k_extent())


def test_gallery_takes_whole_days_at_the_microscope(scan):
    presets = {name: Imperfections.preset(name) for name in ("mild", "noisy")}
    figure = imperfection_gallery(scan, presets, seed=1, shown=2.0, n_k=11)
    maps = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in maps] == ["clean", "mild", "noisy"]
    expected = presets["noisy"](scan, np.random.default_rng(1)).values
    np.testing.assert_array_equal(maps[2].images[0].get_array(), expected)


def test_gallery_maps_are_in_nanometres(scan):
    drawn = imperfection_gallery(scan, [], shown=2.0, n_k=11).axes[0]
    left, right, low, high = drawn.images[0].get_extent()
    assert right - left == pytest.approx(5.0) and high - low == pytest.approx(4.0)
    assert drawn.get_xlim() == drawn.get_ylim() == (-1.0, 1.0)
