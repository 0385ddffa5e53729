"""Several starts: what they lead to, sorted, joined and named."""

import pytest

from stm_core.simulation import (
    GateScreenedCoulomb,
    HartreeFock,
    TightBinding,
    TwistedBilayer,
    competing_branches,
    honeycomb,
)


def test_the_lowest_branch_comes_first_and_has_a_name():
    model = TightBinding(TwistedBilayer(5, 2.76), cutoff=5.0)
    problem = HartreeFock(model, 3.0, GateScreenedCoulomb(), nk=1)
    seen = []
    branches = competing_branches(problem, seeds=(0, 4, 5), found=seen.append)
    assert len(seen) == 3
    assert [b.above for b in branches] == sorted(b.above for b in branches)
    assert branches[0].above == 0
    names = {b.starts[0]: b.label for b in branches}
    assert names["ferromagnet"] == "spin polarised"
    assert "antiferromagnetic" in names["spin"]


def test_starts_that_meet_are_one_branch():
    """Below U_c every start decays into the semimetal; above it spin starts order."""
    model = TightBinding(honeycomb(), cutoff=1.6, hopping=lambda d: [-2.7] * len(d))
    weak = competing_branches(HartreeFock(model, 3.0, nk=5), seeds=(0, 1, 4))
    assert [b.starts for b in weak] == [("spin", "sublattice", "ferromagnet")]
    strong = competing_branches(HartreeFock(model, 10.8, nk=5), seeds=(0, 1))
    assert strong[0].starts == ("spin",)
    assert strong[1].above > 0.1


def test_no_branch_at_all_is_an_error():
    problem = HartreeFock(TightBinding(TwistedBilayer(1, 3.0)), 5.0, nk=2)
    with pytest.raises(ValueError, match="no start converged"):
        competing_branches(problem, seeds=(3,), max_iterations=1)
