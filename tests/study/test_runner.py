"""What the runner runs again, and with which values."""

import subprocess
from pathlib import Path

import nbformat
import pytest

from stm_core.study import run_study
from tests.study.checkout import CALLS, page, write_notebook


def test_nothing_runs_twice_and_an_unchanged_book_is_left_alone(root, ran, monkeypatch):
    def refused(*arguments, **options):
        raise AssertionError("Sphinx was called for a book that is there already")

    before = page(root, "notebooks/01_second")
    monkeypatch.setattr(subprocess, "run", refused)
    run_study(root)
    assert ran == []
    assert page(root, "notebooks/01_second") == before


def test_a_name_may_be_cut_short(root, ran):
    run_study(root, only=["00"], book=False)
    run_study(root, start="01", book=False)
    assert ran == ["00_first", "01_second"]


@pytest.mark.parametrize(
    "change, expected",
    [
        (
            lambda root: write_notebook(root, "01_second", CALLS["01_second"] + "\nprint('more')"),
            ["01_second"],
        ),
        (
            lambda root: (root / "notebooks" / "data" / "sweep.nc").write_bytes(b"two"),
            ["00_first", "01_second"],
        ),
        (
            lambda root: (root / "notebooks" / "models" / "bragg.pt").write_bytes(b"two"),
            ["00_first", "01_second"],
        ),
        (lambda root: (root / "stm_core" / "viewing" / "code.py").write_text("size = 1"), ["01_second"]),
        (lambda root: (root / "stm_core" / "learning" / "code.py").write_text("size = 1"), ["01_second"]),
        (lambda root: (root / "stm_core" / "insight" / "code.py").write_text("size = 1"), []),
        (lambda root: (root / "constraints.txt").write_text("numpy==2.1\n"), ["00_first", "01_second"]),
        (
            lambda root: (root / "notebooks" / "profiles" / "quick.yml").write_text("every_page: {U: 4}\n"),
            ["01_second"],
        ),
    ],
    ids=["source", "data", "models", "import", "import of an import", "no import", "pins", "parameters"],
)
def test_what_depends_on_a_change_runs_again(root, ran, change, expected):
    change(root)
    run_study(root, book=False)
    assert ran == expected


def test_one_page_runs_again_with_another_value(root, ran):
    run_study(root, only=["00_first"], overrides={"U": 2.5})
    assert ran == ["00_first"]
    assert "5.00" in page(root, "book/intro")
    assert "4.0 7" in page(root, "notebooks/01_second")


def test_from_a_page_on_all_run_again(root, ran):
    run_study(root, start="01_second", book=False)
    assert ran == ["01_second"]


def test_networks_are_kept_where_every_page_finds_them(root):
    def place(**options) -> Path:
        run_study(root, only=["01_second"], book=False, **options)
        newest = max((root / "_build" / "executed").glob("01_*"), key=lambda path: path.stat().st_mtime)
        outputs = nbformat.read(newest, as_version=4).cells[-1].outputs
        return Path(outputs[0].data["application/papermill.record/text/plain"].strip("'"))

    first = place()
    assert first.is_absolute()
    assert first.parent == root / "_build" / "checkpoints"
    assert place() == first
    (root / "stm_core" / "viewing" / "code.py").write_text("size = 1")
    assert place() == first
    assert place(overrides={"seed": 8}) == first
    (root / "stm_core" / "learning" / "code.py").write_text("rate = 1")
    assert place() != first


def test_an_exponent_without_a_point_is_a_number(root, ran):
    run_study(root, only=["00_first"], overrides={"U": "1e-3"}, book=False)
    assert ran == ["00_first"]
