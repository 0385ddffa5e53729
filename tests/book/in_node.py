"""The page's own scripts, run in node: arrays go in and come out as JSON."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import playwright

from stm_core.study import CHECKOUT

SCRIPTS = CHECKOUT / "book" / "_static" / "stm"
PROGRAM = """
const { readFileSync } = require("fs");
const vm = require("vm");
const { scripts, given, body } = JSON.parse(readFileSync(0, "utf8"));
for (const path of scripts) vm.runInThisContext(readFileSync(path, "utf8"), { filename: path });
const answer = vm.runInThisContext("(given, stm) => {" + body + "}")(given, globalThis.stm);
const plain = (key, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);
process.stdout.write(JSON.stringify(answer, plain));
"""


def in_node(body: str, given: dict[str, Any], scripts: tuple[str, ...]) -> Any:
    """What the function body of JavaScript returns for ``given``, after loading the named scripts."""
    paths = [str(path) for path in map(_script, scripts)]
    stdin = json.dumps({"scripts": paths, "given": given, "body": body})
    done = subprocess.run([_node(), "-e", PROGRAM], input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _node() -> str:
    """The node of this machine, or else the one that playwright brings for itself."""
    return shutil.which("node") or str(Path(playwright.__file__).parent / "driver" / "node")


def _script(name: str) -> Path:
    path = SCRIPTS / f"{name}.js"
    assert path.is_file(), path
    return path
