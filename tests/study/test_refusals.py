"""What the runner refuses, and what a failure leaves behind."""

import shutil
from pathlib import Path

import papermill
import pytest

from stm_core.study import NotebookFailed, run_study
from tests.study.checkout import CALLS, page, write_notebook


@pytest.mark.parametrize(
    "options, message",
    [
        ({"only": ["02_third"]}, r"unknown notebook '02_third'; the notebooks are 00_first, 01_second"),
        ({"start": "first"}, r"unknown notebook 'first'"),
        ({"start": "0"}, r"unknown notebook '0'"),
        (
            {"only": ["00_first"], "overrides": {"V": 1}},
            r"no parameter 'V'; its parameters are U, steps, dataset",
        ),
        (
            {"overrides": {"V": 1}},
            r"no notebook has a parameter 'V'; the parameters are U, checkpoints, dataset",
        ),
        ({"overrides": {"U": "strong"}}, r"takes U like 3.0, not 'strong'"),
        ({"overrides": {"steps": 2.5}}, r"takes steps like 5, not 2.5"),
        ({"overrides": {"steps": True}}, r"takes steps like 5, not True"),
        ({"overrides": {"dataset": 3}}, r"takes dataset like '', not 3"),
    ],
)
def test_an_unknown_name_or_value_is_refused_with_the_valid_ones(root, ran, options, message):
    with pytest.raises(ValueError, match=message):
        run_study(root, **options)
    assert ran == []


@pytest.mark.parametrize(
    "profile, message",
    [
        ("02_third: {U: 1}", "unknown notebook '02_third'"),
        ("00_first: {V: 1}", "no parameter 'V'"),
        ("every_page: {V: 1}", "no notebook has a parameter 'V'"),
        ("- U", "must be YAML that maps"),
        ("00_first: 3", "must be YAML that maps"),
        ("{", "must be YAML that maps"),
    ],
)
def test_a_bad_profile_is_refused(root, tmp_path, profile, message):
    path = tmp_path / "other.yml"
    path.write_text(profile)
    with pytest.raises(ValueError, match=message):
        run_study(root, profile=str(path))


def test_missing_files_are_named(root, tmp_path):
    with pytest.raises(FileNotFoundError, match="no profile 'slow': take quick"):
        run_study(root, profile="slow")
    with pytest.raises(FileNotFoundError, match=r"there is no dataset .*none\.nc"):
        run_study(root, overrides={"dataset": str(tmp_path / "none.nc")})
    with pytest.raises(FileNotFoundError, match="holds no notebooks"):
        run_study(tmp_path / "elsewhere")


def test_a_failing_notebook_is_named_and_kept_for_reading(root):
    good = page(root, "notebooks/01_second")
    kept = sorted((root / "_build" / "executed").iterdir())
    write_notebook(root, "01_second", "print('as far as here')\nraise ValueError('the gap\\nclosed')")
    with pytest.raises(
        NotebookFailed, match="01_second stopped in cell 3 with ValueError: the gap closed"
    ) as failure:
        run_study(root)
    partial = Path(str(failure.value).split("in ")[-1].rstrip(")"))
    assert "as far as here" in partial.read_text()
    assert sorted((root / "_build" / "executed").iterdir()) == kept
    assert page(root, "notebooks/01_second") == good


def test_a_line_that_is_not_python_is_named(root):
    write_notebook(root, "01_second", "U = = 3")
    with pytest.raises(NotebookFailed, match="01_second holds a line that is not Python: U = = 3"):
        run_study(root)


def test_an_interrupted_notebook_leaves_nothing_that_looks_finished(root, monkeypatch):
    kept = sorted((root / "_build" / "executed").iterdir())

    def interrupted(source, target, *arguments, **options):
        shutil.copy(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(papermill, "execute_notebook", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_study(root, start="00_first")
    assert sorted((root / "_build" / "executed").iterdir()) == kept


def test_a_notebook_without_a_part_of_the_book_is_named(root):
    write_notebook(root, "01_second", CALLS["01_second"], part="Some")
    with pytest.raises(ValueError, match=r"01_second\.ipynb stands in part 'Some' .* are Empty, All"):
        run_study(root)
