"""The words of the study's pages, and the numbers with units that someone typed into them."""

import re
from pathlib import Path

import nbformat

from stm_core.study import CHECKOUT

NUMBER = re.compile(
    r"(?<![\w.,/^_+-])[−-]?\d+(?:[.,]\d+)*(?:\s*±\s*\d+(?:\.\d+)?)?\s*"
    r"(?:(?:m|µ|k)?eV|Å|nm|pm|%|°|K|GPa|[kMG]B|m?s|seconds?|minutes?|hours?|times|fold)(?![\w/])"
)
CITED = re.compile(r"\{cite[^}]*\}`")
HIDDEN = (
    re.compile(
        r"^(`{3,})\{(?:glossary|dropdown|admonition|note|tip)\}.*$|^`{3,}\s*$", re.MULTILINE
    ),  # fences of prose
    re.compile(r"^(`{3,}|~{3,}).*?^\1\s*$", re.MULTILINE | re.DOTALL),
    re.compile(r"\$\$.*?\$\$", re.DOTALL),
    re.compile(r"\$[^$\n]+\$"),
    re.compile(r"\{(?!cite)[\w:]+\}`[^`]*`"),
    re.compile(r"(?<!\})`[^`\n]*`"),
    re.compile(r"\]\([^)]*\)"),
)


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
    return text


def typed_numbers(path: Path) -> list[str]:
    """Numbers with units in the prose of a page that no citation in their paragraph accounts for.

    A table may lean on a citation in the paragraph before it, or in its own cells.
    """
    found, before = [], ""
    for paragraph in paragraphs(path):
        source = paragraph + (before if paragraph.lstrip().startswith("|") else "")
        if not CITED.search(source):
            found += [" ".join(number.group().split()) for number in NUMBER.finditer(paragraph)]
        before = paragraph
    return found


def all_pages() -> list[Path]:
    """Pages of the book and notebooks of the study."""
    return [*sorted((CHECKOUT / "book").glob("*.md")), *sorted((CHECKOUT / "notebooks").glob("*.ipynb"))]
