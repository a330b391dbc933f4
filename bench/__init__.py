"""Benchmarks of the compiled engine against its peers: ``python -m bench``."""

import sys
from pathlib import Path

# Run from a clone, the source folder comes first on the path. What is measured is what is
# installed.
if sys.path and Path(sys.path[0]).resolve() == Path(__file__).resolve().parent.parent:
    del sys.path[0]
