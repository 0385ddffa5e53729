"""The dataset of a sweep: one NetCDF file, described by itself and checked when opened."""

import hashlib
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stm_core.files import replacing
from stm_core.simulation import TwistedBilayer

from .registry import observables
from .selection import ground_states

log = logging.getLogger(__name__)

SCHEMA = "stm-hubbard-2"

SHIPPED = Path(__file__).parents[2] / "notebooks" / "data" / "sweep.nc"
"""The Hartree-Fock sweep that comes with the study."""

KEPT_BITS = 16
"""Bits of the mantissa that the stored LDOS keeps: a relative error of at most 2⁻¹⁷, or 8·10⁻⁶."""

_Description = tuple[tuple[str, ...], str, str, str]  # dimensions, kind of number, unit, meaning
_SAMPLE, _ATOM = ("sample",), ("atom",)
_VARIABLES: dict[str, _Description] = {
    "U": (_SAMPLE, "f", "eV", "on-site interaction"),
    "filling": (_SAMPLE, "f", "electrons per cell", "electrons from neutrality"),
    "seed": (_SAMPLE, "i", "1", "seed of the symmetry-breaking field"),
    "start": (_SAMPLE, "U", "1", "kind of field that the branch grew from"),
    "previous_U": (_SAMPLE, "f", "eV", "U of the sample that this one started from; -1 for its own field"),
    "bias": (("bias",), "f", "eV", "energy from the chemical potential"),
    "x": (_ATOM, "f", "Å", "position"),
    "y": (_ATOM, "f", "Å", "position"),
    "z": (_ATOM, "f", "Å", "position"),
    "layer": (_ATOM, "i", "1", "0 bottom, 1 top"),
    "sublattice": (_ATOM, "i", "1", "0 A, 1 B"),
    "ldos": (("sample", "bias", "atom"), "f", "1/eV", "local density of states per atom, both spins"),
    "residual": (
        _SAMPLE,
        "f",
        "electrons",
        "change of the density matrix in the last iteration",
    ),
    "iterations": (_SAMPLE, "i", "1", "iterations taken"),
    "converged": (_SAMPLE, "b", "1", "whether the residual went below the tolerance"),
    "code_version": (_SAMPLE, "U", "1", "version of the library and hash of its simulation code"),
    "ground": (_SAMPLE, "b", "1", "lowest energy among the converged samples of equal U and filling"),
    "order_staggered_spin": (_SAMPLE, "f", "electrons", "spin of sublattice A minus B, per atom"),
    "order_sublattice": (_SAMPLE, "f", "electrons", "charge of sublattice A minus B, per atom"),
    "order_total_spin": (_SAMPLE, "f", "electrons per cell", "spin up minus spin down"),
    "order_layer": (_SAMPLE, "f", "electrons per cell", "charge of the top layer minus the bottom layer"),
    "order_maximum_moment": (_SAMPLE, "f", "electrons", "largest spin of an atom"),
    "order_charge_modulation": (_SAMPLE, "f", "electrons", "largest minus smallest charge of an atom"),
    "order_c3_breaking": (_SAMPLE, "f", "1", "share of the charge that a threefold turn changes"),
    "order_kekule": (_SAMPLE, "f", "electrons", "Kekulé modulation of the bond order, per bond"),
    "order_kekule_current": (_SAMPLE, "f", "electrons", "Kekulé modulation of the bond current, per bond"),
    "order_spin_polarisation": (_SAMPLE, "f", "1", "flat bands: spin, 1 where saturated"),
    "order_valley_polarisation": (_SAMPLE, "f", "1", "flat bands: valley K minus K', 1 where saturated"),
    "order_sublattice_polarisation": (_SAMPLE, "f", "1", "flat bands: A minus B, 1 where saturated"),
    "order_antiferromagnetism": (_SAMPLE, "f", "1", "flat bands: opposite spins on the sublattices"),
    "order_spin_valley_locking": (_SAMPLE, "f", "1", "flat bands: opposite spins in the valleys"),
    "order_anomalous_hall": (_SAMPLE, "f", "1", "flat bands: opposite sublattices in the valleys"),
    "order_spin_hall": (_SAMPLE, "f", "1", "flat bands: opposite sublattices by valley and spin"),
    "order_t_ivc": (_SAMPLE, "f", "1", "flat bands: intervalley coherence even under time reversal"),
    "order_k_ivc": (_SAMPLE, "f", "1", "flat bands: intervalley coherence of the Kramers kind"),
    "order_nematicity": (_SAMPLE, "f", "1", "flat bands: what a threefold turn changes"),
    "phase": (_SAMPLE, "U", "1", "the flat-band orders that are strong, by name"),
}
_OBSERVED = ("charge", "magnetisation", "energy", "chemical_potential", "levels", "gap")
"""Observables that every dataset has; files may be older than others."""
_DEPENDS_ON_CELL = ("order_", "phase")  # not every cell has a twist, or flat bands apart from the others
_KINDS = {"f": "floats", "i": "integers", "b": "truth values", "U": "texts"}
_STORED_KINDS = {"U": "UOT"}  # NetCDF has texts of any length
_COORDINATES = ("U", "filling", "seed", "start", "previous_U", "bias", "x", "y", "z", "layer", "sublattice")
_TITLE = "Hartree-Fock solutions of twisted bilayer graphene and their local density of states"
_PARAMETER_UNITS = (
    "spacing, cutoff, gate_distance, lattice, lattice_constant, in_plane_distance, interlayer_distance, "
    "decay: Å; temperature, broadening, layer_potential, v_pi, v_sigma: eV; "
    "tolerance: electrons; angle_deg, twist_deg: degrees; strain_angle: radians; "
    "i, nk, epsilon, max_iterations, heterostrain, realised_strain, warm: 1"
)
_SEAL = b"\nsha256 %b\n"
_SEAL_PATTERN = re.compile(rb"\nsha256 ([0-9a-f]{64})\n\Z")
_SEAL_LENGTH = len(_SEAL) - 2 + 64
_BLOCK = 1 << 20  # bytes
_AT_ONCE = 8e6  # bytes checked together, so that checking takes little memory and few reads


