"""The study: execute the ordered notebooks with a profile, then build the book from them.

Every executed notebook is cached under the digest of all it depends on (its source, its parameters, the part
of the library it imports, the pins and the data), so a second run repeats only what changed. The book is
built from executed notebooks alone: Sphinx runs nothing.

Folders, all below ``<output>/_build``: ``executed`` (the cache), ``partial`` (the notebook being run, or the
one that failed), ``checkpoints`` (trained networks), ``src`` (what Sphinx reads) and ``html`` (the book).
"""

from stm_core.study.book import BookFailed
from stm_core.study.cache import NotebookFailed
from stm_core.study.claims import ClaimsNotBorneOut
from stm_core.study.runner import CHECKOUT, run_study

__all__ = ["CHECKOUT", "BookFailed", "ClaimsNotBorneOut", "NotebookFailed", "run_study"]
