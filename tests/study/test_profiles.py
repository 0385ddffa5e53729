"""What a profile or a parameter may say, and one clear sentence for all else."""

from pathlib import Path

import nbformat
import pytest

from stm_core.study.pages import EVERY_PAGE, lay, read_pages

PARAMETERS = 'U = 3.0\nsteps = 5\nscan = [1.0, 2.0]\nsizes = [4, 6]\nmodels = ["a", "b"]\nquick = False'


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("checkout")
    (root / "notebooks").mkdir()
    for name in ("04_data", "05_training"):
        cell = nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
        nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")
    return root


def given(root: Path, tmp_path: Path, profile: str) -> dict:
    """Parameters of 05_training under a profile of this text."""
    path = tmp_path / "mine.yml"
    path.write_text(profile)
    (page,) = [page for page in read_pages(root, str(path)) if page.name == "05_training"]
    return dict(page.parameters)


@pytest.mark.parametrize(
    "profile, expected",
    [
        ("", {}),
        ("05_training: {}", {}),
        ("05: {U: 4}", {"U": 4.0}),
        ("'05': {U: 4}", {"U": 4.0}),
        ("05_training: {U: 1e-3}", {"U": 0.001}),
        ("05_training: {scan: [1, 2.5]}", {"scan": [1.0, 2.5]}),
        ("05_training: {sizes: [3]}", {"sizes": [3]}),
        ("05_training: {models: [c]}", {"models": ["c"]}),
        (f"{EVERY_PAGE}: {{U: 4, steps: 6}}\n05_training: {{U: 2}}", {"U": 2.0, "steps": 6}),
    ],
)
def test_a_profile_gives(root, tmp_path, profile, expected):
    assert given(root, tmp_path, profile) == expected


@pytest.mark.parametrize(
    "profile, message",
    [
        (
            "'05': {U: 4}\n05_training: {steps: 6}",
            "mine.yml has 05_training twice, as '05' and as '05_training'",
        ),
        ("05: {U: 4}\n'05': {steps: 6}", "mine.yml has 05_training twice"),
        ("05: {U: 4}\n05: {steps: 6}", "mine.yml has 05_training twice"),
        ("05: {U: 4, U: 5}", "mine.yml gives 05_training two values of U"),
        ("5: {U: 4}", "unknown notebook '5'"),
        ("06: {U: 4}", "unknown notebook '06'"),
        ("05:", "mine.yml must be YAML that maps"),
        ("05: [U]", "mine.yml must be YAML that maps"),
        ("[05]: {U: 4}", "mine.yml must be YAML that maps"),
        ("05: {U: .nan}", "05_training takes U like 3.0, not nan"),
        ("05: {U: -.inf}", "05_training takes U like 3.0, not -inf"),
        ("05: {steps: .inf}", "05_training takes steps like 5, not inf"),
        ("05: {scan: [a, b]}", r"05_training takes scan like \[1.0, 2.0\], not \['a', 'b'\]"),
        ("05: {scan: [1, .nan]}", r"takes scan like \[1.0, 2.0\]"),
        ("05: {sizes: [4, 6.5]}", r"takes sizes like \[4, 6\], not \[4, 6.5\]"),
        ("05: {models: [a, 1]}", "takes models like"),
        ("05: {models: [a, null]}", "takes models like"),
        ("05: {scan: 1}", r"takes scan like \[1.0, 2.0\], not 1"),
        ("05: {quick: 1}", "takes quick like False, not 1"),
    ],
)
def test_a_profile_is_refused(root, tmp_path, profile, message):
    with pytest.raises(ValueError, match=message):
        given(root, tmp_path, profile)


@pytest.mark.parametrize("value", ["nan", float("inf"), "-inf", "1e999"])
def test_a_number_laid_over_a_profile_is_finite(root, value):
    (root / "notebooks" / "profiles").mkdir(exist_ok=True)
    (root / "notebooks" / "profiles" / "quick.yml").write_text("")
    with pytest.raises(ValueError, match=r"takes U like 3\.0"):
        lay({"U": value}, (), read_pages(root, "quick"))
