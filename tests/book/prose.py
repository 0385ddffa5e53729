"""The words of the study's pages, and the numbers with units that someone typed into them."""

import re
from pathlib import Path

import nbformat

from stm_core.study import CHECKOUT

NUMBER = re.compile(
    r"(?<![\w.,/^_+-])[−-]?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?(?:\s*±\s*\d+(?:\.\d+)?)?\s*"
    r"(?:(?:m|µ|k)?eV|Å|nm|pm|%|°|K|GPa|[kMG]B|m?s|seconds?|minutes?|hours?|times|fold)(?![\w/])"
)
CITED = re.compile(r"\{cite[^}]*\}`")
HIDDEN = (
    re.compile(
        r"^(`{3,})\{(?:glossary|dropdown|admonition|note|tip)\}.*$|^`{3,}\s*$", re.MULTILINE
    ),  # fences of prose
    re.compile(r"^(`{3,}|~{3,}).*?^\1\s*$", re.MULTILINE | re.DOTALL),
    re.compile(r"\{(?!cite)[\w:]+\}`[^`]*`"),
    re.compile(r"(?<!\})`[^`\n]*`"),
    re.compile(r"\]\([^)]*\)"),
)
FORMULA = re.compile(r"\$\$(.*?)\$\$|\$([^$\n]+)\$", re.DOTALL)
# A formula as it is read aloud: units upright or not, spaces of any width, powers of ten.
READ_ALOUD = (
    (re.compile(r"\\(?:mathrm|text|mathsf)\s*(?:\{([^}]*)\}|(\w))"), r"\1\2"),
    (re.compile(r"\\(?:[,;:! ]|quad|qquad)|~|\{\}"), " "),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"\^\{?\\circ\}?"), "°"),
    (re.compile(r"(?:\\cdot\s*|\\times\s*)?10\^(?:\{(-?\d+)\}|(\d))"), r"e\1\2"),
    (re.compile(r"(?<!\d)e(-?\d+)"), r"1e\1"),
)
SENTENCE = re.compile(r"(?<=[.?!])\**\s+(?=[\W\dA-ZÀ-Þ])|\n\s*(?:[-*]|\d+\.)\s")


def paragraphs(path: Path) -> list[str]:
    """Paragraphs of a page or notebook in order; a table is one paragraph."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    return [part for part in re.split(r"\n\s*\n", _without_code(text)) if part.strip()]


def _without_code(text: str) -> str:
    for pattern in HIDDEN[:1]:
        text = pattern.sub(lambda found: "" if found.group(1) else found.group(), text)
    for pattern in HIDDEN[1:]:
        text = pattern.sub(" · ", text)
    return FORMULA.sub(_read_aloud, text)


def _read_aloud(formula: re.Match[str]) -> str:
    text = formula.group(1) or formula.group(2)
    for pattern, words in READ_ALOUD:
        text = pattern.sub(words, text)
    return text


def statements(paragraph: str) -> list[str]:
    """Sentences of a paragraph, or the cells of a table: what one citation can speak for."""
    if paragraph.lstrip().startswith("|"):
        return paragraph.split("|")
    return SENTENCE.split(paragraph)


def typed_numbers(path: Path) -> list[str]:
    """Numbers with units in the prose of a page that no citation in their sentence or cell accounts for."""
    found = []
    for paragraph in paragraphs(path):
        for statement in statements(paragraph):
            if not CITED.search(statement):
                found += [" ".join(number.group().split()) for number in NUMBER.finditer(statement)]
    return found


def all_pages() -> list[Path]:
    """Pages of the book and notebooks of the study."""
    return [*sorted((CHECKOUT / "book").glob("*.md")), *sorted((CHECKOUT / "notebooks").glob("*.ipynb"))]
