"""On a child's path: puts small stand-ins for convbench.runner and torch in place, so that a child starts at once.

What is tested with it is everything around the runner: processes, pipes, deadlines, files.
"""

import sys

import convbench
from tests.stub import device, runner

sys.modules["torch"] = device
sys.modules["convbench.runner"] = runner
convbench.runner = runner  # type: ignore[attr-defined]
