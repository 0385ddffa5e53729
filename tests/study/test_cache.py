"""What an executed page is kept under: all that it depends on, and nothing else."""

import os
from pathlib import Path

import nbformat
import pytest

from stm_core.study.cache import Inputs, copy_of, drop_superseded, expected_seconds, inputs_of
from stm_core.study.pages import Page

DECLARED = {"dataset": "", "record": "", "models": ["bragg"], "U": 3.0, "checkpoints": "made", "ship": ""}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout, and the folder that the reader stands in beside it."""
    root = tmp_path / "checkout"
    for name in ("notebooks/data/sweep.nc", "notebooks/data/transfer/strain.nc", "notebooks/models/bragg.pt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("one")
    (root / "stm_core").mkdir()
    for name in ("__init__", "used", "unused"):
        (root / "stm_core" / f"{name}.py").write_text("")
    (root / "constraints.txt").write_text("numpy==2.0")
    cells = [nbformat.v4.new_code_cell("from stm_core.used import read")]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"stm_core": {"seconds": 40}})
    nbformat.write(notebook, root / "notebooks" / "00_first.ipynb")
    here = tmp_path / "here"
    for name in ("mine.nc", "records/one.json", "records/deep/two.json"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("one")
    monkeypatch.chdir(here)
    return root


def page(root: Path, **parameters: object) -> Page:
    return Page("00_first", root / "notebooks" / "00_first.ipynb", DECLARED, parameters)


GIVEN = {"dataset": "mine.nc", "record": "records"}


@pytest.mark.parametrize("given", [{}, GIVEN], ids=["shipped", "given"])
@pytest.mark.parametrize(
    "change",
    [
        "notebooks/data/sweep.nc",
        "notebooks/data/transfer/strain.nc",
        "notebooks/data/README",
        "notebooks/models/bragg.pt",
        "constraints.txt",
        "stm_core/used.py",
    ],
)
def test_what_comes_with_the_study_counts_whatever_a_page_is_given(root, given, change):
    before = inputs_of(root, page(root, **given))
    (root / change).write_text("# two\n")
    assert inputs_of(root, page(root, **given)).key != before.key


@pytest.mark.parametrize("change", ["mine.nc", "records/one.json", "records/deep/two.json", "records/three"])
def test_files_that_any_parameter_names_count_from_where_the_reader_stands(root, change):
    before = inputs_of(root, page(root, **GIVEN))
    Path(change).write_text("two")
    after = inputs_of(root, page(root, **GIVEN))
    assert after.key != before.key and after.data != before.data
    assert after.code == before.code


def test_files_in_a_list_count(root):
    before = inputs_of(root, page(root, models=["bragg", "mine.nc"]))
    Path("mine.nc").write_text("two")
    assert inputs_of(root, page(root, models=["bragg", "mine.nc"])).key != before.key


def test_a_default_counts_from_the_root(root):
    default = Page("00_first", page(root).source, {"plan": "notebooks/plan.yml"}, {})
    (root / "notebooks" / "plan.yml").write_text("one")
    before = inputs_of(root, default)
    (root / "notebooks" / "plan.yml").write_text("two")
    assert inputs_of(root, default).key != before.key


@pytest.mark.parametrize("folder", ["checkpoints", "ship"])
def test_what_a_page_writes_does_not_count(root, folder):
    before = inputs_of(root, page(root, **{folder: "records"}))
    Path("records/one.json").write_text("two")
    assert inputs_of(root, page(root, **{folder: "records"})) == before


def test_code_out_of_reach_and_another_value_of_what_is_in_it(root):
    before = inputs_of(root, page(root))
    (root / "stm_core" / "unused.py").write_text("two = 2")
    assert inputs_of(root, page(root)) == before
    other = inputs_of(root, page(root, U=4.0))
    assert (other.data, other.code) == (before.data, before.code)
    assert other.key != before.key and other.settings != before.settings


def test_what_a_page_says_of_itself_does_not_count_and_what_it_says_does(root):
    before = inputs_of(root, page(root))
    notebook = nbformat.read(page(root).source, as_version=4)
    notebook.metadata["stm_core"] = {"seconds": 50, "part": "Another"}
    nbformat.write(notebook, page(root).source)
    assert inputs_of(root, page(root)) == before
    notebook.cells[0].source += "\n# more"
    nbformat.write(notebook, page(root).source)
    assert inputs_of(root, page(root)).key != before.key


def test_a_file_that_is_not_there_is_named(root):
    with pytest.raises(FileNotFoundError, match=r"00_first: there is no record nowhere\.json"):
        inputs_of(root, page(root, record="nowhere.json"))


def keep(build: Path, settings: str, key: str, seconds: float, age: float = 0.0) -> Path:
    """An executed copy of the page, `age` seconds old."""
    copy = copy_of(build, page(build), Inputs(settings, "", "", key))
    copy.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(metadata={"stm_core": {"seconds": seconds}}), copy)
    os.utime(copy, (1e9 - age, 1e9 - age))
    return copy


def test_a_new_copy_takes_the_place_of_those_of_its_own_settings(root):
    kept = [keep(root, "quick", "new", 1), keep(root, "paper", "old", 1)]
    keep(root, "quick", "old", 1)
    drop_superseded(kept[0])
    assert sorted((root / "executed").iterdir()) == sorted(kept)


def test_a_page_is_expected_to_take_what_it_took_last(root):
    inputs = Inputs("quick", "", "", "key")
    assert expected_seconds(root, page(root), inputs) == 40
    keep(root, "paper", "a", 600, age=10)
    assert expected_seconds(root, page(root), inputs) == 600
    keep(root, "quick", "b", 50, age=30)
    keep(root, "quick", "c", 60, age=20)
    assert expected_seconds(root, page(root), inputs) == 60
