"""Imperfections against what their parameter says in its real unit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import periodogram
from scipy.special import j1

from stm_core.imaging import (
    FiniteWindow,
    FlickerNoise,
    GainDrift,
    Imperfections,
    LockIn,
    PixelImperfections,
    ScanLineNoise,
    ScanMap,
    SurfaceLDOS,
    ThermalDrift,
    TipBlur,
    TipChange,
    UniaxialStrain,
    WhiteNoise,
    bragg_amplitudes,
    decay_constant,
    scan_amplitudes,
)
from stm_core.simulation import TwistedBilayer

SPLINE = 0.01  # amplitude lost by a wave of graphene's lattice where the map is resampled
STATISTICS = 0.06  # of a standard deviation estimated from a few thousand draws

NOTHING = [
    UniaxialStrain(percent=0.0),
    ThermalDrift(rate=0.0),
    TipBlur(width=0.0, ratio=2.0),
    TipChange(shift=0.0),
    GainDrift(percent=0.0),
    ScanLineNoise(height=0.0),
    FlickerNoise(height=0.0),
    WhiteNoise(percent=0.0),
]
SOMETHING = [
    UniaxialStrain(percent=1.0),
    ThermalDrift(rate=0.5),
    TipBlur(width=0.1, ratio=2.0),
    TipChange(shift=0.3, height=2.0),
    FiniteWindow(size=2.0),
    GainDrift(percent=4.0),
    ScanLineNoise(height=2.0),
    FlickerNoise(height=2.0),
    WhiteNoise(percent=3.0),
]


@pytest.fixture(scope="module")
def scan():
    cell = TwistedBilayer(i=2)
    ldos = np.random.default_rng(3).uniform(0.1, 1.0, cell.n_atoms)
    return SurfaceLDOS.above(cell, ldos).scan((96, 80), pixel=0.5)


def wave(q, pixels=256, pixel=0.5, **keywords):
    """1 + cos(q·r) about the middle of the map."""
    blank = ScanMap(np.zeros((pixels, pixels)), pixel, np.full(2, -(pixels - 1) / 2 * pixel), **keywords)
    x, y = np.meshgrid(blank.x, blank.y)
    return ScanMap(1 + np.cos(q[0] * x + q[1] * y), pixel, blank.origin, **keywords)


def strength(scan, q):
    return 2 * np.abs(scan_amplitudes(scan, [q], "blackmanharris")[0])


def flat(ny, nx, **keywords):
    return ScanMap(np.full((ny, nx), 2.0), 0.5, **keywords)


@pytest.mark.parametrize("step", NOTHING, ids=lambda step: step.label)
def test_no_strength_changes_nothing(scan, step):
    np.testing.assert_allclose(step(scan, np.random.default_rng(0)).values, scan.values, rtol=1e-9)


@pytest.mark.parametrize("step", SOMETHING, ids=lambda step: step.label)
def test_a_step_follows_its_seed_and_leaves_the_scan_alone(scan, step):
    before = scan.values.copy()
    first, again = (step(scan, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.values, again.values)
    np.testing.assert_array_equal(scan.values, before)
    assert first.values.shape != before.shape or np.abs(first.values - before).max() > 1e-4 * before.mean()
    if not isinstance(step, FiniteWindow):
        assert np.abs(step(scan, np.random.default_rng(6)).values - first.values).max() > 0


@settings(deadline=None, max_examples=15)
@given(percent=st.floats(0.1, 3.0), angle=st.floats(0, np.pi), along=st.floats(0, 2 * np.pi))
def test_strain_divides_the_wave_vector_along_its_direction(percent, angle, along):
    q = 2.9 * np.array([np.cos(along), np.sin(along)])
    strained = UniaxialStrain(percent, angle)(wave(q), np.random.default_rng(0))
    frame = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    lengthened = np.array([1 + percent / 100, 1 - 0.16 * percent / 100])
    expected = frame.T @ (frame @ q / lengthened)
    assert strength(strained, expected) == pytest.approx(1.0, abs=SPLINE)


@settings(deadline=None, max_examples=15)
@given(rate=st.floats(0.05, 2.0), angle=st.floats(0, 2 * np.pi), line_time=st.floats(0.1, 1.0))
def test_drift_carries_the_pattern_by_its_rate(rate, angle, line_time):
    q = np.array([1.1, 0.7])
    scan = wave(q, line_time=line_time)
    drifted = ThermalDrift(rate, angle)(scan, np.random.default_rng(0))
    # nm/min to Å/s: in the time of half the lines the crystal moves this far from where it was.
    moved = rate * 10 / 60 * np.array([np.cos(angle), np.sin(angle)])
    rows, columns = np.array([30, 128, 225]), np.array([60, 128, 200])
    seconds = line_time * ((rows - 127.5) + (columns - 127.5) / 2 / 256)
    places = np.column_stack([scan.x[columns], scan.y[rows]]) - seconds[:, None] * moved
    inside = (np.abs(places) < 0.9 * scan.x[-1]).all(axis=1)
    expected = 1 + np.cos(places @ q)
    np.testing.assert_allclose(drifted.values[rows, columns][inside], expected[inside], atol=2e-3)


@settings(deadline=None, max_examples=15)
@given(width=st.floats(0.0, 0.1), ratio=st.floats(1, 2), angle=st.floats(0, np.pi), along=st.floats(0, 6.3))
def test_blur_takes_from_a_wave_what_a_gaussian_spot_takes(width, ratio, angle, along):
    q = 1.5 * np.array([np.cos(along), np.sin(along)])
    blurred = TipBlur(width, ratio, angle)(wave(q), np.random.default_rng(0))
    long, short = np.cos(along - angle) * 1.5, np.sin(along - angle) * 1.5
    exponent = ((10 * width * ratio * long) ** 2 + (10 * width * short) ** 2) / 2
    assert strength(blurred, q) == pytest.approx(np.exp(-exponent), abs=1e-4)
    assert blurred.values.mean() == pytest.approx(wave(q).values.mean(), rel=1e-3)


def test_tip_change_begins_at_its_line():
    q = np.array([1.3, 0.4])
    scan = wave(q)
    changed = TipChange(shift=0.2, height=10.0, at=0.25, angle=np.pi / 2)(scan, np.random.default_rng(0))
    np.testing.assert_array_equal(changed.values[:64], scan.values[:64])
    x, y = np.meshgrid(scan.x, scan.y + 2.0)
    expected = np.exp(-2 * decay_constant(4.5) * 0.1) * (1 + np.cos(q[0] * x + q[1] * y))
    np.testing.assert_allclose(changed.values[64:240, 20:-20], expected[64:240, 20:-20], atol=2e-3)


def test_finite_window_keeps_the_places_of_its_pixels(scan):
    cut = FiniteWindow(size=3.0)(scan, np.random.default_rng(0))
    assert cut.values.shape == (60, 60)
    row, column = np.abs(scan.y - cut.y[0]).argmin(), np.abs(scan.x - cut.x[0]).argmin()
    assert (scan.y[row], scan.x[column]) == (cut.y[0], cut.x[0])
    np.testing.assert_array_equal(cut.values, scan.values[row : row + 60, column : column + 60])
    with pytest.raises(ValueError, match=r"9 nm does not fit this map; 0\.1 to 4 nm"):
        FiniteWindow(size=9.0)(scan, np.random.default_rng(0))


def test_gain_drift_ends_this_far_from_where_it_began():
    rng = np.random.default_rng(1)
    gains = [GainDrift(percent=3.0)(flat(50, 2), rng).values / 2 for _ in range(2000)]
    walks = np.stack(gains)[..., 0] - 1
    assert np.all(walks[:, 0] == 0)
    assert walks[:, -1].std() == pytest.approx(0.03, rel=STATISTICS)
    # A random walk: a quarter of the scan moves it half as far.
    assert walks[:, 12].std() == pytest.approx(0.03 * np.sqrt(12 / 49), rel=STATISTICS)


def test_scan_lines_are_raised_by_picometres():
    noisy = ScanLineNoise(height=1.5, work_function=4.0)(flat(3000, 3), np.random.default_rng(2)).values
    assert np.ptp(noisy, axis=1).max() == 0
    height = -np.log(noisy[:, 0] / 2) / (2 * decay_constant(4.0)) * 100
    assert height.std() == pytest.approx(1.5, rel=STATISTICS)


def test_flicker_noise_falls_as_one_over_the_frequency():
    noisy = FlickerNoise(height=2.0)(flat(64, 4096), np.random.default_rng(3)).values
    height = -np.log(noisy / 2) / (2 * decay_constant()) * 100
    frequency, power = periodogram(height, window="hann", axis=1)
    inner = slice(4, 1500)
    slope, _ = np.polyfit(np.log(frequency[inner]), np.log(power.mean(axis=0)[inner]), 1)
    assert slope == pytest.approx(-1.0, abs=0.05)
    assert np.sqrt((height**2).mean()) == pytest.approx(2.0, rel=0.1)
    # It is one walk in time: neighbouring lines have much in common, distant ones little.
    lines = height.mean(axis=1)
    assert np.corrcoef(lines[:-1], lines[1:])[0, 1] > 0.2


def test_white_noise_is_a_share_of_the_mean():
    noise = WhiteNoise(percent=5.0)(flat(80, 90), np.random.default_rng(4)).values - 2.0
    assert noise.std() == pytest.approx(0.1, rel=STATISTICS)
    spectrum = np.abs(np.fft.fft2(noise)) ** 2 / noise.size
    for band in (spectrum[1:20], spectrum[30:50]):
        assert band.mean() == pytest.approx(0.01, rel=2 * STATISTICS)


def test_modulation_of_the_bias_averages_over_its_semicircle():
    bias = np.linspace(-0.06, 0.06, 121)
    rng = np.random.default_rng(0)
    wave = np.cos(bias / 0.01)[:, None] * np.array([1.0, 3.0])
    seen = LockIn(modulation=15.0)(wave, bias, rng)
    # The transform of the semicircle is 2 J₁(x)/x.
    expected = 2 * j1(1.5) / 1.5 * wave
    np.testing.assert_allclose(seen[16:-16], expected[16:-16], atol=0.005)
    np.testing.assert_allclose(LockIn(modulation=0.0)(wave, bias, rng), wave, atol=1e-12)


def test_offset_of_the_bias_shifts_to_either_side():
    bias, rng = np.linspace(-0.06, 0.06, 13), np.random.default_rng(0)
    seen = np.array([LockIn(modulation=2.0, offset=4.0)(bias, bias, rng)[6] for _ in range(20)])
    np.testing.assert_allclose(np.unique(np.round(seen, 9)), [-0.004, 0.004])


def test_a_pair_is_drawn_anew_at_every_call(scan):
    step, rng = WhiteNoise(percent=(1.0, 5.0)), np.random.default_rng(0)
    levels = [(step(scan, rng).values - scan.values).std() / scan.values.mean() * 100 for _ in range(60)]
    assert 0.9 < min(levels) < 1.7 and 4.3 < max(levels) < 5.2
    assert step.describe() == "white noise 1–5 %"
    assert ThermalDrift(rate=0.2).describe() == "thermal drift 0.2 nm/min"


@pytest.mark.parametrize("name", ["mild", "strain", "noisy"])
def test_presets_follow_their_seed(scan, name):
    preset = Imperfections.preset(name)
    first, again, other = (preset(scan, np.random.default_rng(seed)).values for seed in (8, 8, 9))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


def test_steps_act_in_their_order(scan):
    window, noise = FiniteWindow(size=2.0), GainDrift(percent=5.0)
    both = Imperfections((window, noise))(scan, np.random.default_rng(1)).values
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(both, noise(window(scan, rng), rng).values)
    assert not np.array_equal(both, Imperfections((noise, window))(scan, np.random.default_rng(1)).values)


def test_presets_differ_in_what_they_leave_of_the_peaks():
    cell = TwistedBilayer(i=2)
    ldos = np.random.default_rng(3).uniform(0.1, 1.0, cell.n_atoms)
    scan = SurfaceLDOS.above(cell, ldos).scan(160, pixel=0.6)
    _, vectors = bragg_amplitudes(cell, ldos)
    clean = scan_amplitudes(scan, vectors[1:7])

    def error(name):
        preset, rng = Imperfections.preset(name), np.random.default_rng(0)
        seen = np.stack([scan_amplitudes(preset(scan, rng), vectors[1:7]) for _ in range(12)])
        return np.linalg.norm(seen - clean) / np.linalg.norm(clean) / np.sqrt(12)

    assert error("mild") < 0.1 < error("noisy")
    assert error("mild") < error("strain")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WhiteNoise(percent=-1.0), "percent of the white noise is -1"),
        (lambda: WhiteNoise(percent=None), "percent of the white noise is None"),
        (lambda: UniaxialStrain(1.0, angle=(0.0, np.inf)), "a finite number, or"),
        (lambda: TipBlur(width=(0.2, 0.1)), "the lower end comes first"),
        (lambda: ThermalDrift(rate=np.nan), "rate of the thermal drift is nan"),
        (lambda: GainDrift(percent=(1.0, 2.0, 3.0)), "a pair of them"),
        (lambda: LockIn(modulation=(2.0, 1.0)), "modulation of the lock-in is"),
        (lambda: LockIn(2.0)(np.ones((3, 4)), [0.0, 0.1], np.random.default_rng(0)), "ascending biases"),
        (lambda: Imperfections.preset("awful"), "'mild', 'strain' and 'noisy'"),
        (lambda: PixelImperfections.preset("strain"), "'mild', 'symb' and 'noisy'"),
        (lambda: PixelImperfections.preset("mild")(np.ones(3), np.random.default_rng(0)), "one finite"),
    ],
)
def test_bad_parameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_pixel_presets_happen_with_the_chances_of_the_original():
    rng = np.random.default_rng(0)
    picture = rng.random((6, 6))
    before = picture.copy()
    untouched = {
        name: np.mean(
            [np.array_equal(PixelImperfections.preset(name)(picture, rng), picture) for _ in range(3000)]
        )
        for name in ("mild", "symb", "noisy")
    }
    assert untouched["mild"] == pytest.approx(0.7 * 0.7 * 0.8, abs=0.03)
    assert untouched["symb"] == pytest.approx(0.2 * 0.7, abs=0.03)
    assert untouched["noisy"] == pytest.approx(0.7**3 * 0.75, abs=0.03)
    np.testing.assert_array_equal(picture, before)


def test_pixel_strain_enlarges_the_picture_about_its_centre():
    always = PixelImperfections(chances=(1, 0, 0, 0, 0), strain=(0.03, 0.03))
    y, x = np.mgrid[-40:41, -40:41]
    spots = np.exp(-((x - 20) ** 2 + y**2) / 8) + 2 * np.exp(-(x**2 + (y - 20) ** 2) / 8)
    strained = always(spots, np.random.default_rng(0))
    below = strained * (y > 10)
    beside = strained * ((y <= 10) & (x > 10))
    for image, place in ((beside, (20.6, 0.0)), (below, (20.6 * np.tan(np.deg2rad(0.3)), 20.6))):
        centre = (image * x).sum() / image.sum(), (image * y).sum() / image.sum()
        assert centre == pytest.approx(place, abs=0.1)


def test_pixel_blur_keeps_the_weight_and_spreads_it():
    always = PixelImperfections(chances=(0, 0, 0, 1, 0), blur=(1.2, 1.2), ratio=(1.5, 1.5))
    picture = np.zeros((31, 31))
    picture[15, 15] = 1.0
    blurred = always(picture, np.random.default_rng(0))
    y, x = np.mgrid[-15:16, -15:16]
    assert blurred.sum() == pytest.approx(1.0)
    assert (blurred * (x**2 + y**2)).sum() == pytest.approx(1.2**2 * (1 + 1.5**2), rel=1e-3)


def test_pixel_noise_and_gain_stay_in_their_ranges():
    rng = np.random.default_rng(0)
    rows = PixelImperfections(chances=(0, 0, 1, 0, 0), lines=(0.01, 0.01))(np.zeros((2000, 2)), rng)
    assert np.ptp(rows, axis=1).max() == 0 and rows[:, 0].std() == pytest.approx(0.01, rel=STATISTICS)
    white = PixelImperfections(chances=(0, 1, 0, 0, 0), white=(0.02, 0.02))(np.zeros((60, 60)), rng)
    assert white.std() == pytest.approx(0.02, rel=STATISTICS)
    gain = PixelImperfections(chances=(0, 0, 0, 0, 1), gain=(0.9, 1.1))
    levels = np.array([gain(np.array([[0.0, 1.0]]), rng)[0] for _ in range(500)])
    assert np.abs(levels[:, 0]).max() <= 0.01 and np.abs(levels[:, 0]).max() > 0.009
    scale = levels[:, 1] - levels[:, 0]
    assert 0.9 <= scale.min() < 0.905 and 1.095 < scale.max() <= 1.1
