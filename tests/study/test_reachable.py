"""Which files a page depends on: all that it can reach, and few that it cannot."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest

from stm_core.learning import registry, study_models
from stm_core.study import CHECKOUT
from stm_core.study.reachable import Library

ROOMS = ("simulation", "imaging", "data", "learning", "insight", "viewing")
FILES = {
    "__init__.py": "__version__ = '1'",
    "low/__init__.py": "from .used import one\nfrom .unused import two as other\n"
    "from stm_core.low.late import *\nLIMIT = 3",
    "low/used.py": "from .helper import help\n\ndef one():\n    return help()",
    "low/helper.py": "def help():\n    '''Not that of\n    stm_core.high.'''",
    "low/unused.py": "import stm_core\ntwo = stm_core.__version__",
    "low/late.py": "three = 3",
    "high/__init__.py": "from stm_core.high.registry import build\nfrom stm_core.high.model import Model",
    "high/registry.py": "MODELS = {}\n\ndef register(model):\n    MODELS[model.__name__] = model\n"
    "\ndef build(name):\n    return MODELS[name]()\n\nclass Base:\n    pass",
    "high/model.py": "from stm_core.high.registry import register\nfrom stm_core.low import one\n"
    "\n@register\nclass Model:\n    pass",
    "high/called.py": "from stm_core.high import registry\nregistry.register(int)",
    "high/given.py": "from .registry import register\nREGISTERED = register(float)",
    "high/entered.py": "from .registry import MODELS\nif True:\n    MODELS['text'] = str",
    "high/derived.py": "from .registry import Base\n\nclass Derived(Base):\n    pass",
    "high/reader.py": "from .registry import build, Base\n\ndef read():\n    return build('Model')\n"
    "BASE = Base()",
    "high/starred.py": "from .registry import *\nregister(bytes)",
    "high/dynamic.py": "from importlib import import_module\nroom = import_module('stm_core.low.late')",
}
REGISTRY = "registry model called given entered derived starred"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    root = tmp_path_factory.mktemp("checkout")
    for name, code in FILES.items():
        path = root / "stm_core" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    return Library(root)


def reached(library: Library, code: str) -> set[str]:
    """Names of the files that ``code`` reaches, without those of the rooms' own ``__init__``."""
    return {path.stem for path in library.reached_by(code)} - {"__init__"}


@pytest.mark.parametrize(
    "code, expected",
    [
        ("import numpy", ""),
        ("from stm_core.low import one", "used helper"),
        ("from stm_core.low import one as first", "used helper"),
        ("def late():\n    from stm_core.low import one", "used helper"),
        ("from stm_core.low.used import one", "used helper"),
        ("from stm_core.low import used", "used helper"),
        ("from stm_core.low import other", "unused"),
        ("import stm_core.low.helper", "helper"),
        ("from stm_core import __version__", ""),
        ("import stm_core\nprint(stm_core.__version__)", ""),
        ("import stm_core\nstm_core.low.one()", "used helper"),
        ("room = 'stm_core.low.late'", "late"),
        ("discover('stm_core.low')", "used helper unused late"),
        ("from stm_core.high import dynamic", "dynamic late"),
        # What cannot be told takes all of the room, or of the library.
        ("import stm_core.low", "used helper unused late"),
        ("import stm_core.low as rooms", "used helper unused late"),
        ("from stm_core import low", "used helper unused late"),
        ("from stm_core.low import three", "used helper unused late"),
        ("from stm_core.low import *", "used helper unused late"),
        ("import stm_core\ngetattr(stm_core, name)", "used helper unused late reader dynamic " + REGISTRY),
        # A name of the room itself may be made of anything that it imports.
        ("from stm_core.low import LIMIT", "used helper unused late"),
        # Who builds by name depends on all that puts names there.
        ("from stm_core.high import build", "used helper " + REGISTRY),
        ("from stm_core.high.reader import read", "used helper reader " + REGISTRY),
    ],
)
def test_code_reaches(library, code, expected):
    assert reached(library, code) == set(expected.split())


def test_a_room_counts_though_not_all_that_it_imports(library):
    names = {str(path.parent.name) for path in library.reached_by("from stm_core.high import build")}
    assert names == {"stm_core", "high", "low"}


@pytest.mark.parametrize("room", ROOMS)
def test_every_offered_name_leads_to_the_file_that_defines_it(room):
    library, module = Library(CHECKOUT), import_module(f"stm_core.{room}")
    for name in module.__all__:
        offered = getattr(module, name)
        if inspect.isclass(offered) or inspect.isfunction(offered):
            files = library.reached_by(f"from stm_core.{room} import {name}")
            assert Path(inspect.getfile(offered)) in files, name


@pytest.mark.parametrize("name", ["build_model", "load_checkpoint", "trained_regressor", "predict"])
def test_who_builds_a_model_by_name_depends_on_all_models(name):
    files = Library(CHECKOUT).reached_by(f"from stm_core.learning import {name}")
    assert registry.registered()
    for model, config in registry.registered().values():
        assert {Path(inspect.getfile(model)), Path(inspect.getfile(config))} <= set(files)


def test_a_trained_model_depends_on_the_files_after_which_it_is_named():
    files = Library(CHECKOUT).reached_by("from stm_core.learning import study_checkpoint")
    assert set(study_models._FITTED_BY) <= set(files)


def test_a_page_about_the_lattice_knows_nothing_of_networks():
    code = "from stm_core.simulation import TwistedBilayer\nfrom stm_core.viewing import ldos_map"
    rooms = {path.relative_to(CHECKOUT).parts[1] for path in Library(CHECKOUT).reached_by(code)}
    assert not rooms & {"learning", "insight", "study"}
