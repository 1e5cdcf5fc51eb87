"""On a child's path: puts a small stand-in for convbench.runner in place, so that a child starts without torch.

What is tested with it is everything around the runner: processes, pipes, deadlines, files.
"""

import sys

import convbench
from tests.stub import runner

sys.modules["convbench.runner"] = runner
convbench.runner = runner  # type: ignore[attr-defined]
