"""Every numbered equation stands beside a link to what computes it, as the page of notation lists it."""

import re

import pytest

from stm_core.study import CHECKOUT
from tests.book.prose import all_pages
from tests.notebooks.test_house_rules import prose
from tests.tiny_study import NOTEBOOKS

LABEL = re.compile(r"\$\$ \(([\w-]+)\)")
SPELLING = re.compile(r"\\[!,;]|\\[bB]igg?[lr]?|\\left|\\right|\^\{\\vphantom\\dagger\}|[\s{}.,]")
LINK = re.compile(r"\{(?:func|class)\}`~?(stm_core\.[\w.]+)`")


def neighbourhoods(text: str) -> dict[str, str]:
    """Each equation's own paragraph with the one before and the one after it, by label."""
    paragraphs = re.split(r"\n\s*\n", text)
    return {
        label: "\n".join(paragraphs[max(0, place - 1) : place + 2])
        for place, paragraph in enumerate(paragraphs)
        for label in LABEL.findall(paragraph)
    }


BESIDE = {label: near for path in NOTEBOOKS for label, near in neighbourhoods(prose(path)).items()}


def listed() -> dict[str, set[str]]:
    """What the page of notation says computes each equation."""
    rows = re.findall(
        r"^\|(.*\{eq\}.*)\|(.*)\|$", (CHECKOUT / "book" / "notation.md").read_text(), re.MULTILINE
    )
    return {
        label: set(LINK.findall(links))
        for row, links in rows
        for label in re.findall(r"\{eq\}`([\w-]+)`", row)
    }


def test_the_page_of_notation_lists_every_equation_once():
    pages = "\n\n".join(path.read_text(encoding="utf-8") for path in all_pages() if path.suffix == ".md")
    assert not LABEL.findall(pages), "an equation outside the chapters"
    labels = [label for path in NOTEBOOKS for label in LABEL.findall(prose(path))]
    assert sorted(labels) == sorted(listed())


@pytest.mark.parametrize("label", BESIDE)
def test_what_computes_an_equation_is_linked_beside_it(label):
    assert set(LINK.findall(BESIDE[label])) & listed()[label], BESIDE[label]


def test_an_equation_far_from_its_function_is_noticed():
    near = neighbourhoods("$$ a = b $$ (nb-a)\n\nWords.\n\n{func}`~stm_core.imaging.ft_ldos` computes it.")
    assert LINK.findall(near["nb-a"]) == []


def test_no_equation_is_written_twice():
    bodies = [
        re.sub(SPELLING, "", body.replace(r"\neq", r"\ne"))
        for path in NOTEBOOKS
        for body in re.findall(r"\$\$(.*?)\$\$ \([\w-]+\)", prose(path), re.DOTALL)
    ]
    assert len(bodies) == len(set(bodies))
