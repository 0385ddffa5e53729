"""Claims of the book: what they may compare, and that each rests on values that a page glues."""

import ast
import re

import nbformat
import numpy as np
import pytest
import yaml

from stm_core.study import CHECKOUT
from stm_core.study.claims import Claim, check_claims, claims_table, glued_values, read_claims
from tests.tiny_study import NOTEBOOKS, PAGES

CLAIMS = read_claims(CHECKOUT / "book" / "claims.yml")
VALUES = {
    "mae": 0.2,
    "guess": 1.2,
    "count": 3,
    "verdict": "finds",
    "word": "not measured",
    "lost": float("nan"),
}


def borne_out(holds: str) -> bool:
    return check_claims([Claim("book/intro", "It is so.", holds)], VALUES)[0].borne_out


@pytest.mark.parametrize(
    "holds, expected",
    [
        ("mae < guess", True),
        ("guess < mae", False),
        ("mae < guess / 10", False),
        ("guess >= 6 * mae - 1e-9", True),
        ("guess - mae == 1.0", True),
        ("-mae < 0 < count + 1", True),
        ("0 < mae < 0.1", False),
        ("count == 3 and guess > mae", True),
        ("count == 3 and guess < mae", False),
        ("count == 4 or guess > mae", True),
        ("count != 3 or guess < mae", False),
        ("verdict == 'finds'", True),
        ("verdict != 'finds'", False),
        ("lost < 1 or lost >= 1", False),
        ("word < 1", False),
        ("mae / (count - 3) > 0", False),
    ],
)
def test_a_claim_holds(holds, expected):
    assert borne_out(holds) is expected


@pytest.mark.parametrize(
    "holds",
    [
        "mae",
        "mae < ",
        "mae + guess",
        "True",
        "mae < True",
        "not mae < guess",
        "mae in guess",
        "abs(mae) < guess",
        "mae.real < guess",
        "mae[0] < guess",
        "mae ** guess < 1",
        "[mae] < [guess]",
        "mae < guess and 'yes'",
        "(mae := 3) < guess",
        "__import__('os').system('true') == 0",
    ],
)
def test_only_comparisons_of_values_are_taken(tmp_path, holds):
    path = tmp_path / "claims.yml"
    path.write_text(yaml.safe_dump([{"page": "book/intro", "says": "It is so.", "holds": holds}]))
    with pytest.raises(ValueError, match=r"claim 1 of claims\.yml must hold a comparison"):
        read_claims(path)


def test_a_key_that_no_page_glues_is_named():
    with pytest.raises(ValueError, match=r"'It is so\.' rests on rmse, which no page glues"):
        borne_out("rmse < guess")


def test_a_list_is_asked_for(tmp_path):
    (tmp_path / "claims.yml").write_text("mae: guess")
    with pytest.raises(ValueError, match="must be a list of claims"):
        read_claims(tmp_path / "claims.yml")


def test_the_table_puts_the_values_in():
    claims = [
        Claim("notebooks/00_overview", "Less.", "mae < guess / 3"),
        Claim("book/limits", "It finds.", "verdict == 'seeks'"),
    ]
    rows = claims_table(check_claims(claims, VALUES)).splitlines()[2:]
    assert rows == [
        "| [Less.](../notebooks/00_overview.ipynb) | `mae < guess / 3` | `0.2 < 1.2 / 3` | yes |",
        "| [It finds.](limits.md) | `verdict == 'seeks'` | `'finds' == 'seeks'` | **no** |",
    ]


@pytest.mark.parametrize("value", [3, 0.25, np.float64(0.25), np.int64(3), "three", True])
def test_glued_values_are_read_back(value):
    data = {"application/papermill.record/text/plain": repr(value)}
    output = nbformat.v4.new_output("display_data", data, metadata={"scrapbook": {"name": "key"}})
    cell = nbformat.v4.new_code_cell("", outputs=[output])
    read = glued_values(nbformat.v4.new_notebook(cells=[cell]))["key"]
    assert read == value


def keys_glued() -> re.Pattern:
    """What the notebooks glue, told from code: what is put in when they run is a word or number of it."""
    patterns = []
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        nodes = list(ast.walk(ast.parse("\n".join(c.source for c in cells if c.cell_type == "code"))))
        words = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
        put_in = "|".join(word for word in words if re.fullmatch(r"\w*", word))
        for node in nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "glue":
                parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else node.args[:1]
                texts = [part.value if isinstance(part, ast.Constant) else f"(?:{put_in})" for part in parts]
                patterns.append("".join(texts))
    return re.compile("|".join(pattern for pattern in patterns if pattern.startswith("nb")))


def test_the_claims_of_the_book_stand_on_its_pages_and_rest_on_what_they_glue():
    assert len(CLAIMS) >= 30
    glued = keys_glued()
    assert [key for claim in CLAIMS for key in claim.keys if not glued.fullmatch(key)] == []
    assert {claim.page for claim in CLAIMS} <= set(PAGES)
    assert len({claim.says for claim in CLAIMS}) == len(CLAIMS)
    assert [claim.says for claim in CLAIMS if "|" in claim.says or not claim.keys] == []
