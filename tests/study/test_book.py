"""What a book holds and says, from two small notebooks."""

import re
import shlex
import shutil
import subprocess
import sys
from html import unescape

import nbformat
import pytest
import yaml

from stm_core.study import BookFailed, ClaimsNotBorneOut, run_study
from stm_core.study.staging import command
from tests.study.checkout import CALLS, INTRO, page, words


def test_the_book_holds_what_the_profile_asked_for(template):
    assert "Twice U is <span" in page(template, "book/intro")
    assert "8.00" in page(template, "book/intro")
    assert "4.0 7" in page(template, "notebooks/01_second")


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
