"""The moving picture of a Hartree–Fock iteration shows the densities that it went through."""

from itertools import pairwise

import numpy as np
import pytest

from stm_core.imaging import layer_mask
from stm_core.simulation import HartreeFock, TightBinding, TwistedBilayer
from stm_core.viewing import convergence_figure, figure_html

WEIGHT = 1e5  # bytes, of the text of the figure of a run on 28 atoms


@pytest.fixture(scope="module")
def run():
    """A run of few atoms, and what its callback was told."""
    told = []
    problem = HartreeFock(TightBinding(TwistedBilayer(1, 3.0)), 4.0, nk=2)
    return problem.solve(seed=0, callback=told.append, progress=False), told


def drawn(run, **options):
    state, told = run
    steps = [(step.before, step.density) for step in told]
    return convergence_figure(state.crystal, steps, state.history, **options)


def test_it_has_a_stop_for_the_start_and_one_for_each_iteration(run):
    state, figure = run[0], drawn(run)
    steps = figure.layout.sliders[0].steps
    assert len(figure.frames) == len(steps) == state.iterations + 1
    assert [step.args[0][0] for step in steps] == [frame.name for frame in figure.frames]
    assert steps[0].label.startswith("0, the start") and steps[-1].label == str(state.iterations)
    play, pause = figure.layout.updatemenus[0].buttons
    assert list(play.args[0]) == [frame.name for frame in figure.frames]
    assert (play.label, pause.label, list(pause.args[0])) == ("Play", "Pause", [None])


def test_each_stop_shows_the_moment_and_the_change_of_its_iteration(run):
    (state, told), figure = run, drawn(run)
    top = layer_mask(state.crystal.layer, "top")
    moments = [told[0].before, *(step.density for step in told)]
    for frame, density in zip(figure.frames, moments, strict=True):
        expected = (density[0] - density[1])[top]
        np.testing.assert_allclose(frame.data[0].marker.color, expected, atol=1e-7)
    floor = 10.0 ** figure.data[3].marker.cmin
    for frame, step in zip(figure.frames[1:], told, strict=True):
        change = np.abs(step.density - step.before).max(axis=0)[top]
        np.testing.assert_allclose(
            10.0 ** np.asarray(frame.data[1].marker.color), np.maximum(change, floor), rtol=1e-5
        )
        assert list(frame.data[2].x) == [step.number]
        assert frame.data[2].y[0] == pytest.approx(step.residual)
    pictures = [frame.data[1].marker.color for frame in figure.frames]
    assert all(not np.array_equal(one, other) for one, other in pairwise(pictures))
    assert figure.data[3].marker.cmin < figure.data[3].marker.cmax


def test_the_marks_go_along_the_curves_of_residual_and_energy(run):
    state, figure = run[0], drawn(run, tolerance=1e-6)
    residual, energy = figure.data[:2]
    np.testing.assert_allclose(residual.y, state.history[:, 0], rtol=1e-6)
    above = np.abs(state.history[:-1, 1] - state.history[-1, 1])
    np.testing.assert_allclose(np.nan_to_num(energy.y[:-1]), above, rtol=1e-5)
    assert figure.layout.shapes[0].y0 == 1e-6
    assert len(figure.frames[0].data[2].x) == 0, "the start has no residual"
    for number, frame in enumerate(figure.frames[1:-1], start=1):
        if above[number - 1] > 0:
            assert frame.data[3].y[0] == pytest.approx(above[number - 1])


def test_the_atoms_are_sent_once_around_the_stacking_in_their_middle(run):
    figure = drawn(run)
    assert all(frame.data[0].x is None for frame in figure.frames)
    cell = run[0].crystal
    shown = np.stack([figure.data[2].x, figure.data[2].y], axis=1)
    assert np.abs(shown @ np.linalg.inv(cell.lattice)).max() <= 0.5 + 1e-6
    assert len(figure_html(figure)) < WEIGHT


def test_steps_and_history_belong_together(run):
    state, told = run
    steps = [(step.before, step.density) for step in told]
    with pytest.raises(ValueError, match="are needed"):
        convergence_figure(state.crystal, steps[:-1], state.history)
    with pytest.raises(ValueError, match=r"2, 2, 28\) are needed"):
        convergence_figure(state.crystal, np.zeros((len(told), 2, 2, 5)), state.history)
