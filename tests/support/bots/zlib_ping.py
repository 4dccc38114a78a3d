"""The smallest bot, where zstandard is not installed."""

import runpy
import sys
from pathlib import Path

sys.modules["zstandard"] = None
runpy.run_path(str(Path(__file__).parents[3] / "examples" / "ping.py"), run_name="__main__")
