import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest

from stm_core.data import load_dataset, select
from stm_core.learning import (
    PAPER_U,
    Prediction,
    StudySettings,
    TrainingConfig,
    add_result,
    build_model,
    export_onnx,
    figures,
    fit,
    measure,
    parts,
    predict,
    read_card,
    read_results,
    result_table,
    run_leaderboard,
    ship_model,
    shipping,
    study_network,
    study_samples,
)

SETTINGS = StudySettings(image_size=16, epochs=2)


@pytest.fixture(scope="module")
def ds(small_dataset_path):
    return load_dataset(small_dataset_path)


MODEL = build_model("bragg", bias=(0.0,), n_stars=2)


def amplitudes(U):
    """Two stars at one bias (n, 1, 2) that bend with U."""
    return np.stack([0.1 * np.exp(-U / 3), 0.05 + 0.01 * np.sin(U)], axis=1)[:, None].astype(np.float32)


def exact(U, width=0.2):
    U = np.asarray(U, float)
    return Prediction(U, U - width / 2, U + width / 2, np.zeros(len(U)))


def test_no_two_parts_share_a_value_of_U():
    U = np.concatenate([np.arange(7.0), PAPER_U, np.random.default_rng(0).uniform(0, 6, 40)])
    for protocol in ("paper", "continuous"):
        split = parts(np.tile(U, 3), protocol)
        masks = (split.train, split.validation, split.calibration, split.test)
        values = [set(np.tile(U, 3)[mask]) for mask in masks]
        assert [bool(found) for found in values] == [True, protocol == "continuous", True, True]
        assert sum(map(len, values)) == len(set().union(*values))


@pytest.fixture(scope="module")
def shipped():
    return select(load_dataset(), filling=0)


def test_the_paper_protocol_tests_on_all_of_the_sixty_and_calibrates_on_others():
    others = np.random.default_rng(0).uniform(0, 6, 40)
    U = np.concatenate([np.arange(7.0), PAPER_U, others])
    split = parts(U)
    assert sorted(U[split.test]) == sorted(PAPER_U)
    assert set(U[split.train]) == {0, 1, 2, 3, 4, 5}
    assert set(U[split.calibration]) == set(others[others < 5])
    alone = parts(np.concatenate([np.arange(7.0), PAPER_U]))
    assert alone.test.sum() == len(PAPER_U) and not alone.calibration.any()


@pytest.mark.parametrize("seed", [6, 8])
def test_no_end_of_a_branch_catches_what_another_branch_misses(shipped, seed):
    # Of these shuffles the last values of a branch lie across a transition, or near each other.
    settings = StudySettings(protocol="continuous", seed=seed)
    assert measure(shipped, "bragg", settings, progress=False)["parts"]["all"]["mae"] < 0.02


def test_every_held_out_U_of_the_shipped_sweep_is_tested_and_none_calibrates(shipped):
    U = shipped["U"].values
    split = StudySettings().split(U)
    np.testing.assert_allclose(np.unique(U[split.test]), sorted(PAPER_U), atol=1e-9)
    calibrating = np.unique(U[split.calibration])
    assert len(calibrating) > 20 and np.abs(calibrating[:, None] - PAPER_U).min() > 5e-6
    assert np.abs(calibrating - np.rint(calibrating)).min() > 1e-6


def test_without_further_U_every_training_U_is_left_out_in_turn():
    held = np.concatenate([np.arange(6.0), PAPER_U[:20]])
    samples = amplitudes(held)
    split = parts(held)
    train = split.train
    result = fit(MODEL, samples[train], held[train], calibration="leave-one-out", progress=False)
    scores = []
    for left in np.arange(6.0):
        rest = train & (held != left)
        other = fit(MODEL, samples[rest], held[rest], progress=False).model
        reading = other.read(other.tensor(samples[held == left]))
        scores.append(abs(float(reading.U[0]) - left) / float(reading.spread[0]))
    assert len(scores) == 6 and result.model.calibration.factor == np.inf
    np.testing.assert_allclose(predict(result, samples[split.test]).high, 6.0)


def test_figures_are_their_formulas():
    true = np.array([0.5, 1.5, 1.5, 3.2])
    found = exact(true + np.array([0.1, -0.3, 0.05, 0.0]))
    measured = figures(true, found)
    assert measured["mae"] == pytest.approx(0.45 / 4)
    assert measured["coverage"] == 0.75 and measured["width"] == pytest.approx(0.2)
    assert measured["snapping_true"] == 0.0 and measured["snapping"] == 0.0
    assert measured["per_interval"]["1"] == {
        "n": 2,
        "mae": pytest.approx(0.175),
        "coverage": 0.5,
        "width": pytest.approx(0.2),
        "width_median": pytest.approx(0.2),
        "in_range": 1.0,
    }
    assert measured["mae_low"] <= measured["mae"] <= measured["mae_high"]


