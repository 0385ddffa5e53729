"""Tables in a page's words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A figure that was aimed at and what it came to.

    Attributes
    ----------
    name : str
        What the figure is, with its unit.
    here, goal : float
        What was reached and what was wanted.
    at_least : bool
        Whether more is better.
    """

    name: str
    here: float
    goal: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it was reached; never of a figure that is no number."""
        return self.here >= self.goal if self.at_least else self.here <= self.goal


def markdown_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows of equal keys as a Markdown table whose head is the keys; a note that it is empty without rows."""
    if not rows:
        return "*none*"
    head = _line(rows[0]) + "\n|" + "---|" * len(rows[0])
    return "\n".join([head, *(_line(row.values()) for row in rows)])


def _line(cells: Iterable[object]) -> str:
    """One line of a table; a bar within a cell must not end it."""
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"


def target_table(targets: Sequence[Target]) -> str:
    """Targets as a Markdown table with a verdict for each."""
    return markdown_table(
        [
            {
                "target": target.name,
                "wanted": f"{'at least' if target.at_least else 'at most'} {target.goal:g}",
                "here": f"{target.here:.4g}",
                "verdict": "met" if target.met else "missed",
            }
            for target in targets
        ]
    )
