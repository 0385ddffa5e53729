"""The runner on two small notebooks: what it runs again, what it refuses, what it leaves behind."""

import re
import shlex
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml

from stm_core.study import CHECKOUT, BookFailed, ClaimsNotBorneOut, NotebookFailed, run_study
from stm_core.study.staging import command

PARAMETERS = {
    "00_first": 'U = 3.0  # eV\nsteps = 5\ndataset = ""',
    "01_second": 'seed = 0\nU = 1.0  # eV\ncheckpoints = "_build/checkpoints"',
}
CALLS = {
    "00_first": 'from myst_nb import glue\nglue("doubled", 2 * U, display=False)',
    "01_second": "from myst_nb import glue\nimport stm_core.viewing\n"
    "glue('place', checkpoints, display=False)\nprint(U, seed)",
}
TOC = (
    "format: jb-book\nroot: book/intro\nparts:\n- caption: Empty\n- caption: All\n"
    "  chapters:\n  - file: book/claims\n"
)
CLAIMS = """
- {page: notebooks/00_first, says: Twice is more., holds: doubled > 7}
- {page: book/intro, says: Half of it is U., holds: 1 < doubled / 2 < 10}
"""
INTRO = "# Cover\n\nTwice U is {glue:text}`../notebooks/00_first.ipynb::doubled:.2f` eV.\n"


