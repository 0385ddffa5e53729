"""Pictures of a dataset show every sample once, where it belongs."""

import numpy as np
import pytest
from matplotlib.colors import LogNorm

from stm_core.data import load_dataset
from stm_core.viewing import branch_figure, filling_name, sample_map, spectrum_map


@pytest.fixture(scope="module")
def ds(small_dataset_path):
    """The small sweep, as if every other U had been solved at another filling, and one sample not at all."""
    ds = load_dataset(small_dataset_path, converged_only=False).load()
    converged = np.ones(ds.sizes["sample"], dtype=bool)
    converged[5] = False
    filling = np.where(np.rint(ds.U) == ds.U, 0.0, -2.0)
    return ds.assign_coords(filling=("sample", filling)).assign(converged=("sample", converged))


def test_names_of_fillings():
    assert [filling_name(value) for value in (0.0, 2.0, -3.0, 0.5)] == [
        "ν = 0",
        "ν = +2",
        "ν = −3",
        "ν = +0.5",
    ]


def test_every_sample_is_on_the_map_in_its_row_and_colour(ds):
    phases = np.where(ds.U < 2, "KIVC", "symmetric")
    (axes,) = sample_map(ds, phases).axes
    rows = [label.get_text() for label in axes.get_yticklabels()]
    assert rows == ["ν = 0, sublattice", "ν = 0, spin", "ν = −2, sublattice", "ν = −2, spin"]
    drawn = {points.get_label(): np.asarray(points.get_offsets()) for points in axes.collections}
    assert set(drawn) == {"KIVC", "symmetric", "not converged", "lowest"}
    for name, mask in {
        "KIVC": (phases == "KIVC") & ds.converged.values,
        "symmetric": (phases == "symmetric") & ds.converged.values,
        "not converged": ~ds.converged.values,
        "lowest": ds.ground.values,
    }.items():
        expected = {
            (U, f"{filling_name(filling)}, {start}")
            for U, filling, start in zip(
                ds.U.values[mask], ds.filling.values[mask], ds.start.values[mask], strict=True
            )
        }
        assert {(U, rows[round(row)]) for U, row in drawn[name]} == expected


def test_branches_have_a_panel_for_each_filling_and_one_entry_in_the_legend(ds):
    quantities = {"gap (eV)": ds.gap.values, "energy (eV)": ds.energy.values}
    figure = branch_figure(ds, quantities, notes=np.full(ds.sizes["sample"], "KIVC"))
    assert [note.text for note in figure.layout.annotations] == ["ν = −2", "ν = 0"]
    assert sorted(trace.name for trace in figure.data) == ["spin", "spin", "sublattice", "sublattice"]
    assert sorted(trace.name for trace in figure.data if trace.showlegend) == ["spin", "sublattice"]
    assert sum(len(trace.x) for trace in figure.data) == ds.sizes["sample"]
    for button, values in zip(figure.layout.updatemenus[0].buttons, quantities.values(), strict=True):
        for trace, y in zip(figure.data, button.args[0]["y"], strict=True):
            filling = -2.0 if trace.xaxis == "x" else 0.0
            chosen = (ds.filling.values == filling) & (ds.start.values == trace.name)
            order = np.argsort(ds.U.values[chosen])
            np.testing.assert_allclose(trace.x, ds.U.values[chosen][order], rtol=1e-6)
            np.testing.assert_allclose(y, values[chosen][order], rtol=1e-6)
    assert figure.layout.yaxis.title.text == "gap (eV)"
    assert not branch_figure(ds, {"gap (eV)": ds.gap.values}).layout.updatemenus
    with pytest.raises(ValueError, match="at least one quantity"):
        branch_figure(ds, {})


def test_any_number_of_fillings_has_its_spectra(ds):
    """Four panels in rows of three: what nobody needs is not drawn, and every column says its U."""
    four = ds.assign_coords(filling=("sample", np.arange(ds.sizes["sample"]) % 4 - 1.0))
    four = four.assign(ground=("sample", np.ones(ds.sizes["sample"], dtype=bool)))
    figure = spectrum_map(four)
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["ν = −1", "ν = 0", "ν = +1", "ν = +2"]
    assert all(axes.xaxis.get_tick_params()["labelbottom"] for axes in panels[1:])
    assert panels[3].get_ylabel() == "bias (meV)"


def test_spectra_are_the_mean_over_the_layer_of_the_lowest_states(ds):
    figure = spectrum_map(ds, layer=0)
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["ν = −2", "ν = 0"]
    for axes, filling in zip(panels, (-2.0, 0.0), strict=True):
        chosen = np.flatnonzero(ds.ground.values & (ds.filling.values == filling))
        chosen = chosen[np.argsort(ds.U.values[chosen])]
        expected = ds.ldos.values[chosen][..., ds.layer.values == 0].mean(axis=-1).T
        (mesh,) = axes.collections
        np.testing.assert_allclose(np.asarray(mesh.get_array()), expected)
        assert isinstance(mesh.norm, LogNorm)
        across = mesh.get_coordinates()[..., 0]
        assert (across.min(), across.max()) == (ds.U.values[chosen].min(), ds.U.values[chosen].max())
