"""Other systems than Linux, played by this one: the modules that only Unix has are missing, or the name differs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from convbench.facts.values import InvalidValue
from convbench.sweep import config

ROOT = Path(__file__).parent.parent

WITHOUT_UNIX = """
import sys
for name in ("fcntl", "resource", "termios", "tty", "pwd", "grp"):
    sys.modules[name] = None
import filelock, getpass, tempfile, subprocess  # of Python and of others, with answers of their own for Windows
from convbench.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["compare", "--help"],
        *(
            pytest.param(words, marks=pytest.mark.slow)
            for words in (["--version"], ["--cfg", "job"], ["methods"], ["report", "--help"])
        ),
    ],
)
def test_without_the_modules_of_unix_one_can_ask_for_help(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_UNIX, *words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "Traceback" not in done.stderr


def test_memory_limit_is_refused_where_it_cannot_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.bytes_of("memory_limit", "4GB") == 4_000_000_000
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(InvalidValue, match="memory_limit='4GB' needs Linux") as caught:
        config.bytes_of("memory_limit", "4GB")
    assert caught.value.key == "memory_limit"
    assert config.bytes_of("memory_limit", None) is None