def dataset_from_samples(
    samples: Sequence[Mapping[str, Any]],
    crystal: TwistedBilayer,
    bias: NDArray[np.float64],
    attributes: Mapping[str, Any],
) -> xr.Dataset:
    """Label the samples of a sweep.

    Parameters
    ----------
    samples : sequence of mappings
        As ``sample.sample_of`` makes them. What not all of them hold is left out, with a logged warning.
    crystal : TwistedBilayer
        Its N atoms are the ``atom`` dimension.
    bias : (n_bias,) float array
        In eV.
    attributes : mapping
        Physical parameters and code version.

    Returns
    -------
    xarray.Dataset
        Dimensions sample, bias, atom (and spin, kpoint, level for the levels around half filling, in
        eV from the chemical potential); ``ground`` marks the lowest energy among the converged
        samples of equal U and filling. Each variable says what it is and in which unit.
    """
    names = [name for name in samples[0] if all(name in sample for sample in samples)]
    for name in sorted({name for sample in samples for name in sample}.difference(names)):
        log.warning("%s is left out: some samples are older than this observable", name)
    columns = {name: np.array([sample[name] for sample in samples]) for name in names}
    columns["ldos"] = rounded(columns["ldos"])
    positions = crystal.positions
    columns |= {
        "ground": ground_states(columns),
        "bias": bias,
        "x": positions[:, 0],
        "y": positions[:, 1],
        "z": positions[:, 2],
        "layer": crystal.layer,
        "sublattice": crystal.sublattice,
    }
    data: dict[str, Any] = {}
    coordinates: dict[str, Any] = {}
    for name, values in columns.items():
        dimensions, _, unit, meaning = _description(name)
        place = coordinates if name in _COORDINATES else data
        place[name] = (dimensions, values, {"units": unit, "long_name": meaning})
    described = {"schema": SCHEMA, "title": _TITLE, "licence": "MIT", "parameter_units": _PARAMETER_UNITS}
    geometry = {
        "angle_deg": float(np.degrees(crystal.angle)),
        "twist_deg": float(np.degrees(crystal.realised_twist)),
        "realised_strain": crystal.realised_strain.ravel(),
        "lattice": crystal.lattice.ravel(),
    }
    return xr.Dataset(data, coordinates, {**described, **geometry, **attributes})