def test_results_are_kept_by_model_protocol_and_seed(tmp_path):
    path = tmp_path / "results.json"
    assert read_results(path) == {}
    record = {
        "model": "m",
        "protocol": "paper",
        "seed": 0,
        "parts": {"all": figures([1.0, 2.0], exact([1, 2]))},
    }
    for change in ({}, {"seed": 1}, {"seed": 1, "note": "again"}):
        add_result(record | change, path)
    assert set(read_results(path)) == {"m|paper|0", "m|paper|1"}
    assert read_results(path)["m|paper|1"]["note"] == "again"
    table = result_table(read_results(path))
    assert table.loc[("paper", "m"), "seeds"] == 2
    assert table.loc[("paper", "m"), "mae"] == 0
    with pytest.raises(ValueError, match="no record has the part 'half'"):
        result_table(read_results(path), "half")
    path.write_text("[]")
    with pytest.raises(ValueError, match="not a file of results"):
        read_results(path)


def test_a_leaderboard_goes_on_where_it_stopped(ds, tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    names = ("constant", "rounding", "bragg", "bragg_process")
    records = run_leaderboard(ds, names, ("paper",), (0,), SETTINGS, path, progress=False)
    assert set(records) == {f"{name}|paper|0" for name in names}
    inside = {name: records[f"{name}|paper|0"]["parts"]["inside"]["mae"] for name in names}
    assert inside["bragg"] < inside["rounding"] < inside["constant"]
    assert read_results(path) == records
    with monkeypatch.context() as patch:
        patch.setattr("stm_core.learning.leaderboard.measure", lambda *_: pytest.fail("measured again"))
        assert run_leaderboard(ds, names, ("paper",), (0,), SETTINGS, path, progress=False) == records
        elsewhere = tmp_path / "none.json"
        taken = run_leaderboard(
            ds, names, ("paper",), (0,), SETTINGS, elsewhere, progress=False, known=records
        )
        assert taken == records and not elsewhere.exists()
    other = replace(SETTINGS, epochs=3)
    measured = run_leaderboard(
        ds, ("constant",), ("paper",), (0,), other, elsewhere, progress=False, known=records
    )
    assert measured["constant|paper|0"]["settings"]["epochs"] == 3 and elsewhere.exists()
    again = run_leaderboard(ds, ("constant",), ("paper",), (0,), other, path, progress=False)
    assert again["constant|paper|0"]["settings"]["epochs"] == 3


def test_a_shipped_model_reaches_what_its_card_says(ds, tmp_path):
    settings = StudySettings(protocol="continuous", seed=3)
    path = ship_model(ds, "bragg", settings, tmp_path / "models", tmp_path / "ck", progress=False)
    card = read_card("bragg", tmp_path / "models")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == card["sha256"]
    samples = study_samples(ds, "bragg", settings)
    test = settings.split(samples.U).test
    again = figures(samples.U[test], predict(path, samples.inputs[test]), settings.seed)
    assert json.loads(json.dumps(again))["mae"] == pytest.approx(card["parts"]["all"]["mae"], rel=1e-6)


def test_no_model_is_shipped_too_large(ds, tmp_path, monkeypatch):
    monkeypatch.setattr(shipping, "LARGEST", 1000)
    with pytest.raises(ValueError, match="at most 1000 are shipped"):
        ship_model(ds, "bragg", SETTINGS, tmp_path / "models", tmp_path / "ck", progress=False)
    assert not (tmp_path / "models").exists()


def test_a_model_costs_time_and_is_told_apart_by_its_data(ds):
    record = measure(ds, "bragg", SETTINGS, progress=False)
    assert record["seconds_fit"] > 0 and record["peak_megabytes"] >= 0
    assert record["data"] != measure(ds.assign(ldos=2 * ds.ldos), "bragg", SETTINGS, progress=False)["data"]


@pytest.mark.parametrize("name", ["bragg", "bragg_process", "bragg_biases", "repaired"])
def test_onnx_reads_the_same(name, ds, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = study_network(ds, name, SETTINGS)
    seen = study_samples(ds, name, SETTINGS)
    trained = fit(model, seen.inputs, seen.U, config=TrainingConfig(epochs=2), progress=False)
    session = runtime.InferenceSession(export_onnx(trained, tmp_path / "model.onnx"))
    tensor = trained.model.tensor(seen.inputs[:3]).numpy()
    U = [session.run(["U"], {"inputs": each[None]})[0][0] for each in tensor]
    np.testing.assert_allclose(U, predict(trained, seen.inputs[:3]).U, atol=1e-4)
