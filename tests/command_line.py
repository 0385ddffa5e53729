"""What the command line says when it refuses."""

import pytest

from stm_core.__main__ import main


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line in which the command refuses, with exit code 2."""
    assert main([str(argument) for argument in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    # A progress bar that had begun may stand before it.
    (line,) = [line for line in said.err.splitlines() if line.startswith("stm_core: ")]
    return line
