"""The magic-angle cell: its mean field and LDOS as one small labelled file."""

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from stm_core.files import replacing
from stm_core.simulation import GateScreenedCoulomb, TightBinding, TwistedBilayer
from stm_core.simulation.large_cell import LargeCell, LargeCellIteration, LargeCellState
from stm_core.simulation.sparse import WindowLevels

RECORDED = Path(__file__).parents[2] / "notebooks" / "data" / "magic_angle.nc"
"""The mean field of i = 30 that comes with the study."""

BIAS = np.linspace(-0.06, 0.06, 13)
BROADENINGS = np.array([0.001, 0.005])

_LDOS_WINDOW = 0.2  # eV: beyond it the widest kernel at the largest bias is below a 1e-9th of its peak
_UNITS = {
    "bias": ("eV", "energy from the chemical potential"),
    "broadening": ("eV", "width of the thermal kernel"),
    "ldos": ("1/eV", "local density of states per atom, both spins"),
    "charge": ("electrons", "electrons per atom, both spins"),
    "potential": ("eV", "mean-field potential of each atom"),
    "orbit_of_atom": ("1", "which set of symmetry-related atoms each atom belongs to"),
    "level_energy": (
        "eV",
        "levels of one spin on the k-grid of the LDOS, not measured from the Fermi energy",
    ),
    "level_share": ("1", "states per cell that a level stands for"),
    "history": ("eV", "largest difference between the potential put in and the one that came out"),
}


def magic_angle_study(
    path: str | Path,
    i: int = 30,
    spacing: float = 3.35,
    U: float = 3.0,
    coulomb: GateScreenedCoulomb | None = None,
    nk: int = 3,
    ldos_nk: int = 6,
    window: float = 0.5,
) -> xr.Dataset:
    """Solve a large neutral cell, take its LDOS and write both to a NetCDF file.

    The potential of each iteration is kept in ``<path>.potential.npy`` until the file is written; an
    interrupted study goes on from it.

    Parameters
    ----------
    path : path
        File to make; its folder must exist.
    i : int
        Twist index.
    spacing : float
        Distance between the layers, in Å.
    U : float
        On-site repulsion, in eV.
    coulomb : GateScreenedCoulomb, optional
        Long-range repulsion; by default that of the rest of the study.
    nk, ldos_nk : int
        k-points per direction for the mean field and for the LDOS.
    window : float
        Half-width in eV of ``LargeCell``.

    Returns
    -------
    xarray.Dataset
        As ``load_magic_angle`` returns it.
    """
    cell = LargeCell(
        TightBinding(TwistedBilayer(i, spacing)), U, coulomb or GateScreenedCoulomb(), nk=nk, window=window
    )
    unfinished = Path(f"{path}.potential.npy")

    def keep(iteration: LargeCellIteration) -> None:
        with replacing(unfinished) as beside, open(beside, "wb") as stream:
            np.save(stream, iteration.potential)

    start = np.load(unfinished) if unfinished.exists() else None
    state = cell.solve(start=start, callback=keep)
    levels = cell.levels(state.potential, nk=ldos_nk, window=_LDOS_WINDOW)
    with replacing(path) as beside:
        label(cell, state, levels, ldos_nk).to_netcdf(beside, engine="h5netcdf")
    unfinished.unlink()
    return load_magic_angle(path)


def label(cell: LargeCell, state: LargeCellState, levels: WindowLevels, ldos_nk: int) -> xr.Dataset:
    """Dataset of a state and its levels, with one entry for all atoms that D6 relates.

    Parameters
    ----------
    cell : LargeCell
        The problem.
    state : LargeCellState
        Its solution.
    levels : WindowLevels
        Levels in the potential of the state.
    ldos_nk : int
        k-points per direction that the levels were taken on.
    """
    orbits, crystal = cell.orbits, cell.orbits.crystal
    mu = levels.chemical_potential(cell.electrons, cell.temperature)
    ldos = np.stack([levels.ldos(BIAS, width, mu)[:, orbits.first] for width in BROADENINGS])
    near = np.abs(levels.energies - levels.centre) < levels.half_width
    variables: dict[str, tuple[tuple[str, ...], ArrayLike]] = {
        "ldos": (("broadening", "bias", "orbit"), ldos.astype(np.float32)),
        "charge": (("orbit",), state.density[orbits.first]),
        "potential": (("orbit",), state.potential[orbits.first]),
        "orbit_of_atom": (("atom",), orbits.of_atom.astype(np.int32)),
        "level_energy": (("level",), levels.energies[near]),
        "level_share": (("level",), levels.share[near]),
        "history": (("iteration",), state.history),
    }
    ds = xr.Dataset(variables, {"bias": BIAS, "broadening": BROADENINGS})
    for name, (unit, meaning) in _UNITS.items():
        ds[name].attrs.update(units=unit, long_name=meaning)
    ds.attrs.update(
        i=crystal.i,
        spacing_angstrom=crystal.spacing,
        angle_deg=float(np.degrees(crystal.angle)),
        hopping_cutoff_angstrom=cell.model.cutoff,
        U_eV=cell.U,
        filling_electrons_per_cell=cell.electrons - crystal.n_atoms,
        temperature_eV=cell.temperature,
        nk=cell.nk,
        ldos_nk=ldos_nk,
        window_eV=cell.window,
        chemical_potential_eV=mu,
        converged=int(state.converged),
    )
    if cell.coulomb is not None:
        ds.attrs.update(epsilon=cell.coulomb.epsilon, gate_distance_angstrom=cell.coulomb.gate_distance)
    return ds


def load_magic_angle(path: str | Path = RECORDED) -> xr.Dataset:
    """Mean field and LDOS of the magic-angle cell.

    Parameters
    ----------
    path : path
        A file written by ``magic_angle_study``.

    Returns
    -------
    xarray.Dataset
        ``ldos`` (broadening, bias, atom), ``charge``, ``potential`` (atom) with the coordinates x, y,
        z (Å), layer and sublattice of the atoms, ``level_energy``, ``level_share`` (level),
        ``history`` (iteration); parameters and their units in the attributes.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not such a dataset.
    """
    try:
        with xr.open_dataset(path, engine="h5netcdf") as stored:
            ds = stored.load()
        crystal = TwistedBilayer(int(ds.attrs["i"]), float(ds.attrs["spacing_angstrom"]))
        ds = ds.isel(orbit=ds["orbit_of_atom"]).drop_vars("orbit_of_atom")
    except FileNotFoundError:
        raise
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path} is not a dataset written by magic_angle_study") from error
    columns: dict[str, NDArray] = dict(zip("xyz", crystal.positions.T, strict=True))
    columns.update(layer=crystal.layer, sublattice=crystal.sublattice)
    return ds.assign_coords({name: (("atom",), values) for name, values in columns.items()})
