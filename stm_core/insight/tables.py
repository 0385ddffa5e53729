"""Tables of this room: many quantities put to the same question at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stm_core.insight.bends import Crossover, Method, crossover
from stm_core.insight.channels import variance_share

# The self-consistent states are converged to 1e-6 electrons; a change ten times as large is a change.
_STILL = 1e-5


def varies(values: ArrayLike) -> bool:
    """Whether values (n,) of order one are finite and change by more than their states are converged to.

    The change must exceed 1e-5 both as it stands and in shares of the largest magnitude.
    """
    array = np.asarray(values, dtype=float)
    return bool(np.isfinite(array).all() and np.ptp(array) > _STILL * max(1.0, np.abs(array).max()))


def holm(p_values: ArrayLike) -> np.ndarray:
    """p-values (n,) of n tests made at once, such that any of them errs below 0.05 in 5 % of cases.

    Holm, Scandinavian Journal of Statistics 6, 65 (1979); valid for tests that depend on each other, too.
    """
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    return np.minimum(adjusted, 1.0)


def bend_table(
    U: ArrayLike,
    quantities: Mapping[str, ArrayLike],
    *,
    method: Method = "bend",
    confidence: float = 0.9,
    precision: float = 0.01,
    n_bootstrap: int = 999,
    seed: int = 0,
) -> pd.DataFrame:
    """Where each quantity bends.

    Parameters
    ----------
    U : array_like, shape (n,)
        In eV.
    quantities : mapping of str to array_like, shape (n,)
        Those that do not vary have no bend and are left out.
    method, confidence, precision, n_bootstrap, seed
        As in `crossover`.

    Returns
    -------
    pandas DataFrame
        One row per quantity: ``U_c``, ``low`` and ``high`` in eV, ``exponent``, ``gain``, ``p``, and
        ``bends``: whether this p, of one test, is at most 0.05. For many tests at once see `holm`.

    Raises
    ------
    ValueError
        As `crossover`.
    """
    settings: dict[str, Any] = {"confidence": confidence, "precision": precision}
    rows: dict[str, Crossover] = {
        name: crossover(U, values, method=method, n_bootstrap=n_bootstrap, seed=seed, **settings)
        for name, values in quantities.items()
        if varies(values)
    }
    columns = ["U_c", "low", "high", "exponent", "gain", "p", "bends"]
    table = [[b.U, b.low, b.high, b.exponent, b.gain, b.p_value, b.bends] for b in rows.values()]
    return pd.DataFrame(table, index=pd.Index(rows, name="quantity"), columns=columns)


def component_table(
    scores: ArrayLike, shares: ArrayLike, U: ArrayLike, branch: ArrayLike, broken: ArrayLike
) -> pd.DataFrame:
    """What principal components follow, and what they break.

    Parameters
    ----------
    scores : array_like, shape (n, n_components)
    shares : array_like, shape (n_components,)
        Of the variance.
    U, branch : array_like, shape (n,)
        Labels of the rows.
    broken : array_like, shape (n_components,)
        Share of each component in channels that break the threefold axis.

    Returns
    -------
    pandas DataFrame
        One row per component: ``share``, ``between U`` and ``between branches`` (`variance_share`, each
        beyond the other; 0 where there is nothing to compare), ``breaks C3`` (as given), ``flips`` (whether
        the mean score changes sign from branch to branch), and ``nuisance``: whether it follows the branch
        more than U, breaks the axis by more than half and flips.
    """
    columns, labels = np.asarray(scores, dtype=float), np.asarray(branch)
    kinds = np.unique(labels)
    repeated = len(np.unique(U)) + len(kinds) - 1 < len(labels)
    rows = []
    for score, share, part in zip(columns.T, np.asarray(shares), np.asarray(broken), strict=True):
        means = np.array([score[labels == kind].mean() for kind in kinds])
        by_U = variance_share(score, U, labels) if repeated else 0.0
        by_branch = variance_share(score, labels, U) if repeated and len(kinds) > 1 else 0.0
        flips = bool(means.min() < 0 < means.max()) and len(kinds) > 1
        rows.append([share, by_U, by_branch, part, flips, bool(by_branch > by_U and part > 0.5 and flips)])
    names = ["share", "between U", "between branches", "breaks C3", "flips", "nuisance"]
    return pd.DataFrame(rows, index=[f"PC {n + 1}" for n in range(columns.shape[1])], columns=names)
