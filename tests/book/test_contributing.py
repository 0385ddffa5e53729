"""What CONTRIBUTING.md shows works as it stands, each in a tree to which its one file was added."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from stm_core.study import CHECKOUT, run_study
from stm_core.study.contents import said_of_itself
from stm_core.study.reachable import Library
from stm_core.study.staging import Recipe, stage

GUIDE = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"This is all of\n?\s*`([\w/.]+)`:\n\n```\w+\n(.*?)```", GUIDE, re.S))
BOOK = ("_config.yml", "constraints.txt", "book", "notebooks")
HEAVY = shutil.ignore_patterns("*.nc", "*.pt", "*.csv")

TRAIN = """
import json
import numpy as np
from stm_core.learning import TrainingConfig, build_model, fit, predict

U = np.linspace(0, 5, 24)
pattern = np.random.default_rng(0).random((8, 8), dtype=np.float32)
images = pattern + 0.1 * U[:, None, None].astype(np.float32) * pattern.T
model = build_model("linear", image_size=8, l2_normalise=False, clamp=False)
config = TrainingConfig(epochs=60, learning_rate=0.01, batch_size=4)
fit(model, images, U, config=config, checkpoint="linear.pt", progress=False)
print(json.dumps(float(np.abs(predict("linear.pt", images).U - U).mean())))
"""

SWEEP = """
import json
import numpy as np
from stm_core.data import Sweep, SweepPlan, load_dataset

plan = SweepPlan(U=(0.0,), seed=(0,), i=1, nk=1, epsilon=0.0)
sweep = Sweep(plan, "sweep")
sweep.run(progress=False, workers=1)
ds = load_dataset(sweep.gather(), converged_only=False)
pairs = ds["double_occupancy"]
print(json.dumps([pairs.dims, pairs.attrs, pairs.values[0].tolist(), ds["charge"].values[0].tolist()]))
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the library and of what the book is made from."""
    shutil.copytree(CHECKOUT / "stm_core", tmp_path / "stm_core")
    for name in BOOK:
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, tmp_path / name, ignore=HEAVY)
        else:
            shutil.copy(CHECKOUT / name, tmp_path)
    return tmp_path


def add(tree: Path, name: str) -> Path:
    """Write the one file of the guide that is called ``name``."""
    (path,) = [path for path in FILES if path.endswith(name)]
    assert not (tree / path).exists()
    (tree / path).write_text(FILES[path], encoding="utf-8")
    return tree / path


def said(tree: Path, script: str) -> object:
    """What a script prints as JSON, run with the library of that tree."""
    path = tree / "script.py"  # whose folder comes first where Python looks for the library
    path.write_text(f"{script}\nimport stm_core\nassert stm_core.__file__.startswith({str(tree)!r})\n")
    done = subprocess.run([sys.executable, path], cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_model_of_one_file_learns(tree):
    path = add(tree, "linear.py")
    assert path in Library(tree).reached_by("from stm_core.learning import build_model"), "pages depend on it"
    assert said(tree, TRAIN) < 0.1, "mean error in eV; a constant is 1.3 eV off"


def test_an_observable_of_one_file_is_stored_with_each_sample(tree):
    path = add(tree, "double_occupancy.py")
    assert path in Library(tree).reached_by("from stm_core.data import Sweep"), "pages depend on it"
    dimensions, described, pairs, charge = said(tree, SWEEP)
    assert dimensions == ["sample", "atom"]
    assert described == {"units": "1", "long_name": "mean number of electron pairs on each atom"}
    # Without interaction the spins are alike, and each atom's pairs are a quarter of its squared charge.
    assert pairs == pytest.approx([each**2 / 4 for each in charge], abs=1e-6)
    assert len(pairs) == 28


def test_a_chapter_of_one_file_runs_and_is_in_the_contents(tree):
    path = add(tree, ".ipynb")
    nbformat.validate(nbformat.read(path, as_version=4))
    known = said_of_itself(path)
    folder = run_study(tree, only=[path.stem], overrides=known["tiny"], book=False)
    (executed,) = folder.glob("*.ipynb")
    page = nbformat.read(executed, as_version=4)
    (made,) = [cell.outputs[0] for cell in page.cells if cell.get("outputs")]
    assert made.metadata.scrapbook.name == "nb14_atoms"
    assert made.data["application/papermill.record/text/plain"] == "76"
    staged = stage(tree, tree / "_build", {path.stem: page}, [], Recipe("quick", [], {}))
    parts = yaml.safe_load((staged / "book" / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    (part,) = [part for part in parts if {"file": f"notebooks/{path.stem}"} in part["chapters"]]
    assert part["caption"] == known["part"]
    assert (staged / "notebooks" / path.name).is_file()
