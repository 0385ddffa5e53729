"""Pictures of states in which some Bragg amplitudes are those of another state: a causal test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from stm_core.imaging import FourierGrid, bragg_amplitudes, layer_mask, render
from stm_core.insight.peaks import peak_families
from stm_core.simulation import GRAPHENE_LATTICE


@dataclass(frozen=True, eq=False)
class PeakExchange:
    """Renders states with the complex amplitudes F(G) of some peaks taken from another state.

    The transform of one cell is Σ_G F(G) W(k − G), with W that of the empty cell. The exchange adds
    Σ (F'(G) − F(G)) W(k − G) over the chosen G, all relative to F(0): as a real density on a mesh of points
    of the cell, fine enough that it has no other wave vector in the window. Every other amplitude stays what
    it was, and the picture is made as any other.

    Attributes
    ----------
    vectors : ndarray, shape (n_G, 2)
        In 1/Å, the first is zero; the order of the `chosen` of `pictures`.
    """

    cell: Any
    vectors: NDArray[np.float64]
    grid: FourierGrid
    mesh: NDArray[np.float64]

    @classmethod
    def build(cls, cell: Any, n_k: int = 501) -> PeakExchange:
        """Prepare the exchange between states of a cell, seen on its top layer; `n_k` as in `FourierGrid`."""
        lattice = np.asarray(cell.lattice)
        atoms = np.asarray(cell.positions)[layer_mask(cell.layer, "top"), :2]
        vectors = bragg_amplitudes(cell, np.zeros(len(atoms)))[1]
        reach = int(np.abs(np.rint(vectors @ lattice.T / (2 * np.pi))).max())
        steps = (np.arange(2 * reach + 2) + 0.5) / (2 * reach + 2)
        corner = np.floor((atoms @ np.linalg.inv(lattice)).min(axis=0) + 0.5)
        mesh = (np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) + corner) @ lattice
        grid = FourierGrid.build(np.concatenate([atoms, mesh]) / GRAPHENE_LATTICE, n_k=n_k, dtype=np.float32)
        return cls(cell, vectors, grid, mesh)

    def density(self, own: ArrayLike, other: ArrayLike, chosen: ArrayLike) -> NDArray[np.float64]:
        """Weights on atoms and mesh, of total one, whose chosen amplitudes are those of `other`.

        Parameters
        ----------
        own, other : array_like, shape (N,)
            LDOS on every atom.
        chosen : array_like of bool, shape (n_G,)
            With every G its −G, and never G = 0, which sets the scale.

        Raises
        ------
        ValueError
            If the chosen peaks are not of this kind.
        """
        mask = np.asarray(chosen, dtype=bool)
        usable = mask.shape == (len(self.vectors),) and not mask[0]
        picked = {(x, y) for x, y in np.round(self.vectors[mask], 6) + 0.0} if usable else {}
        if not usable or any((-x, -y) not in picked for x, y in picked):
            raise ValueError(f"chosen must be {len(self.vectors)} values, with each G also −G, and no G = 0.")
        amplitudes = bragg_amplitudes(self.cell, np.stack([own, other]))[0]
        relative = amplitudes / amplitudes[:, :1].real
        change = (relative[1] - relative[0])[mask]
        added = np.real(np.exp(1j * self.mesh @ self.vectors[mask].T) @ change) / len(self.mesh)
        top = np.asarray(own, dtype=float)[layer_mask(self.cell.layer, "top")]
        return np.concatenate([top / top.sum(), added])

    def pictures(
        self, own: ArrayLike, other: ArrayLike, choices: Sequence[ArrayLike], size: int
    ) -> dict[str, NDArray[np.float32]]:
        """Pictures (n, size, size) of `own` with each choice of peaks from `other`, by style of `render`.

        Parameters as those of `density`.
        """
        found: dict[str, list[NDArray]] = {"linear": [], "paper": []}
        for chosen in choices:
            magnitude = self.grid.magnitude(self.density(own, other, chosen))
            for style, pictures in found.items():
                pictures.append(render(magnitude, size, style) / np.float32(255 if style == "paper" else 1))
        return {style: np.stack(pictures) for style, pictures in found.items()}

    def families(self) -> dict[str, NDArray[np.bool_]]:
        """The peaks of each family (`peak_families`), without G = 0."""
        found = peak_families(self.cell, self.vectors)
        nonzero = self.vectors.any(axis=1)
        return {name: mask & nonzero for name, mask in found.items()}

    def random(self, count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
        """As many peaks as `count`, but for rounding up, in pairs G and −G drawn from all but G = 0."""
        lengths = np.round(np.linalg.norm(self.vectors, axis=1), 6)
        turns = np.arctan2(self.vectors[:, 1], self.vectors[:, 0]) / (np.pi / 3)
        angle = np.round((turns - turns[1] + 0.1) % 1, 5)  # no star lies at the jump from 1 to 0
        keys = np.where(lengths[:, None] > 0, np.stack([lengths, angle], axis=1), 0.0)
        star = np.unique(keys, axis=0, return_inverse=True)[1].ravel()
        chosen = np.zeros(len(lengths), dtype=bool)
        for number in rng.permutation(np.setdiff1d(star, star[0])):
            if chosen.sum() >= count:
                break
            chosen |= star == number
        return chosen


@dataclass(frozen=True)
class Followed:
    """How far readings follow an exchange: share of the whole way, and its 90 % interval."""

    share: float
    low: float
    high: float


def exchanged_share(moved: ArrayLike, whole: ArrayLike, *, draws: int = 200, seed: int = 0) -> Followed:
    """Share of the way between two states that readings go when part of one is exchanged.

    Parameters
    ----------
    moved : array_like, shape (n,) or (n, m)
        U of the edited picture − U of the picture, in eV.
    whole : array_like, same shape
        U of the other picture − U of the picture, in eV.
    draws, seed : int
        Of the bootstrap over the n pairs of states; the m experiments with one pair stay together.

    Returns
    -------
    Followed
        Σ moved · whole / Σ whole²: 0 where readings do not move, 1 where the part alone decides. Pairs that
        are read nearly alike weigh little.

    Raises
    ------
    ValueError
        If shapes differ, or all pairs are read alike.
    """
    step, way = np.asarray(moved, dtype=float), np.asarray(whole, dtype=float)
    if step.shape != way.shape or step.ndim not in (1, 2):
        raise ValueError(
            f"moved and whole must have one shape, (n,) or (n, m), not {step.shape}, {way.shape}."
        )
    if not way.any():
        raise ValueError("all pairs are read as the same U, so there is no way to follow.")
    along, length = ((each * way).reshape(len(way), -1).sum(axis=1) for each in (step, way))
    drawn = np.random.default_rng(seed).integers(len(way), size=(draws, len(way)))
    kept = drawn[length[drawn].sum(axis=1) > 0]
    low, high = np.quantile(along[kept].sum(axis=1) / length[kept].sum(axis=1), [0.05, 0.95])
    return Followed(float(along.sum() / length.sum()), float(low), float(high))


def exchange_table(
    readings: ArrayLike, parts: Sequence[str], *, draws: int = 200, seed: int = 0
) -> pd.DataFrame:
    """How far readings follow each part that was exchanged, beside as large a random part.

    Parameters
    ----------
    readings : array_like, shape (n_pairs, 2, n_models, 1 + 2 n_parts)
        U in eV of both states of each pair: as they are, with each part of the other, and with each of the
        random parts.
    parts : sequence of str
        Their names.
    draws, seed : int
        As in `exchanged_share`.

    Returns
    -------
    pandas.DataFrame
        For each part its share T and interval, that of the random part, and the interval of the difference.
    """
    read = np.asarray(readings, dtype=float)
    whole = (read[:, ::-1, :, 0] - read[..., 0]).reshape(len(read), -1)
    moved = read[..., 1:] - read[..., :1]
    rows = {}
    for n, name in enumerate(parts):
        own, control = (moved[..., place].reshape(len(read), -1) for place in (n, n + len(parts)))
        share, random, more = (
            exchanged_share(each, whole, draws=draws, seed=seed) for each in (own, control, own - control)
        )
        rows[name] = [share.share, share.low, share.high, random.share, more.share, more.low, more.high]
    columns = ["T", "from", "to", "T of random peaks", "more than random", "more, from", "more, to"]
    return pd.DataFrame(rows, index=columns).T
