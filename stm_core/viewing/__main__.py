"""The picture of the leaderboard: ``python -m stm_core.viewing board.png``."""

from __future__ import annotations

import json
import sys

from stm_core.learning import read_results
from stm_core.viewing.board import board_errors, board_figure


def main(arguments: list[str]) -> int:
    """Draw the shipped results into the named file; returns the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("python -m stm_core.viewing takes one argument, the file of the picture\n")
        return 2
    try:
        errors = board_errors(read_results().values())
        board_figure(errors).savefig(arguments[0], metadata={"Description": json.dumps(errors)})
    except (ValueError, OSError) as error:
        sys.stderr.write(f"stm_core.viewing: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
