"""A small book, built once, and copies of it to change."""

import shutil
from pathlib import Path

import papermill
import pytest

from stm_core.study import run_study
from tests.study.checkout import write_checkout


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with two notebooks, built once, so that each test starts from a full cache."""
    root = tmp_path_factory.mktemp("template")
    write_checkout(root)
    run_study(root)
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "checkout")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the notebooks that papermill really executes."""
    names: list[str] = []
    execute = papermill.execute_notebook

    def noted(source, target, *arguments, **options):
        names.append(Path(source).stem)
        return execute(source, target, *arguments, **options)

    monkeypatch.setattr(papermill, "execute_notebook", noted)
    return names
