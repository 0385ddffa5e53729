"""The models that come with the study, against the data that comes with it."""

import hashlib
import json
from dataclasses import fields, replace

import numpy as np
import pytest

from stm_core.__main__ import main as predict_files
from stm_core.data import BENCHMARKS, load_dataset, select
from stm_core.learning import (
    LEADERBOARD_SETTINGS,
    SHIPPED_MODELS,
    SHIPPED_NAMES,
    SHIPPED_SETTINGS,
    StudySettings,
    dataset_fingerprint,
    figures,
    measure,
    predict,
    read_card,
    read_noise_results,
    read_results,
    result_table,
    ship_model,
    stale_models,
    study_parts,
    study_samples,
)
from stm_core.learning.__main__ import main
from stm_core.learning.shipping import LARGEST
from stm_core.simulation import GRAPHENE_LATTICE

FIGURES = ("mae", "rmse", "median", "p95", "bias", "r2", "coverage", "width", "in_range")


@pytest.fixture(scope="module")
def ds():
    return select(load_dataset(), filling=0)


@pytest.fixture(scope="module")
def small(small_dataset_path):
    return load_dataset(small_dataset_path)


def settings_of(card):
    given = {field.name: card["settings"][field.name] for field in fields(StudySettings)}
    return StudySettings(**given)


def test_every_shipped_model_is_of_the_shipped_sweep_and_small(ds):
    assert stale_models(ds) == []
    assert all((SHIPPED_MODELS / f"{name}.pt").stat().st_size <= LARGEST for name in SHIPPED_NAMES)


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_a_shipped_model_still_reaches_the_figures_of_its_card(name, ds):
    card = read_card(name)
    settings = settings_of(card)
    assert settings == SHIPPED_SETTINGS and card["data"] == dataset_fingerprint(ds)
    tested = np.flatnonzero(settings.split(ds["U"].values).test)
    samples = study_samples(ds.isel(sample=tested), name, settings)
    found = predict(SHIPPED_MODELS / f"{name}.pt", samples.inputs)
    measured, said = figures(samples.U, found, settings.seed), card["parts"]["all"]
    assert measured["n"] == said["n"]
    np.testing.assert_allclose(
        [measured[key] for key in FIGURES], [said[key] for key in FIGURES], rtol=1e-3, atol=1e-5
    )


def test_the_headline_of_the_curves_is_what_the_code_gives(ds):
    """On the paper's protocol; they are fitted within a second."""
    found = measure(ds, "bragg", replace(LEADERBOARD_SETTINGS, protocol="paper"), progress=False)
    filed = read_results()["bragg|paper|0"]
    for part, said in filed["parts"].items():
        measured = found["parts"][part]
        assert measured["n"] == said["n"]
        np.testing.assert_allclose(
            [measured[key] for key in FIGURES], [said[key] for key in FIGURES], rtol=1e-3, atol=1e-5
        )
    assert found["parts"]["inside"]["mae"] < 0.03 and found["parts"]["all"]["mae"] < 0.05
    timed = json.loads(BENCHMARKS.read_text(encoding="utf-8"))["learning"]
    assert timed["bragg_mae"] == pytest.approx(found["parts"]["all"]["mae"], rel=1e-3)


def test_the_curves_err_ten_times_less_than_the_published_network(ds):
    records = {key: each for key, each in read_results().items() if each["data"] == dataset_fingerprint(ds)}
    table = result_table(records)
    cnn, curves = (table.loc[("paper", name)] for name in ("cnn", "bragg"))
    assert cnn["seeds"] >= 5 and cnn["mae"] > 10 * curves["mae"]


def test_the_recorded_races_are_won_where_the_book_says_so():
    timed = json.loads(BENCHMARKS.read_text(encoding="utf-8"))["learning"]
    assert timed["transform_ratio"] >= 50 and timed["transform_difference"] < 1e-4
    assert timed["epoch_ratio_mixed"] >= 1.5 and timed["reach_ratio"] >= 100
    assert timed["latency_seconds"] <= 0.1


def test_no_U_of_the_test_trained_calibrated_or_stopped_a_shipped_model(ds):
    settings = settings_of(read_card("bragg"))
    samples = study_samples(ds, "bragg", settings)
    split = study_parts(ds, samples, settings)
    others = split.known | split.calibration
    assert not set(samples.U[split.test]) & set(samples.U[others])


def test_a_table_of_the_sweep_is_read_at_once(ds, tmp_path, capsys):
    top = ds["layer"].values == 1
    number, bias = int(np.abs(ds["U"].values - 3.3).argmin()), 2
    columns = [ds["x"].values[top], ds["y"].values[top], ds["ldos"].values[number, bias][top]]
    table = np.stack(columns, axis=1) / [GRAPHENE_LATTICE, GRAPHENE_LATTICE, 1]
    np.savetxt(tmp_path / "state.txt", table)
    arguments = ["predict", str(tmp_path / "state.txt"), "--bias", f"{ds['bias'].values[bias]:g}"]
    assert predict_files(arguments) == 0
    U = float(capsys.readouterr().out.split("U = ")[1].split()[0])
    assert U == pytest.approx(float(ds["U"].values[number]), abs=0.1)


def test_a_stale_model_is_named_and_made_anew_by_one_command(small, small_dataset_path, tmp_path, capsys):
    folder, checkpoints = tmp_path / "models", tmp_path / "checkpoints"
    missing = stale_models(small, ("bragg",), folder)
    assert len(missing) == 1 and "bragg.pt or its card is missing" in missing[0]
    brighter = small.assign(ldos=2 * small["ldos"])
    ship_model(brighter, "bragg", None, folder, checkpoints, progress=False)
    (stale,) = stale_models(small, ("bragg",), folder)
    assert "bragg.pt is stale" in stale and dataset_fingerprint(small) in stale
    assert "python -m stm_core.learning ship" in stale
    arguments = ["ship", "--models", "bragg", "--dataset", str(small_dataset_path), "--out", str(folder)]
    arguments += ["--checkpoints", str(checkpoints)]
    assert main(arguments) == 0 and stale_models(small, ("bragg",), folder) == []
    made = (folder / "bragg.pt").stat().st_mtime_ns
    assert main(arguments) == 0 and (folder / "bragg.pt").stat().st_mtime_ns == made
    content = (folder / "bragg.pt").read_bytes()
    (folder / "bragg.pt").write_bytes(content + b"0")
    assert "not the file that its card describes" in stale_models(small, ("bragg",), folder)[0]
    assert hashlib.sha256(content).hexdigest() == read_card("bragg", folder)["sha256"]
    capsys.readouterr()


def test_a_command_that_cannot_run_says_why(tmp_path, capsys):
    assert main(["leaderboard", "--dataset", str(tmp_path / "none.nc")]) == 2
    assert "none.nc" in capsys.readouterr().err


def test_networks_in_noise_are_measured_by_one_command(small, small_dataset_path, tmp_path):
    out = tmp_path / "noise.json"
    arguments = ["noise", "--dataset", str(small_dataset_path), "--models", "repaired", "--levels", "0.3"]
    assert main([*arguments, "--pixels", "24", "--out", str(out)]) == 0
    found = read_noise_results(small, out)
    assert list(found["level"]) == [0.3] and (found[["rms", "bound", "ratio"]] > 0).all(axis=None)
    assert main([*arguments, "--pixel", "1.2", "--out", str(tmp_path / "none.json")]) == 2
    assert not (tmp_path / "none.json").exists()
