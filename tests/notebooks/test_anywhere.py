"""A notebook runs by plain papermill, from whatever folder, with any of its parameters."""

import subprocess
import sys

import nbformat

from tests.tiny_study import NOTEBOOKS


def test_plain_papermill_from_another_folder(small_dataset_path, tmp_path):
    overview = NOTEBOOKS[0]
    given = {"dataset": small_dataset_path, "n_k": 301, "image_size": 16}
    words = [word for key, value in given.items() for word in ("-p", key, str(value))]
    command = [sys.executable, "-m", "papermill", str(overview), "out.ipynb", *words, "--no-progress-bar"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    notebook = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert notebook.metadata.papermill.parameters.n_k == 301
    assert any(cell.get("outputs") for cell in notebook.cells)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".ipynb"] == ["out.ipynb"]
