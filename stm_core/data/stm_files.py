"""Files that hold a local density of states: the text tables of the original study."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_core.simulation import GRAPHENE_LATTICE

COLUMNS = ("x", "y", "ldos")
SUFFIXES = (".dat", ".txt", ".csv")
# The original names its tables LDOS-Mu-I9-…-U2.35-….dat; U=2.35 and U_2.35 are read as well. What
# follows the number must end it, so that U2p35 or U2,35 is refused instead of read as 2.
_U_IN_NAME = re.compile(r"(?<![A-Za-z])U[=_ ]*(-?\d+(?:\.\d+)?)(?=eV|[^0-9A-Za-z.,]|[.,](?!\d)|$)")
_ENDING = re.compile(r"\.[A-Za-z]\w*$")
_SEPARATOR = re.compile(r"[,\s;]+")


@dataclass(frozen=True, eq=False)
class LDOSTable:
    """One LDOS map read from a text table.

    Attributes
    ----------
    path : Path
        The file.
    U : float
        On-site interaction in eV; NaN for a file read with ``labelled=False`` whose name has none.
    xy : numpy float array, shape (N, 2)
        Positions in units of graphene's lattice constant a.
    ldos : numpy float array, shape (N,)
        LDOS in the file's own unit.
    """

    path: Path
    U: float
    xy: NDArray[np.float64]
    ldos: NDArray[np.float64]


def _interaction(path: Path, labelled: bool) -> float:
    values = {float(text) for text in _U_IN_NAME.findall(_ENDING.sub("", path.name))}
    if not values and not labelled:
        return float("nan")
    if len(values) != 1:
        found = "no U" if not values else "more than one U"
        raise ValueError(f"{path.name} has {found} in its name; a name like LDOS-U2.35.dat (eV) is needed.")
    value = values.pop()
    if value < 0:
        raise ValueError(f"{path.name} says U = {value:g} eV in its name; U must be zero or positive.")
    return value


def _split_header(path: Path) -> tuple[list[str] | None, list[list[str]]]:
    """Column names, where the file has any, and the cells of its data lines."""
    header: list[str] | None = None
    rows: list[list[str]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        cells = [cell for cell in _SEPARATOR.split(line.lstrip("\ufeff").strip().lstrip("#").strip()) if cell]
        names = [cell.lower() for cell in cells]
        if not cells:
            continue
        if line.lstrip().startswith("#"):
            if not rows and set(COLUMNS) & set(names):
                header = names
        elif not rows and header is None and set(COLUMNS) & set(names):
            header = names
        else:
            rows.append(cells)
    return header, rows


def _column_numbers(path: Path, header: list[str] | None, rows: list[list[str]]) -> list[int]:
    if header is not None:
        missing = [name for name in COLUMNS if name not in header]
        if missing:
            raise ValueError(f"{path.name} has no column {missing[0]!r}; its header must name x, y and ldos.")
        return [header.index(name) for name in COLUMNS]
    if len(rows[0]) != len(COLUMNS):
        raise ValueError(f"{path.name} has {len(rows[0])} columns and no header; three are needed: x y ldos.")
    return list(range(len(COLUMNS)))


def _numbers(path: Path) -> NDArray[np.float64]:
    header, rows = _split_header(path)
    if not rows:
        raise ValueError(f"{path.name} is empty; an LDOS table needs lines of x y ldos.")
    columns = _column_numbers(path, header, rows)
    width = len(header or rows[0])
    table = np.empty((len(rows), len(COLUMNS)))
    for number, cells in enumerate(rows):
        if len(cells) != width:
            raise ValueError(f"{path.name}, data line {number + 1}, has {len(cells)} values, not {width}.")
        try:
            table[number] = [float(cells[column]) for column in columns]
        except ValueError:
            raise ValueError(
                f"{path.name}, data line {number + 1}, reads {' '.join(cells)[:60]!r}; only numbers are read."
            ) from None
        if not np.isfinite(table[number]).all():
            raise ValueError(f"{path.name}, data line {number + 1}, holds NaN or infinity, not a number.")
    return table


def holds_matrix(path: Path) -> bool:
    """Whether a text file holds rows of pixels rather than a table of x, y and ldos."""
    if not path.is_file():
        return False
    header, rows = _split_header(path)
    return header is None and bool(rows) and len(rows[0]) > len(COLUMNS)


def _files(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    files: list[Path] = []
    for entry in map(Path, given):
        if entry.is_dir():
            files += sorted(file for file in entry.iterdir() if file.suffix.lower() in SUFFIXES)
        elif entry.is_file():
            files.append(entry)
        else:
            raise ValueError(f"{entry} does not exist; a file or a folder of LDOS tables is needed.")
    if not files:
        raise ValueError(f"no LDOS table found; files ending in {', '.join(SUFFIXES)} are accepted.")
    return files


def read_ldos_files(
    paths: str | Path | Iterable[str | Path], unit: str = "a", labelled: bool = True
) -> list[LDOSTable]:
    """Read LDOS tables as the original study writes them.

    The columns are x, y and ldos, separated by blanks or commas, with or without a header. With a
    header the columns are found by name and others are ignored. U is read from the file name, as in
    the published names ``LDOS-Mu-I9-…-U2.35-….dat`` of arXiv:2602.18890. Those files do not state
    the unit of x and y; their transform assumes the lattice constant a, and so does this reader.

    Parameters
    ----------
    paths : path or iterable of paths
        Files, or folders whose .dat, .txt and .csv files are read in the order of their names.
    unit : str
        Unit of x and y in the file: "a" (graphene's lattice constant) or "angstrom".
    labelled : bool
        Whether a file must say its U; False accepts unlabelled files, for prediction.

    Returns
    -------
    list of LDOSTable

    Raises
    ------
    ValueError
        In one sentence, for a missing file, folder or column, a name without U or with a negative
        one, an empty table, an unknown unit, or a value that is not a finite number.
    """
    scales = {"a": 1.0, "angstrom": 1.0 / GRAPHENE_LATTICE}
    if unit not in scales:
        raise ValueError(f"unit is {unit!r}; accepted are 'a' (lattice constants) and 'angstrom'.")
    tables = []
    for path in _files(paths):
        U = _interaction(path, labelled)
        table = _numbers(path)
        tables.append(LDOSTable(path=path, U=U, xy=table[:, :2] * scales[unit], ldos=table[:, 2].copy()))
    return tables
