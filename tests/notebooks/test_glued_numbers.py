"""Numbers in the prose, read back from the executed notebooks and computed again here."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom

from stm_core.data import image_set
from stm_core.insight import CONTROL
from stm_core.learning import StudySettings
from stm_core.simulation import GateScreenedCoulomb, HartreeFock, TightBinding, TwistedBilayer
from tests.tiny_study import TINY


@pytest.fixture(scope="module")
def whole(study_dataset_path):
    """The dataset as plain NetCDF, past the reader that the notebooks use."""
    with xr.open_dataset(study_dataset_path, engine="h5netcdf") as ds:
        return ds.load()


@pytest.fixture(scope="module")
def sweep(whole):
    """Its neutral states, which the models learn from."""
    return whole.isel(sample=np.flatnonzero(whole.filling.values == 0))


def test_lattice_numbers(glued):
    values, i = glued("01_moire_lattice"), TINY["01_moire_lattice"]["i"]
    n = 3 * i * i + 3 * i + 1
    assert values["nb01_atoms"] == 4 * n
    assert values["nb01_angle"] == pytest.approx(np.degrees(np.arccos((n - 0.5) / n)))
    assert values["nb01_length"] == pytest.approx(2.46 * np.sqrt(n))
    assert values["nb01_operations"] == 12


def test_band_widths(glued):
    values, tiny = glued("01_moire_lattice"), TINY["01_moire_lattice"]
    for spacing, key in ((tiny["spacing"], "nb01_width"), (3.35, "nb01_ambient_width")):
        model = TightBinding(TwistedBilayer(tiny["i"], spacing))
        middle = slice(model.crystal.n_atoms // 2 - 2, model.crystal.n_atoms // 2 + 2)
        points = [model.crystal.high_symmetry[name] for name in ("Γ", "K", "M")]
        central = np.array([np.linalg.eigvalsh(model.hamiltonian(k))[middle] for k in points])
        assert values[key] == pytest.approx(1e3 * np.ptp(central), abs=1e-6)


def test_the_live_solution(glued):
    values, tiny = glued("02_hartree_fock"), TINY["02_hartree_fock"]
    model = TightBinding(TwistedBilayer(tiny["i"], tiny["spacing"]))
    problem = HartreeFock(model, values["nb02_U"], GateScreenedCoulomb(), nk=tiny["nk"])
    states = [problem.solve(seed=seed, progress=False) for seed in (0, 1)]
    assert values["nb02_converged"] == "converged"
    assert values["nb02_energy"] == pytest.approx(states[0].total_energy, abs=1e-6)
    assert values["nb02_gap"] == pytest.approx(1e3 * states[0].gap, abs=1e-2)
    higher = states[1].total_energy - states[0].total_energy
    assert values["nb02_difference"] == pytest.approx(1e3 * abs(higher), abs=1e-2)
    assert values["nb02_winner"] == ("lower" if higher > 0 else "higher")


def test_the_data_card(glued, whole, sweep):
    values = glued("04_dataset")
    U = sweep.U.values
    assert values["nb04_samples"] == whole.sizes["sample"]
    assert values["nb04_converged"] == int(whole.converged.sum())
    assert values["nb04_atoms"] == sweep.sizes["atom"]
    assert values["nb04_train_values"] == len(set(U[U == np.rint(U)]))
    assert values["nb04_test_values"] == len(set(U[U != np.rint(U)]))
    energies = {
        str(start): sweep.energy.values[sweep.start.values == start] for start in np.unique(sweep.start)
    }
    first = {start: energy[0] for start, energy in energies.items()}
    assert values["nb04_first_winner"] == f"{min(first, key=first.__getitem__)} start"


def test_guessing_and_rounding(glued, sweep):
    """The two baselines that need no picture: the mean of the training U, and the nearest of them."""
    values = glued("06_metrics")
    U = sweep.U.values
    integers = np.unique(U[U == np.rint(U)])
    held_out = U[StudySettings().split(U).test & (U <= integers.max())]
    assert values["nb06_guess"] == pytest.approx(np.abs(held_out - integers.mean()).mean(), abs=1e-6)
    assert values["nb06_oracle"] == pytest.approx(np.abs(held_out - np.rint(held_out)).mean(), abs=1e-6)


def test_claims_about_who_wins_follow_from_the_numbers(glued):
    values = glued("06_metrics")
    networks_win = values["nb06_best_network_mae"] < values["nb06_small_mae"]
    assert values["nb06_who_wins"] == ("a network" if networks_win else "a baseline")
    best = min(values["nb06_best_network_mae"], values["nb06_small_mae"])
    assert values["nb06_best_of_all"] == pytest.approx(best)
    assert values["nb06_target_verdict"] == ("reached" if best <= values["nb06_target"] else "missed")


def test_the_overview(glued, whole, sweep):
    values = glued("00_overview")
    U = sweep.U.values
    trained = U[U == np.rint(U)]
    lowest = sweep.ground.values & (U != np.rint(U)) & (U <= trained.max())
    assert values["nb00_samples"] == whole.sizes["sample"]
    assert values["nb00_held_out"] == lowest.sum()
    assert values["nb00_guess"] == pytest.approx(np.abs(U[lowest] - trained.mean()).mean(), abs=1e-9)
    assert values["nb00_rounding"] == pytest.approx(np.abs(U[lowest] - np.rint(U[lowest])).mean(), abs=1e-9)
    assert 0 <= values["nb00_mae"] <= values["nb00_worst"]


@pytest.fixture(scope="module")
def longest_branch(sweep):
    """Positions of the branch of most U, in the order of U, within the trained range."""
    starts = np.array([f"{start} start, seed {seed}" for start, seed in zip(sweep.start.values, sweep.seed.values, strict=True)])
    names, count = np.unique(starts, return_counts=True)
    name = names[count.argmax()]
    U = sweep.U.values
    members = np.flatnonzero((starts == name) & (U <= U[StudySettings().split(U).train].max()))
    return name, members[np.argsort(U[members])]


def test_what_the_maps_explain(glued, sweep, longest_branch):
    values, tiny = glued("08_grad_cam"), TINY["08_grad_cam"]
    name, members = longest_branch
    U = sweep.U.values
    chosen = U[members][np.unique(np.linspace(0, len(members) - 1, tiny["pictures"]).round().astype(int))]
    trained = U[StudySettings().split(U).train]
    assert values["nb08_branch"] == name
    assert values["nb08_pictures"] == len(chosen)
    assert values["nb08_constant"] == pytest.approx(np.abs(chosen - trained.mean()).mean())
    spread = np.sqrt((tiny["n_random"] + 2) / (12 * tiny["n_random"] * len(chosen)))
    assert values["nb08_bar"] == pytest.approx(0.5 + 1.645 * spread)
    lattice = 2.46 * np.sqrt(3 * sweep.i**2 + 3 * sweep.i + 1)
    pixel = 2 * 1.1 * 4 * np.pi / (np.sqrt(3) * 2.46) / tiny["image_size"]
    assert values["nb08_step"] == pytest.approx(4 * np.pi / (np.sqrt(3) * lattice) / pixel, rel=1e-3)


def test_claims_about_attribution_follow_from_the_numbers(glued):
    values, tiny = glued("08_grad_cam"), TINY["08_grad_cam"]
    checks = ("peaks", "weights", "labels", "seeds", "removal", "deletion", "insertion")
    failed = {each for check in checks for each in values[f"nb08_fail_{check}"].split("; ")} - {"none"}
    passed = set(values["nb08_trusted"].split("; ")) - {"none"}
    maps = {f"{method}, CNN, repaired" for method in ("Grad-CAM", "guided backprop", "integrated gradients")}
    assert failed | passed == maps | {"stars, Gaussian process"} and not failed & passed
    counted = values["nb08_shift_ups"] + values["nb08_shift_downs"] + values["nb08_shift_none"]
    assert counted == values["nb08_shift_all"]
    assert (values["nb08_shift_up"] == "none") == (values["nb08_shift_ups"] == 0)
    coarse = values["nb08_too_coarse"] != "none"
    assert coarse == (float(values["nb08_cells"]) >= values["nb08_step"])
    assert ("Grad-CAM" in values["nb08_shift_maps"]) != coarse
    assert values["nb08_experiments"] == 2 * values["nb08_branches"] * len(tiny["pairs"])
    assert (values["nb08_movers"] == "none") == (values["nb08_mover_rows"] == 0)


def test_where_the_lowest_state_changes_its_branch(glued, sweep):
    values, U = glued("09_explorer"), sweep.U.values
    levels = np.unique(U)
    lowest = [np.flatnonzero(U == level)[sweep.energy.values[U == level].argmin()] for level in levels]
    start = sweep.start.values[lowest]
    changes = [
        f"{one:.2f} and {two:.2f} eV"
        for one, two, before, after in zip(levels, levels[1:], start, start[1:], strict=False)
        if before != after
    ]
    assert values["nb09_states"] == len(levels)
    assert values["nb09_changes"] == ("; between ".join(changes) or "no two of its values")


def test_claims_about_the_intervals_follow_from_the_numbers(glued):
    values = glued("12_try")
    readers = ("curves", "network")
    kept = [name for name in readers if abs(values[f"nb12_{name}_covered"] - values["nb12_promised"]) <= 5]
    assert values["nb12_kept"] == (" and ".join(f"the {name}" for name in kept) or "neither")
    for name in readers:
        assert values[f"nb12_{name}_width"] > 0
        shares = [values[f"nb12_{name}_{kind}"] for kind in ("shuffled", "stretched", "opposite", "alarms")]
        assert all(0 <= share <= 100 for share in shares)


def test_claims_about_other_physics_follow_from_the_numbers(glued):
    values = glued("13_transfer")
    assert (values["nb13_survived"] != "none") == (values["nb13_least"] <= values["nb13_wrong"])
    assert values["nb13_home"] < values["nb13_wrong"], "the models read what they were made for"
    assert values["nb13_least"] <= values["nb13_most"]
    assert 0 <= values["nb13_silent_least"] <= values["nb13_silent_most"] <= 100
    held = [values[f"nb13_holds_{end}"] for end in ("least", "first_least", "first_most", "most")]
    assert held == sorted(held) and 0 <= held[0] <= held[-1] <= 100
    assert (values["nb13_own_good"] != "none") == (values["nb13_own_least"] <= values["nb13_wrong"])
    assert (values["nb13_own_bad"] != "none") == (values["nb13_own_most"] > values["nb13_wrong"])


@pytest.fixture(scope="module")
def complete(sweep):
    """Samples of page 07: one filling, up to 5 eV, at values of U that every branch has."""
    inside = sweep.U.values <= 5
    starts = np.unique(sweep.start.values[inside])
    U = [
        u
        for u in np.unique(sweep.U.values[inside])
        if set(sweep.start.values[sweep.U.values == u]) == set(starts)
    ]
    return np.flatnonzero(np.isin(sweep.U.values, U))


def test_pictures_that_are_almost_the_same(glued, sweep, complete):
    values, tiny = glued("07_pca_crossover"), TINY["07_pca_crossover"]
    biases = sweep.bias.values[:: tiny["bias_step"]]
    pictures = image_set(
        sweep.isel(sample=complete), biases.tolist(), size=tiny["image_size"], style="paper", n_k=401
    )
    assert values["nb07_images"] == len(pictures) == len(complete) * len(biases)
    levels = np.unique(pictures.U)
    assert values["nb07_U"] == len(levels)
    means = np.stack([pictures.images[pictures.U == u].mean(axis=0, dtype=float).ravel() for u in levels])
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    assert values["nb07_lowest"] == pytest.approx((unit @ unit.T).min(), abs=1e-6)
    whole = unit[levels == np.rint(levels)]
    assert values["nb07_neighbours"] == pytest.approx(np.sum(whole[1:] * whole[:-1], axis=1).min(), abs=1e-6)
    ratios = np.linalg.svd(means - means.mean(axis=0), compute_uv=False) ** 2
    assert values["nb07_share1"] == pytest.approx(100 * ratios[0] / ratios.sum(), abs=1e-3)
    keeps = values["nb07_neighbours"] > 0.9998
    assert (values["nb07_bound"] != "does not hold") == keeps


def test_the_onset_without_the_long_range_interaction(glued):
    values = glued("07_pca_crossover")
    with xr.open_dataset(CONTROL, engine="h5netcdf") as ds:
        order = np.argsort(ds.U.values)
        U, moment = ds.U.values[order], np.abs(ds.order_maximum_moment.values[order])
    first = np.flatnonzero(moment >= 1e-3)[0]
    onset = (U[first - 1], U[first])
    assert (values["nb07_onset_low"], values["nb07_onset_high"]) == pytest.approx(onset)
    U, moment = U[U <= 5], moment[U <= 5]

    def left(U_c, degree):
        bend = np.maximum(0, U - U_c) ** values["nb07_moment_exponent"]
        design = np.column_stack([np.vander(U, degree + 1), bend])
        return np.sum((moment - design @ np.linalg.lstsq(design, moment, rcond=None)[0]) ** 2)

    for degree in (2, 3, 4):
        there = left(values["nb07_moment_uc"], degree)
        assert all(there < 0.2 * left(values["nb07_moment_uc"] + shift, degree) for shift in (-0.4, 0.4))
    holds = values["nb07_moment_low"] <= onset[1] and values["nb07_moment_high"] >= onset[0]
    narrow = values["nb07_moment_high"] - values["nb07_moment_low"] < values["nb07_widest"]
    found = holds and narrow and values["nb07_moment_p"] <= 0.05
    assert values["nb07_moment_verdict"] == ("finds" if found else "misses")


def test_claims_about_bends_follow_from_the_numbers(glued):
    values = glued("07_pca_crossover")
    finds = values["nb07_moment_verdict"] == "finds" and values["nb07_found"] != "none"
    assert values["nb07_positive"] == ("passes" if finds else "fails")
    assert values["nb07_image_finds"] == ("finds" if values["nb07_found"] != "none" else "does not find")
    for kind in ("image", "state"):
        listed = values[f"nb07_list_{kind}"]
        named = 0 if listed == "none" else len(listed.split("; "))
        assert values[f"nb07_bends_{kind}"] == named <= values[f"nb07_asked_{kind}"]
    assert max(values["nb07_met"], values["nb07_near_paper"]) <= values["nb07_bends_image"]
    allowed = binom.ppf(0.975, values["nb07_chance_courses"], 0.05)
    assert values["nb07_chance_allowed"] == allowed
    for name in ("smooth", "shuffled"):
        assert values[f"nb07_{name}"] == ("pass" if values[f"nb07_{name}_alarms"] <= allowed else "fail")


def test_claims_about_components_follow_from_the_numbers(glued):
    values = glued("07_pca_crossover")
    branch = values["nb07_pc2_branch"] > values["nb07_pc2_U"]
    assert values["nb07_pc2_follows"] == (
        "the branch more than $U$" if branch else "$U$ more than the branch"
    )
    assert ("PC 2" in values["nb07_branch_components"]) == branch
    assert float(values["nb07_state_broken"]) < 1e-6, "no start breaks C3, and the page says so"
    assert values["nb07_channel_A"] + values["nb07_channel_B"] == pytest.approx(100, abs=1e-3)
    if values["nb07_strain_pc"] in values["nb07_strain_nuisances"]:
        assert values["nb07_strain_turned"] > 50
