"""The large-cell study as a file, and the recorded magic-angle cell."""

import numpy as np
import pytest
import scipy.sparse as sp

from stm_core.data.magic_angle import RECORDED, load_magic_angle, magic_angle_study
from stm_core.simulation import GateScreenedCoulomb, TightBinding, TwistedBilayer
from stm_core.simulation.orbits import Orbits


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "cell.nc"
    return path, magic_angle_study(path, i=4, spacing=3.0, nk=2, ldos_nk=2, window=1.5)


@pytest.fixture(scope="module")
def recorded():
    return load_magic_angle()


def test_study_is_labelled(small):
    path, ds = small
    assert [p.name for p in path.parent.iterdir()] == ["cell.nc"]
    assert ds.sizes["atom"] == 244 and ds.ldos.dims == ("broadening", "bias", "atom")
    assert ds.attrs["converged"] == 1
    assert float(ds.charge.sum()) == pytest.approx(244, abs=1e-9)
    assert all("units" in ds[name].attrs for name in ("ldos", "charge", "potential", "level_energy"))
    for permutation in TwistedBilayer(4, 3.0).point_group.values():
        np.testing.assert_array_equal(ds.ldos.values[..., permutation], ds.ldos.values)


def test_an_interrupted_study_goes_on(small, tmp_path):
    _, ds = small
    path = tmp_path / "cell.nc"
    np.save(f"{path}.potential.npy", ds.potential.values)
    again = magic_angle_study(path, i=4, spacing=3.0, nk=2, ldos_nk=2, window=1.5)
    assert again.sizes["iteration"] == 1
    np.testing.assert_allclose(again.charge, ds.charge, atol=1e-12)
    np.testing.assert_allclose(again.ldos, ds.ldos, rtol=1e-5, atol=1e-7)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_magic_angle(tmp_path / "none.nc")
    (tmp_path / "text.nc").write_text("nothing")
    with pytest.raises(ValueError, match="not a dataset written by magic_angle_study"):
        load_magic_angle(tmp_path / "text.nc")


def test_recorded_cell_is_converged_neutral_and_small(recorded):
    assert RECORDED.stat().st_size < 2e6
    assert recorded.attrs["converged"] == 1 and recorded.history[-1] < 1e-5
    assert recorded.sizes["atom"] == 11164
    assert float(recorded.charge.sum()) == pytest.approx(11164, abs=1e-6)
    assert np.all(recorded.ldos >= 0)


def test_recorded_levels_at_gamma_follow_from_the_recorded_potential(recorded):
    crystal = TwistedBilayer(recorded.attrs["i"], recorded.attrs["spacing_angstrom"])
    model = TightBinding(crystal, recorded.attrs["hopping_cutoff_angstrom"])
    pairs, n = model.pairs, crystal.n_atoms
    h = sp.coo_array((model.values, (pairs.source, pairs.target)), shape=(n, n)).tocsr()
    levels = Orbits(crystal).eigenstates(h + sp.diags_array(recorded.potential.values).tocsr()).energies
    stored = np.sort(recorded.level_energy)
    inside = levels[(levels > stored[0]) & (levels < stored[-1])]
    nearest = np.abs(inside[:, None] - stored).min(axis=1)
    assert len(inside) > 8
    assert nearest.max() < 1e-9


def test_recorded_potential_is_that_of_the_recorded_charge(recorded):
    """By the plain sum over images, for one atom in an AA and one outside."""
    coulomb = GateScreenedCoulomb(recorded.attrs["epsilon"], recorded.attrs["gate_distance_angstrom"])
    crystal = TwistedBilayer(recorded.attrs["i"], recorded.attrs["spacing_angstrom"])
    excess = recorded.charge.values - 1
    reach = 6 * coulomb.gate_distance  # the potential of a gated charge falls like e^{-πr/2D}
    cells = (
        np.stack(np.meshgrid(np.arange(-6, 7), np.arange(-6, 7)), axis=-1).reshape(-1, 2) @ crystal.lattice
    )
    for atom in (int(np.argmax(excess)), int(np.argmin(excess))):
        offset = crystal.positions - crystal.positions[atom]
        potential = recorded.attrs["U_eV"] * excess[atom] / 2
        for shift in cells:
            r = np.hypot(np.hypot(offset[:, 0] + shift[0], offset[:, 1] + shift[1]), offset[:, 2])
            near = (r < reach) & (r > 1e-6)
            potential += float(coulomb(r[near]) @ excess[near])
        assert potential == pytest.approx(float(recorded.potential[atom]), abs=1e-4)
