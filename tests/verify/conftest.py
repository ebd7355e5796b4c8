"""The networks and runs of the hls tests are those of the verify tests too."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "hls"))