def rounded(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Single-precision numbers to ``KEPT_BITS`` of their mantissa, the nearest, ties to even.

    What is cut off is noise of the solution's tolerance, which would take a third of the file.
    """
    dropped = 23 - KEPT_BITS
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    half = np.uint32((1 << (dropped - 1)) - 1) + ((bits >> np.uint32(dropped)) & np.uint32(1))
    return ((bits + half) >> np.uint32(dropped) << np.uint32(dropped)).view(np.float32)


def write_dataset(ds: xr.Dataset, path: str | Path) -> None:
    """Write a dataset to NetCDF, beside first and then renamed, with its checksum as the last line.

    Equal datasets make equal files, byte for byte: nothing of the time or the machine is stored. The file
    is a NetCDF4 file to any reader; HDF5 does not look at what follows its end.
    """
    encoding: dict[str, dict[str, Any]] = {
        str(name): {"zlib": True, "complevel": 9, "shuffle": True, "chunksizes": (1, *values.shape[1:])}
        for name, values in ds.data_vars.items()
        if values.dims[:1] == _SAMPLE and values.dims[-1:] == _ATOM and values.size
    }
    with replacing(path) as beside:
        ds.drop_encoding().to_netcdf(beside, engine="h5netcdf", encoding=encoding)
        with open(beside, "r+b") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            stream.seek(0, 2)
            stream.write(_SEAL % digest.encode())


def load_dataset(path: str | Path | None = None, converged_only: bool = True) -> xr.Dataset:
    """Open a sweep and check it. The numbers themselves are read from the file when they are used.

    Opening the shipped one takes less than 200 MB beyond the imported libraries (torch, mostly).

    Parameters
    ----------
    path : path, optional
        NetCDF file of a sweep; the shipped one if empty or not given.
    converged_only : bool
        Leave out samples that did not converge.

    Returns
    -------
    xarray.Dataset
        Dimensions sample, bias, atom, with ``ldos`` in states per eV and atom (both spins, both
        layers); coordinates U (eV), filling, seed, start, previous_U (eV), bias (eV), x, y, z (Å), layer,
        sublattice.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is truncated, damaged, not a sweep, of another schema, or holds values that are not
        finite.
    """
    path = SHIPPED if not path else Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no dataset {path}; make one with `python -m stm_core sweep`")
    _check_seal(path)
    try:
        ds = xr.open_dataset(path, engine="h5netcdf")
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path} is not a NetCDF file written by a sweep") from error
    try:
        _check_schema(path, ds)
        _check_finite(path, ds)
    except ValueError:
        ds.close()
        raise
    converged = ds["converged"].values
    return ds.isel(sample=np.flatnonzero(converged)) if converged_only and not converged.all() else ds


def _description(name: str) -> _Description:
    if name in _VARIABLES:
        return _VARIABLES[name]
    if found := observables().get(name):
        return ("sample", *found.over), "f", found.unit, found.meaning
    return _SAMPLE, "f", "1", f"order parameter {name.removeprefix('order_').replace('_', ' ')}"


def _check_seal(path: Path) -> None:
    """Compare a file with the checksum that is its last line, before HDF5 meets what may be damaged."""
    digest = hashlib.sha256()
    content = path.stat().st_size - _SEAL_LENGTH
    with open(path, "rb") as stream:
        for start in range(0, content, _BLOCK):
            digest.update(stream.read(min(_BLOCK, content - start)))
        seal = _SEAL_PATTERN.fullmatch(stream.read(_SEAL_LENGTH))
    if seal is None:
        raise ValueError(
            f"{path} does not end in the checksum of a sweep's dataset; it is truncated or no such file"
        )
    if seal[1].decode() != digest.hexdigest():
        raise ValueError(f"{path} is damaged: it does not match its checksum; fetch it or gather it anew")


def _check_schema(path: Path, ds: xr.Dataset) -> None:
    if ds.attrs.get("schema") != SCHEMA:
        raise ValueError(f"{path} has schema {ds.attrs.get('schema')!r}, but {SCHEMA!r} is needed")
    required = [name for name in (*_VARIABLES, *_OBSERVED) if not name.startswith(_DEPENDS_ON_CELL)]
    missing = [name for name in required if name not in ds.variables]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; it is not a complete sweep")
    for name in required:
        dimensions, kind, _, _ = _description(name)
        variable = ds.variables[name]
        if variable.dims != dimensions or variable.dtype.kind not in _STORED_KINDS.get(kind, kind):
            raise ValueError(
                f"{path} holds {name} as {variable.dtype} over {variable.dims}, "
                f"but {_KINDS[kind]} over {dimensions} are needed"
            )


def _check_finite(path: Path, ds: xr.Dataset) -> None:
    def is_finite(variable: xr.Variable) -> bool:
        step = max(int(_AT_ONCE * len(variable) / max(variable.nbytes, 1)), 1)
        return all(np.isfinite(variable[at : at + step]).all() for at in range(0, len(variable), step))

    bad = [str(name) for name, v in ds.variables.items() if v.dtype.kind == "f" and not is_finite(v)]
    if bad:
        raise ValueError(f"{path} holds values that are not finite in {', '.join(bad)}")
