"""No number with a unit is typed into the prose: it is glued, cited, or listed here with its reason."""

from pathlib import Path

import pytest

from tests.book.prose import all_pages, typed_numbers

# What is true by definition or by choice, whatever the data say.
EVERYWHERE = {
    "5 eV": "largest U that the paper's protocol trains on",
    "6 eV": "largest U of the study",
    "60°": "a turn of the sixfold axis",
    "90 %": "share that every interval of the study promises",
}
HERE = {
    "01_moire_lattice": {"4 Å": "a cut-off that an exercise proposes"},
    "09_explorer": {"0.05 eV": "step of the live slider"},
    "10_engine": {
        "30 meV": "a gap that an exercise supposes",
        "20 eV": "the span of levels that it supposes",
        "1e-6 eV": "their rounding in single precision, in its solution",
    },
}


@pytest.mark.parametrize("path", all_pages(), ids=lambda path: path.stem)
def test_numbers_in_prose_are_glued_or_cited(path):
    typed = set(typed_numbers(path)) - set(EVERYWHERE) - set(HERE.get(path.stem, ()))
    assert typed == set()


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("The error is 0.31 eV.", ["0.31 eV"]),
        ("It fell by 12 % and took 3.5 s, at −20 meV.", ["12 %", "3.5 s", "−20 meV"]),
        ("It is 100 times faster.", ["100 times"]),
        ("They report 0.14 ± 0.03 eV.", ["0.14 ± 0.03 eV"]),
        ("They report 0.14 eV {cite}`someone`.", []),
        ("The error is {glue:text}`nb:.2f` eV, at $U = 3$ eV.", ["3 eV"]),
        (r"It is $11.6\,\mathrm K$, or $1\ \mathrm{meV}$ of $k_B T$.", ["11.6 K", "1 meV"]),
        (r"Below $10^{-6}\ \mathrm{eV}$, a turn of $30^\circ$, half: $50\,\%$.", ["1e-6 eV", "30°", "50 %"]),
        (r"$$ E < 6\cdot10^{-3}\ \text{eV} $$ (nb-label)", ["6e-3 eV"]),
        ("Run `-p U 4.0` eV.\n\n```bash\nsleep 5 s\n```", []),
        ("See {cite}`someone`:\n\n| a | 3 eV |\n|---|---|", ["3 eV"]),
        ("| a | 3 eV {cite:yearpar}`someone` | 4 eV |\n|---|---|---|", ["4 eV"]),
        ("````{dropdown} Solutions\nIt is 5 eV.\n````", ["5 eV"]),
        ("Chapter 3 says so; figure 2, too.", []),
        ("At 5 eV {cite}`someone`.\n\nAt 6 eV.", ["6 eV"]),
        ("They {cite}`someone` say 5 eV. Then $U$ is 6 eV. *So* it is.", ["6 eV"]),
        ("- 5 eV {cite}`someone`;\n- 6 eV", ["6 eV"]),
    ],
)
def test_the_walk_finds_what_was_typed(tmp_path: Path, text, numbers):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    assert typed_numbers(page) == numbers
