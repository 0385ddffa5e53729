"""The converged mean field: what the solver returns, saves and loads."""

import os
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .coulomb import GateScreenedCoulomb
from .lattice import Crystal, TwistedBilayer
from .observables import LAYERS, fermi, indirect_gap, local_density_of_states, order_parameters
from .starts import intralayer_bonds


@dataclass(frozen=True, eq=False)
class HartreeFockState:
    """A Hartree-Fock state of N atoms on n_k k-points; spins are ordered (up, down).

    Attributes
    ----------
    crystal : Crystal
    U, filling, temperature : float
        In eV, electrons per cell from neutrality, eV.
    nk : int
        k-points per direction.
    coulomb : GateScreenedCoulomb or None
    start : str
        Kind of start the solution grew from.
    orbitals : (2, n_k, N, N) array
        Columns are the Bloch states.
    energies : (2, n_k, N) array
        Levels in eV, ascending.
    chemical_potential, total_energy : float
        In eV; the energy is per cell.
    history : (iterations, 2) array
        Residual max|Δρ| and total energy (eV) of each iteration.
    converged : bool
    """

    crystal: Crystal
    U: float
    filling: float
    nk: int
    temperature: float
    coulomb: GateScreenedCoulomb | None
    start: str
    orbitals: NDArray
    energies: NDArray[np.float64]
    chemical_potential: float
    total_energy: float
    history: NDArray[np.float64]
    converged: bool

    @property
    def residual(self) -> float:
        """Largest change of a density-matrix element in the last iteration."""
        return float(self.history[-1, 0])

    @property
    def iterations(self) -> int:
        """Iterations taken."""
        return len(self.history)

    @property
    def occupations(self) -> NDArray[np.float64]:
        """Fermi occupation of every level, (2, n_k, N)."""
        return fermi(self.energies - self.chemical_potential, self.temperature)

    @cached_property
    def density(self) -> NDArray[np.float64]:
        """Electrons per atom and spin, (2, N)."""
        weights = np.abs(self.orbitals) ** 2
        return np.einsum("skin,skn->si", weights, self.occupations, optimize=True) / self.nk**2

    @property
    def gap(self) -> float:
        """Indirect gap in eV, 0 for a metal."""
        return indirect_gap(self.energies, self.crystal.n_atoms + self.filling)

    def bond_order(self) -> NDArray[np.complex128]:
        """⟨c†_B c_A⟩ summed over spins on every nearest-neighbour bond inside the layers, (n_bonds,)."""
        bonds = intralayer_bonds(self.crystal)
        result: NDArray[np.complex128] = np.zeros(len(bonds.source), dtype=complex)
        for index, k in enumerate(self.crystal.k_grid(self.nk)):
            phase = np.exp(-1j * bonds.cell @ self.crystal.lattice @ k)
            for orbitals, occupation in zip(self.orbitals[:, index], self.occupations[:, index], strict=True):
                pairs = (orbitals[bonds.source] * occupation) * orbitals[bonds.target].conj()
                result += phase * pairs.sum(axis=1)
        return np.asarray(result / self.nk**2, dtype=complex)

    def order_parameters(self) -> dict[str, float]:
        """Numbers that tell broken-symmetry states apart; see ``observables.order_parameters``."""
        bonds = self.bond_order() if isinstance(self.crystal, TwistedBilayer) else None
        return order_parameters(self.crystal, self.density, bonds)

    def ldos(
        self,
        bias: Sequence[float] | NDArray[np.float64] = (0.0,),
        broadening: float = 0.005,
        layer: str = "top",
    ) -> NDArray[np.float64]:
        """Local density of states at a series of biases.

        Parameters
        ----------
        bias : (n_bias,) floats
            Energies from the chemical potential, in eV.
        broadening : float
            Effective thermal width w of the tunnelling resolution, in eV.
        layer : {"top", "bottom", "both"}
            A microscope sees the top layer.

        Returns
        -------
        (n_bias, n_atoms of the layer) float array
            States per eV and atom, both spins together.

        Raises
        ------
        ValueError
            For an unknown layer or a broadening that is not positive.
        """
        if layer not in LAYERS:
            raise ValueError(f"layer must be one of {', '.join(LAYERS)}, not {layer!r}")
        if not broadening > 0:
            raise ValueError(f"the broadening must be positive (eV), not {broadening}")
        bias = np.atleast_1d(np.asarray(bias, dtype=float))
        levels = self.energies - self.chemical_potential
        # Levels 40 widths outside the window weigh less than 1e-16.
        near = (levels > bias.min() - 40 * broadening) & (levels < bias.max() + 40 * broadening)
        columns = np.nonzero(near.any(axis=(0, 1)))[0]
        if columns.size == 0:
            columns = np.arange(levels.shape[2])
        span = slice(columns[0], columns[-1] + 1)
        atoms = np.isin(self.crystal.layer, LAYERS[layer])
        weights = np.abs(self.orbitals[:, :, atoms, span]) ** 2
        return local_density_of_states(weights, levels[:, :, span], bias, broadening)

    def save(self, path: str | Path) -> None:
        """Write the state to an ``.npz`` file, beside first and then renamed."""
        path = Path(path)
        crystal = self.crystal
        if isinstance(crystal, TwistedBilayer):
            geometry = {"twist": np.array([crystal.i, crystal.spacing])}
        else:
            geometry = {
                name: getattr(crystal, name) for name in ("positions", "lattice", "layer", "sublattice")
            }
        coulomb = {} if self.coulomb is None else {"coulomb": np.array(list(asdict(self.coulomb).values()))}
        scalars = {name: np.array(getattr(self, name)) for name in _SCALARS}
        arrays = {name: getattr(self, name) for name in ("orbitals", "energies", "history")}
        stored: dict[str, Any] = {**geometry, **coulomb, **scalars, **arrays}
        beside = path.with_name(path.name + ".part")
        with open(beside, "wb") as stream:
            np.savez(stream, allow_pickle=False, **stored)
        os.replace(beside, path)

    @classmethod
    def load(cls, path: str | Path) -> "HartreeFockState":
        """Read a state written by ``save``.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is truncated or not a saved state.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                data = dict(stored)
            if "twist" in data:
                crystal: Crystal = TwistedBilayer(int(data["twist"][0]), float(data["twist"][1]))
            else:
                crystal = Crystal(data["positions"], data["lattice"], data["layer"], data["sublattice"])
            coulomb = GateScreenedCoulomb(*map(float, data["coulomb"])) if "coulomb" in data else None
            scalars = {name: data[name].item() for name in _SCALARS}
            arrays = {name: data[name] for name in ("orbitals", "energies", "history")}
        except (zipfile.BadZipFile, KeyError, EOFError, OSError, ValueError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise ValueError(
                f"{path} is not a complete Hartree-Fock state written by HartreeFockState.save"
            ) from error
        return cls(crystal=crystal, coulomb=coulomb, **scalars, **arrays)


_SCALARS = ("U", "filling", "nk", "temperature", "start", "chemical_potential", "total_energy", "converged")
