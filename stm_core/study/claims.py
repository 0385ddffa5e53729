"""What the book claims in words, and whether the values that its pages glued bear it out."""

from __future__ import annotations

import ast
import logging
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml

logger = logging.getLogger(__name__)

_GLUED = "scrapbook"
_STORED = "application/papermill.record/text/plain"
_FIELDS = {"page", "says", "holds"}
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_COMPARISON: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


class ClaimsNotBorneOut(RuntimeError):
    """The message names each claim with what does not hold."""


@dataclass(frozen=True)
class Claim:
    """A sentence of the book, and what makes it true.

    Attributes
    ----------
    page : str
        Page it stands on, as the table of contents names it.
    says : str
        The claim in words.
    holds : str
        Comparison of glued values by their keys, such as ``nb00_mae < nb00_rounding``. Comparisons may be
        joined by ``and`` and ``or``; values may be added, subtracted, multiplied and divided.
    """

    page: str
    says: str
    holds: str

    @property
    def keys(self) -> list[str]:
        """Keys of the glued values it rests on, sorted."""
        return sorted({node.id for node in ast.walk(ast.parse(self.holds)) if isinstance(node, ast.Name)})


@dataclass(frozen=True)
class Verdict:
    """A claim with its values put in (``0.188 < 0.245``), and whether they bear it out."""

    claim: Claim
    found: str
    borne_out: bool


def read_claims(path: Path) -> list[Claim]:
    """Claims of a YAML list.

    Raises
    ------
    ValueError
        If an entry lacks a field or has another, or what should hold is no comparison of values.
    """
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(entries, list):
        raise ValueError(f"{path.name} must be a list of claims")
    claims = []
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or set(entry) != _FIELDS:
            raise ValueError(f"claim {number} of {path.name} must have the fields page, says and holds")
        claims.append(Claim(**{field: str(text).strip() for field, text in entry.items()}))
        try:
            _compared(ast.parse(claims[-1].holds, mode="eval").body, None)
        except (SyntaxError, ValueError) as error:
            raise ValueError(
                f"claim {number} of {path.name} must hold a comparison of glued values and numbers, "
                f"not {claims[-1].holds!r}"
            ) from error
    return claims


def glued_values(notebook: nbformat.NotebookNode) -> dict[str, Any]:
    """Values that an executed notebook glued into its prose, by key; figures are left out."""
    values = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            key = output.get("metadata", {}).get(_GLUED, {}).get("name")
            text = output.get("data", {}).get(_STORED) or output.get("data", {}).get("text/plain")
            if key and text:
                values[key] = _literal(text)
    return values


def _literal(text: str) -> Any:
    if text.startswith("np."):  # NumPy 2 writes its scalars as np.float64(0.1)
        text = text.split("(", 1)[1].rstrip(")")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def check_claims(claims: Sequence[Claim], values: Mapping[str, Any]) -> list[Verdict]:
    """Whether each claim is borne out by the glued ``values``.

    A claim that compares what cannot be compared, such as a word with a number, is not.

    Raises
    ------
    ValueError
        If a claim names a key that no page glued.
    """
    verdicts = []
    for claim in claims:
        unknown = [key for key in claim.keys if key not in values]
        if unknown:
            raise ValueError(f"the claim {claim.says!r} rests on {', '.join(unknown)}, which no page glues")
        found = re.sub(r"\b[a-z]\w*\b", lambda key: _shown(values, key.group()), claim.holds)
        try:
            borne_out = _compared(ast.parse(claim.holds, mode="eval").body, values)
        except (TypeError, ZeroDivisionError):
            borne_out = False
        verdicts.append(Verdict(claim, found, borne_out))
        if not borne_out:
            logger.warning("not borne out: %s (%s: %s)", claim.says, claim.holds, found)
    return verdicts


def _shown(values: Mapping[str, Any], word: str) -> str:
    if word not in values:
        return word
    return f"{values[word]:.4g}" if isinstance(values[word], float) else repr(values[word])


def require(verdicts: Sequence[Verdict]) -> None:
    """Raise ClaimsNotBorneOut if a claim is not borne out."""
    failed = [f"{v.claim.says!r} ({v.claim.holds}: {v.found})" for v in verdicts if not v.borne_out]
    if failed:
        raise ClaimsNotBorneOut(f"the values of this build do not bear out {'; '.join(failed)}")


def _compared(node: ast.expr, values: Mapping[str, Any] | None) -> bool:
    """Truth of a comparison. Without ``values`` it is only made sure that it is one, whatever the result."""
    if isinstance(node, ast.BoolOp):
        truths = [_compared(part, values) for part in node.values]
        return all(truths) if isinstance(node.op, ast.And) else any(truths)
    if not isinstance(node, ast.Compare) or any(type(sign) not in _COMPARISON for sign in node.ops):
        raise ValueError(ast.unparse(node))
    terms = [_valued(term, values) for term in (node.left, *node.comparators)]
    pairs = zip(node.ops, terms, terms[1:], strict=False)
    return values is None or all(_COMPARISON[type(sign)](left, right) for sign, left, right in pairs)


def _valued(node: ast.expr, values: Mapping[str, Any] | None) -> Any:
    match node:
        case ast.Name(id=key):
            return values[key] if values is not None else None
        case ast.Constant(value=str() | float() | int() as value) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            value = _valued(inner, values)
            return -value if values is not None else None
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _ARITHMETIC:
            both = _valued(left, values), _valued(right, values)
            return _ARITHMETIC[type(sign)](*both) if values is not None else None
    raise ValueError(ast.unparse(node))


def claims_table(verdicts: Sequence[Verdict]) -> str:
    """Markdown table of all claims, for a page beside the book's others."""
    rows = ["| the book says | so it must hold that | here | borne out |", "|---|---|---|---|"]
    for verdict in verdicts:
        folder, name = verdict.claim.page.split("/")
        link = f"../notebooks/{name}.ipynb" if folder == "notebooks" else f"{name}.md"
        answer = "yes" if verdict.borne_out else "**no**"
        checked = f"`{verdict.claim.holds}` | `{verdict.found}` | {answer}"
        rows.append(f"| [{verdict.claim.says}]({link}) | {checked} |")
    return "\n".join(rows)
