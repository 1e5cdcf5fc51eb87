"""Mistakes in the arguments of subcommands: one sentence and exit code 2, never argparse's usage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from convbench import cli
from convbench.facts.values import InvalidValue
from convbench.terminal.arguments import Arguments, writing

MISTAKES = {
    "report": "report needs DIR: there is no results/latest that it could take instead",
    "show": "show needs DIR: there is no results/latest that it could take instead",
    "report --nope": "report has no option --nope; allowed: --help, --out",
    "report --ouy x.html DIR": "report has no option --ouy; did you mean --out?",
    "report DIR --out": "--out needs a value: --out FILE",
    "compare": "compare needs BASE; see `python -m convbench compare --help`",
    "compare a": "a does not exist; give the folder that a sweep wrote (its out=)",
    "compare a b c": "compare takes BASE NEW; 'c' is too many; see `python -m convbench compare --help`",
    "compare --confrm a": "compare has no option --confrm; did you mean --confirm?",
    "compare a b --format pdf": "--format 'pdf' is not known; allowed: terminal, markdown, json, junit",
    "compare a b --margin x": "--margin 'x' is not a number; give a share such as 0.03 for 3%",
    "compare a b --margin 0": "--margin 0 leaves no room for noise; give a share such as 0.03 for 3%",
    "compare a b --spread -1": "--spread -1 is out of range; give a share such as 0.03 for 3%",
    "compare a b --confirm=yes": "--confirm takes no value, and 'yes' was given",
    "export": "export needs DIR and --format pytest-benchmark|gha|bencher|csv|markdown|latex|totals; "
    "see `python -m convbench export --help`",
    "export a --format xml": "--format 'xml' is not known; allowed: pytest-benchmark, gha, bencher, csv, "
    "markdown, latex, totals",
    "export --fromat csv a": "export has no option --fromat; did you mean --format?",
    "validate --jsno": "validate has no option --jsno; did you mean --json?",
    "validate -x": "validate has no option -x; allowed: --help, --judge, --proof, --markdown, --keep, --load, --json",
    "validate kernel=9": "validate has no setting 'kernel=9'; allowed: device, budget_s, measure, threads, seed",
    "recompute": "recompute needs DIR; see `python -m convbench recompute --help`",
    "recompute a b": "recompute takes DIR; 'b' is too many; see `python -m convbench recompute --help`",
    "recompute a --nope": "recompute has no option --nope; allowed: --help",
    "methods x": "methods takes no arguments; 'x' is too many; see `python -m convbench methods --help`",
    "methods --nope": "methods has no option --nope; allowed: --help",
    "duet": "duet needs --a PYTHON and --b PYTHON; see `python -m convbench duet --help`",
    "duet --a x --b y --processes six": "--processes 'six' is not a whole number",
    "duet --a x --proceses 8": "duet has no option --proceses; did you mean --processes?",
    "show a": "a does not exist; give the folder that a sweep wrote (its out=)",
    "show a b": "show takes DIR; 'b' is too many; see `python -m convbench show --help`",
    "gate": "gate needs --base REF; see `python -m convbench gate --help`",
    "gate --bse main": "gate has no option --bse; did you mean --base?",
    "gate --baselines": "--baselines needs a value: --baselines DIR",
    "gate --baselines /b": "gate needs NIGHT; see `python -m convbench gate --help`",
    "gate --baselines b a": "--baselines b is relative; give an absolute path (or ~/…), also in $BASELINES",
    "gate --baselines /b a": "a does not exist; give the folder that a sweep wrote (its out=)",
    "nightly": "nightly needs what to measure: --sweep NAME, or settings such as cases=layers.csv methods=[…]",
    "nightly sing": "nightly has no step 'sing'; there are canary, sweep, gate, accept; without a step, all of a night",
    "nightly gat": "nightly has no step 'gat'; did you mean gate?",
    "nightly sweep kernel=3": "sweep is one step of a night; give the night's folder with --out DIR",
    "nightly gate --out o kernel=3": "gate takes no settings of a sweep, and was given kernel=3",
    "nightly sweep --out o --shard 3/2": "--shard '3/2' is not a share; give for instance 2/8, the second of eight",
    "nightly gate --out o --no-kep": "nightly has no option --no-kep; did you mean --no-keep?",
    "history": "history needs DIR; see `python -m convbench history --help`",
    "history a": "a does not exist; give the folders of nightly sweeps, or one that holds them",
    "history a --formt json": "history has no option --formt; did you mean --format?",
    "hunt objective=crush": "objective=crush is not known to hunt; did you mean crash?",
    "hunt objective=fail kernal=3": "no setting named 'kernal'; did you mean kernel?",
    "trace": "trace needs TARGET and --out FILE.csv; see `python -m convbench trace --help`",
    "trace nowhere:f --out l.csv": "nowhere:f needs its input's shape: --input 8,3,224,224",
}


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("convbench: ")
    assert err.count("\n") == 1
    return err.removeprefix("convbench: ").strip()


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_sentence(
    line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(capsys, *line.split()) == MISTAKES[line]


def test_every_subcommand_is_tried() -> None:
    assert {line.split()[0] for line in MISTAKES} == set(cli.COMMANDS)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_an_unknown_option_comes_before_what_is_missing(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, command, "--qqq").startswith(f"{command} has no option --qqq; allowed: ")


def test_in_a_process_of_its_own() -> None:
    command = [sys.executable, "-m", "convbench", "export", "a", "--format", "xml"]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == "convbench: --format 'xml' is not known; allowed: pytest-benchmark, gha, bencher, csv, markdown, latex, "
        "totals\n"
    )


def test_what_is_no_option_is_left_alone() -> None:
    parser = Arguments("probe", passed_on=["--config-dir"])
    parser.add_argument("--margin", type=float)
    parser.add_argument("words", metavar="WORD", nargs="*")
    read = parser.parse_args(["--marg", "-.5", "-", "--", "--nope"])
    assert (read.margin, read.words) == (-0.5, ["-", "--nope"])
    assert parser.parse_known_args(["--config-dir=x"])[1] == ["--config-dir=x"]
    with pytest.raises(InvalidValue, match="--margin 'x' is not a number"):
        parser.parse_args(["--margin", "x"])


def test_an_ambiguous_option_is_told_with_where_to_look() -> None:
    parser = Arguments("probe")
    parser.add_argument("--margin")
    parser.add_argument("--mark")
    with pytest.raises(InvalidValue, match="--ma could match --margin, --mark; see `python -m convbench probe --help`"):
        parser.parse_args(["--ma", "1"])


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "no" / "where"
    with pytest.raises(InvalidValue) as caught, writing(file):
        file.write_text("")
    assert str(caught.value) == f"{file} cannot be written (No such file or directory); give another path with --out"
    with pytest.raises(InvalidValue, match=r"cannot be written \(torn\)"), writing(file):
        raise OSError("torn")
