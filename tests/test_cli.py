"""The command line: its help, what it refuses, and sweeps."""

from pathlib import Path

import pytest

from stm_core.__main__ import main
from stm_core.data import load_dataset
from tests.command_line import refusal

TINY_PLAN = "U: [0, 2]\ni: 1\nspacing: 3.35\nnk: 1\nbias: [0.0]\n"


@pytest.mark.parametrize("command", [[], ["study"], ["sweep"], ["predict"]])
def test_every_command_explains_itself(capsys, command):
    with pytest.raises(SystemExit) as end:
        main([*command, "--help"])
    assert end.value.code == 0
    assert "usage: python -m stm_core" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [[], ["paint"], ["predict"], ["sweep", "plan.yml"], ["study", "-p", "U"]]
)
def test_an_incomplete_command_is_refused(arguments):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--profile", "slow"], "no profile 'slow': take paper, quick"),
        (["--only", "2_hf"], "unknown notebook '2_hf'; the notebooks are 00_overview, 01_moire_lattice"),
        (["--only", "02_hartree_fock", "-p", "V", "4.0"], "02_hartree_fock has no parameter 'V'"),
        (["--only", "02_hartree_fock", "-p", "U", "strong"], "02_hartree_fock takes U like"),
        (["--only", "02_hartree_fock", "-p", "U", "[4"], "flow sequence"),
        (["--only", "02_hartree_fock", "-p", "U", ".nan"], "02_hartree_fock takes U like 3.0, not nan"),
        (["--only", "01", "-p", "scan", "[a, b]"], "01_moire_lattice takes scan like [2.86"),
        (["-p", "U", "3", "-p", "U", "4"], "-p gives one parameter two values: U U"),
        (["--no-book", "--single-file"], "a single file is printed from the book"),
        (["--no-book", "--strict", "--only", "01"], "claims are those of all pages"),
    ],
)
def test_study_refuses_what_it_does_not_know(capsys, arguments, message):
    assert message in refusal(capsys, "study", *arguments)


@pytest.mark.parametrize(
    "plan, message",
    [
        ("U: [-1]", "U must be zero or positive"),
        ("U: [1]\nfilling: [5]", "between -4 and 4"),
        ("U: [1]\ni: 0", "twist index i must be"),
        ("U: [1]\nsize: 3", "unknown keys size; accepted keys are U"),
        ("nk: 1", "has no U"),
        ("{", "is not a YAML file"),
    ],
)
def test_sweep_refuses_a_bad_plan(capsys, tmp_path, plan, message):
    (tmp_path / "plan.yml").write_text(plan)
    assert message in refusal(capsys, "sweep", tmp_path / "plan.yml", "--out", tmp_path / "out")


def test_sweep_names_a_missing_plan(capsys, tmp_path):
    assert "absent.yml" in refusal(capsys, "sweep", tmp_path / "absent.yml", "--out", tmp_path / "out")


def test_sweep_computes_a_dataset_and_repeats_no_sample(capsys, tmp_path):
    (tmp_path / "plan.yml").write_text(TINY_PLAN)
    arguments = ["sweep", str(tmp_path / "plan.yml"), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    dataset = Path(capsys.readouterr().out.strip())
    assert load_dataset(dataset, converged_only=False)["U"].values.tolist() == [0.0, 2.0]
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.npz")}
    assert len(times) == 2
    assert main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.npz")} == times


def test_sweep_tells_its_status_and_computes_nothing(capsys, tmp_path):
    (tmp_path / "plan.yml").write_text(TINY_PLAN)
    arguments = ["sweep", str(tmp_path / "plan.yml"), "--out", str(tmp_path / "out"), "--status"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == "0 of 2 samples done, 0 running, 0 failed, 2 missing\n"
    assert not (tmp_path / "out").exists()


def test_sweep_lists_what_did_not_converge_and_retries_it_on_request(capsys, tmp_path):
    (tmp_path / "plan.yml").write_text(TINY_PLAN + "max_iterations: 2\n")
    arguments = ["sweep", str(tmp_path / "plan.yml"), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    capsys.readouterr()
    assert main([*arguments, "--status"]) == 0
    assert "U0.00000_filling+0.000_seed0: residual" in capsys.readouterr().out
    (tmp_path / "plan.yml").write_text(TINY_PLAN)
    assert main([*arguments, "--retry-failed"]) == 0
    assert len(load_dataset(capsys.readouterr().out.strip()).U) == 2


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--device", "abacus"), "no device 'abacus'"),
        (("--workers", "0"), "at least one worker"),
        (("--scheduler", "nowhere"), "nowhere"),
    ],
)
def test_sweep_refuses_where_it_cannot_compute(capsys, tmp_path, option, message):
    (tmp_path / "plan.yml").write_text(TINY_PLAN)
    assert message in refusal(capsys, "sweep", tmp_path / "plan.yml", "--out", tmp_path / "out", *option)
    assert not (tmp_path / "out").exists()
