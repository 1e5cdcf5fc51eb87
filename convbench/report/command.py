"""`python -m convbench report DIR [DIR2 …]`: one self-contained HTML file about one or more runs."""

from __future__ import annotations

from pathlib import Path

from ..results.files import replacing
from ..results.run_file import latest
from ..terminal.arguments import Arguments, writing


def main(argv: list[str]) -> int:
    """Writes the report and returns 0; raises InvalidValue."""
    parser = Arguments("report", description=__doc__)
    parser.add_argument(
        "folders", metavar="DIR", nargs="*", type=Path, help="a folder that a sweep wrote (default: results/latest)"
    )
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="the file to write (default: report.html in the first DIR)"
    )
    options = parser.parse_args(argv)
    folders = options.folders or [latest("report")]
    file = write(folders, options.out or default_file(folders[0]))
    print(f"report: {file}")
    return 0


def default_file(path: Path) -> Path:
    return (path if path.is_dir() else path.parent) / "report.html"


def write(folders: list[Path], file: Path) -> Path:
    """The report of the runs in `folders` as `file`, complete or not at all; raises InvalidValue."""
    # The command line must answer --help and mistakes without paying for pandas.
    from .data import read_runs
    from .page import render

    page = render(read_runs(folders))
    with writing(file), replacing(file) as unfinished:
        unfinished.write_text(page, encoding="utf-8")
    return file