def write_notebook(root: Path, name: str, calls: str, part: str = "All") -> None:
    cells = [
        nbformat.v4.new_markdown_cell(f"# {name}"),
        nbformat.v4.new_code_cell(PARAMETERS[name], metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(calls),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "stm_core": {"part": part}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with two notebooks, built once, so that each test starts from a full cache."""
    root = tmp_path_factory.mktemp("template")
    (root / "notebooks" / "profiles").mkdir(parents=True)
    (root / "notebooks" / "data").mkdir()
    (root / "notebooks" / "data" / "sweep.nc").write_bytes(b"one")
    (root / "notebooks" / "models").mkdir()
    (root / "notebooks" / "models" / "bragg.pt").write_bytes(b"one")
    (root / "notebooks" / "profiles" / "quick.yml").write_text("every_page: {U: 4}\n01_second: {seed: 7}\n")
    for name, calls in CALLS.items():
        write_notebook(root, name, calls)
    (root / "book").mkdir()
    for kept in ("_static", "_ext", "_templates", "references.bib"):
        copy = shutil.copytree if (CHECKOUT / "book" / kept).is_dir() else shutil.copy
        copy(CHECKOUT / "book" / kept, root / "book" / kept)
    (root / "book" / "_toc.yml").write_text(TOC)
    (root / "book" / "intro.md").write_text(INTRO)
    (root / "book" / "claims.md").write_text("# Claims\n")
    (root / "book" / "claims.yml").write_text(CLAIMS)
    shutil.copy(CHECKOUT / "_config.yml", root)
    (root / "constraints.txt").write_text("numpy==2.0\n")
    for room in ("learning", "viewing", "insight"):
        (root / "stm_core" / room).mkdir(parents=True)
        (root / "stm_core" / room / "__init__.py").write_text("from . import code\n")
        (root / "stm_core" / room / "code.py").write_text("")
    (root / "stm_core" / "__init__.py").write_text("")
    (root / "stm_core" / "viewing" / "code.py").write_text("def draw():\n    import stm_core.learning.code\n")
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


def page(root: Path, name: str) -> str:
    return (root / "_build" / "html" / f"{name}.html").read_text()


def words(root: Path, name: str) -> str:
    """What a reader of the page sees."""
    return " ".join(unescape(re.sub("<[^>]+>", "", page(root, name))).split())


def test_the_book_holds_what_the_profile_asked_for(template):
    assert "Twice U is <span" in page(template, "book/intro")
    assert "8.00" in page(template, "book/intro")
    assert "4.0 7" in page(template, "notebooks/01_second")


def test_nothing_runs_twice_and_an_unchanged_book_is_left_alone(root, ran, monkeypatch):
    def refused(*arguments, **options):
        raise AssertionError("Sphinx was called for a book that is there already")

    before = page(root, "notebooks/01_second")
    monkeypatch.setattr(subprocess, "run", refused)
    run_study(root)
    assert ran == []
    assert page(root, "notebooks/01_second") == before


@pytest.mark.parametrize("change", ["intro.md", "_static/custom.css", "../_config.yml", "../constraints.txt"])
def test_a_changed_book_is_built_again(root, monkeypatch, change):
    asked = []

    def noted(command, **options):
        asked.append(command)
        raise KeyboardInterrupt

    path = root / "book" / change
    path.write_text(path.read_text() + "\n")
    monkeypatch.setattr(subprocess, "run", noted)
    with pytest.raises(KeyboardInterrupt):
        run_study(root)
    assert len(asked) == 1


def test_a_page_says_what_it_was_made_from(template):
    made = re.sub("<[^>]+>", "", page(template, "notebooks/01_second"))
    assert "How this page was made" in made
    assert "seed = 7" in made
    assert "papermill notebooks/01_second.ipynb out.ipynb -p U 4.0 -p seed 7" in unescape(made)
    executed = template / "_build" / "html" / "_sources" / "notebooks" / "01_second.ipynb"
    assert nbformat.read(executed, as_version=4).cells[-2].outputs
    assert f'_sources/notebooks/{executed.name}" download' in page(template, "notebooks/01_second")
    assert str(template) not in made


def test_a_page_that_quotes_others_says_what_they_were_made_from(template):
    for name in ("book/intro", "book/claims"):
        made = words(template, name)
        assert "How this page was made" in made
        assert "for all 2 notebooks" in made
        assert "python -m stm_core study --profile quick" in made
        assert str(template) not in made


def test_the_command_of_a_page_gives_its_values_back(tmp_path):
    parameters = {"U": 2.5, "scan": [1.0, 2.0], "style": "linear", "dataset": "sweep.nc", "quick": True}
    words = shlex.split(command("00_first", parameters))
    assert words[:3] == ["papermill", "notebooks/00_first.ipynb", "out.ipynb"]
    given = {}
    for flag, *rest in (words[n:] for n, word in enumerate(words) if word.startswith("-")):
        given |= yaml.safe_load(rest[0]) if flag == "-y" else {rest[0]: yaml.safe_load(rest[1])}
    assert given == parameters
    assert "-p" not in shlex.split(command("00_first", {"dataset": "", "checkpoints": "_build/checkpoints"}))


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


def test_what_one_page_was_given_is_told_on_those_that_quote_it(root):
    run_study(root, only=["00"], overrides={"U": 3.9, "dataset": str(root / "constraints.txt")})
    made = words(root, "book/intro")
    assert "quick, with U = 3.9, dataset = 'constraints.txt' on 00_first" in made
    assert "--profile quick --only 00_first -p U 3.9 -p dataset constraints.txt" in made
    assert str(root) not in made


def test_a_claim_that_is_not_borne_out_is_told_and_fails_only_where_that_was_asked(root, caplog):
    run_study(root, only=["00"], overrides={"U": 2.5})
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert told == ["not borne out: Twice is more. (doubled > 7: 5 > 7)"]
    with pytest.raises(ClaimsNotBorneOut, match=r"'Twice is more\.' \(doubled > 7: 6 > 7\)"):
        run_study(root, only=["00"], overrides={"U": 3.0}, strict=True)
    assert "6 > 7" in words(root, "book/claims"), "the book is built all the same"
    run_study(root, strict=True)
    assert "8 > 7" in words(root, "book/claims")


@pytest.mark.parametrize(
    "claim, message",
    [
        (
            "{page: book/intro, says: More., holds: tripled > 7}",
            "'More.' rests on tripled, which no page glues",
        ),
        ("{page: book/intro, says: More., holds: doubled}", "claim 1 of claims.yml must hold a comparison"),
        ("{page: book/intro, says: More.}", "claim 1 of claims.yml must have the fields"),
    ],
)
def test_a_claim_that_cannot_be_checked_is_refused(root, claim, message):
    (root / "book" / "claims.yml").write_text(f"- {claim}\n")
    with pytest.raises(ValueError, match=message):
        run_study(root, book=False)


def test_from_a_page_on_all_run_again(root, ran):
    run_study(root, start="01_second", book=False)
    assert ran == ["01_second"]


def test_networks_are_kept_where_pages_with_the_same_settings_find_them(root):
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
    assert place(overrides={"seed": 8}) != first
    (root / "stm_core" / "learning" / "code.py").write_text("rate = 1")
    assert place() != first


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


def test_an_exponent_without_a_point_is_a_number(root, ran):
    run_study(root, only=["00_first"], overrides={"U": "1e-3"}, book=False)
    assert ran == ["00_first"]


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


def test_a_single_file_needs_a_browser(root, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(BookFailed, match="install one of chromium"):
        run_study(root, single_file=True)


BROWSER_THAT_LOOKS = """#!{python}
import re, sys
from pathlib import Path
from urllib.parse import urlparse
page = Path(urlparse(sys.argv[-1]).path)
html = page.read_text()
asked = [name.split("?")[0] for name in re.findall(r'(?:src|href)="((?:_static|_images)/[^"]+)"', html)]
missing = [name for name in asked if not (page.parent / name).is_file()]
target = next(word.split("=", 1)[1] for word in sys.argv if word.startswith("--print-to-pdf="))
closed = re.findall("<details(?! open)[^>]*>", html)
code = [one for one in closed if "hide" in one]
Path(target).write_text(f"{{len(asked) > 5}} {{missing}} {{len(code) > 0}} {{len(closed) - len(code)}}")
"""


def test_a_single_file_holds_all_that_its_page_asks_for(root, monkeypatch, tmp_path):
    browser = tmp_path / "chromium"
    browser.write_text(BROWSER_THAT_LOOKS.format(python=sys.executable))
    browser.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(browser))
    assert run_study(root, single_file=True).read_text() == "True [] True 0"


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


def test_the_contents_list_the_notebooks_that_are_there(template):
    staged = yaml.safe_load((template / "_build" / "src" / "book" / "_toc.yml").read_text())
    files = [{"file": f"notebooks/{name}"} for name in CALLS]
    assert staged["parts"] == [{"caption": "All", "chapters": [*files, {"file": "book/claims"}]}]


def test_a_warning_fails_the_book_and_keeps_the_last_good_one(root):
    good = page(root, "book/intro")
    (root / "book" / "intro.md").write_text(INTRO + "\n[nowhere](missing.md)\n")
    with pytest.raises(BookFailed, match="missing"):
        run_study(root)
    assert page(root, "book/intro") == good
