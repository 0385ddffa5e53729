"""How sharply and how truly a lock-in amplifier measures the energy: an imperfection along the bias."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from stm_core.imaging.distortions import Amount, check_amount, draw

_NODES = 24  # of the quadrature over one period of the modulation
_MV = 1e-3  # eV


@dataclass(frozen=True)
class LockIn:
    """A finite modulation of the bias and an error of its zero.

    A modulation of amplitude V, read at its first harmonic, averages the LDOS with the weight
    2√(V² − ε²)/(πV²) (Klein et al., Phys. Rev. B 7, 2336 (1973)).

    Parameters
    ----------
    modulation : float or pair
        Amplitude V (half of peak to peak) in mV.
    offset : float or pair
        Size of the error of the bias in mV; its sign is drawn.

    Raises
    ------
    ValueError
        If a parameter is negative, not finite, or a pair in descending order.
    """

    modulation: Amount
    offset: Amount = 0.0

    def __post_init__(self) -> None:
        check_amount("modulation of the lock-in", self.modulation)
        check_amount("offset of the lock-in", self.offset)

    def __call__(self, ldos: ArrayLike, bias: ArrayLike, rng: Generator) -> NDArray[np.float64]:
        """What is measured at every bias.

        Parameters
        ----------
        ldos : array, shape (n_bias, ...)
            Taken as linear between biases, and constant beyond the first and the last.
        bias : array, shape (n_bias,)
            Ascending, in eV.
        rng : numpy Generator

        Returns
        -------
        numpy float array, shape of `ldos`

        Raises
        ------
        ValueError
            If the biases do not ascend or do not match `ldos`.
        """
        values, energies = np.asarray(ldos, dtype=float), np.asarray(bias, dtype=float)
        if energies.ndim != 1 or values.shape[:1] != energies.shape or not (np.diff(energies) > 0).all():
            raise ValueError(
                f"bias has shape {energies.shape} and ldos {values.shape}; one row of ldos for each of "
                "several ascending biases is needed."
            )
        amplitude, offset = draw(self.modulation, rng) * _MV, draw(self.offset, rng) * _MV
        offset *= rng.choice([-1.0, 1.0])
        # Gauss's quadrature for this weight: Chebyshev polynomials of the second kind.
        phase = np.arange(1, _NODES + 1) * np.pi / (_NODES + 1)
        seen = energies + offset + amplitude * np.cos(phase)[:, None]
        mixed = np.zeros((len(energies), len(energies)))
        for weight, places in zip(2 / (_NODES + 1) * np.sin(phase) ** 2, seen, strict=True):
            mixed += weight * np.stack([np.interp(places, energies, row) for row in np.eye(len(energies))], 1)
        return np.tensordot(mixed, values, axes=1)
