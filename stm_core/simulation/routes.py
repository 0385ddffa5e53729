"""Ways of iterating to self-consistency, and the order in which they are tried."""

from dataclasses import dataclass

import torch

from .bloch import BlochMatrices


@dataclass(frozen=True)
class Stage:
    """One way of iterating; the solver goes through ``STAGES`` until one converges.

    Attributes
    ----------
    name : str
    shift : float
        Raises the empty levels, in eV.
    damped : bool
        Whether each step goes to the lowest free energy between the old mixture and the new density
        matrix, which never rises (Cancès and Le Bris, Int. J. Quantum Chem. 79, 82 (2000)), instead
        of DIIS.
    smearing : float
        Factor on the temperature.
    """

    name: str
    shift: float = 0.0
    damped: bool = False
    smearing: float = 1.0

    @property
    def plain(self) -> bool:
        """Whether this stage may finish the solution."""
        return not self.shift and not self.damped and self.smearing == 1.0


STAGES = (
    Stage("DIIS"),
    Stage("smearing × 16", smearing=16.0),
    Stage("smearing × 4", smearing=4.0),
    Stage("DIIS after smearing"),
    Stage("optimal damping", damped=True),
    Stage("DIIS after damping"),
    Stage("level shift", shift=0.2),
    Stage("DIIS after level shift"),
)
"""What the solver tries in turn; "DIIS" stands for ``mixing.FockMixer``, which goes downhill until DIIS can
finish. A metal's levels jump across the Fermi level as they fill: smearing calms that first. Damping takes
no step that is not downhill, and a level shift keeps a state from flipping."""


@dataclass(frozen=True)
class Mixture:
    """Convex combination of density matrices, with its mean field, entropy and free energy bound."""

    density: BlochMatrices
    fock: BlochMatrices
    entropy: float

    def towards(self, new: "Mixture", temperature: float, degeneracy: float) -> "Mixture":
        """The combination with another that minimises the free energy, which is quadratic but for -TS.

        The entropy of a mixture is at least the mixture of the entropies, so the true free energy
        falls by more than the parabola says.
        """
        change = new.density.map(torch.sub, self.density)
        slope = degeneracy * self.fock.trace_product(change) - temperature * (new.entropy - self.entropy)
        bend = degeneracy * new.fock.map(torch.sub, self.fock).trace_product(change)
        step = 1.0 if bend <= -slope else min(1.0, max(0.0, -slope / bend))
        return Mixture(
            self.density.map(lambda old, d: old + step * d, change),
            self.fock.map(lambda old, f: torch.lerp(old, f, step), new.fock),
            (1 - step) * self.entropy + step * new.entropy,
        )
