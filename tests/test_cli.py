"""The command line as people and scripts meet it: real processes, exit codes, and one sentence for every mistake."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from convbench import cli
from convbench.facts.values import InvalidValue
from convbench.methods import METHODS
from convbench.sweep import running
from convbench.sweep.config import KEYS

from .composed import configurations, plan
from .settings import examples

ROOT = Path(__file__).parent.parent
TINY = ("measure=none", "methods=[autograd,explicit]", "size=5", "kernel=3")


def convbench(*arguments: str, cwd: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """`python -m convbench …` of the checkout, in another directory."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "160"} | options.pop("env", {})
    command = [sys.executable, "-m", "convbench", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, **options)


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sentence(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a mistake is answered with, in this process; nothing is measured on the way."""
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("convbench: ")
    assert err.count("\n") == 1
    return err.removeprefix("convbench: ").strip()


MISTAKES = [
    (["kernal=3"], "no setting named 'kernal'; did you mean kernel?"),
    (["++kernal=3"], "no setting named 'kernal'; did you mean kernel?"),
    (["+kernal=3"], "no setting named 'kernal'; did you mean kernel?"),
    (["measure.margn=1"], "no setting named 'measure.margn'; did you mean measure.margin?"),
    (["+kernel=3"], "+kernel=…: kernel exists already; write it without the plus sign"),
    (["kernel=abc"], "kernel='abc' is not a whole number; give an integer ≥ 1"),
    (["kernel=-3"], "kernel=-3 is out of range; give an integer from 1 to 2147483647"),
    (["kernel="], "kernel='' is not a whole number"),
    (["size=[3,4,5]"], "size=[3, 4, 5] has 3 values for 2 axes; give one integer or 2 of them"),
    (["batch=abc"], "batch='abc' is not allowed; give a whole number"),
    (["batch=null"], "batch=null is not allowed; batch needs a value"),
    (["bias=maybe"], "bias='maybe' is not allowed; give true or false"),
    (["timeout_s=soon"], "timeout_s='soon' is not allowed; give a number"),
    (["timeout_s=0"], "timeout_s=0.0 must be a number ≥ 0.001"),
    (["measure.looks=3"], "measure.looks has a value of the wrong type"),
    (["device=gpu"], "device='gpu' is not known; allowed: cpu, cuda, cuda:N, xpu, xpu:N, mps; did you mean cuda?"),
    (["op=conv4d"], "op='conv4d' is not known; allowed: conv1d, conv2d"),
    (["wrt=forward"], "wrt='forward' is not known; allowed: input, weight, bias"),
    (["deterministic=perhaps"], "deterministic='perhaps' is not known; allowed: true, false, check"),
    (["groups=3"], "groups=3 must divide in_channels=4"),
    (["methods=[nope]"], "methods=nope is not a known method (known: autograd, explicit, aten"),
    (["methods=[explicitt]"], "did you mean explicit?"),
    (["methods=[]"], "methods=[] names no method"),
    (["methods=[autograd,nope_mod:f]"], "methods=nope_mod:f: no module nope_mod in the working directory or on"),
    (["-m", "methods=[autograd],[torch.nope:f]"], "methods=torch.nope:f: no module torch.nope in"),
    (["-m", "hydra/sweeper=basic", "baseline=nope.mod:f"], "baseline=nope.mod:f: no module nope.mod in"),
    (["kernel=3,5"], "kernel=3,5 holds several values; add -m to sweep over them"),
    (["seed=range(3)"], "holds several values; add -m to sweep over them"),
    (["measure=fast"], "no measure named 'fast' (there are: default, none, profile, quick, rigorous)"),
    (["measure=quik"], "no measure named 'quik'; did you mean quick?"),
    (["measure=3"], "a group of files takes the name of one of them"),
    (["+sweep=vgg"], "no sweep named 'vgg'; did you mean vgg16?"),
    (["+sweep=x", "--config-name=nope"], "no configuration file named 'nope'"),
    (["hydra/launcher=rai"], "no hydra/launcher named 'rai'"),
    (["kernel=[3"], "'kernel=[3' cannot be read"),
    (["kernel=3", "stride"], "'stride' is not a setting; settings are written key=value"),
    (["kernel=${nix}"], "kernel has no usable value: Interpolation key 'nix' not found"),
    (["~kernel"], "kernel has no value"),
    (["~kernal"], "no setting named 'kernal'"),
    (["kernel@x=3"], "no setting named 'kernel"),
    (["share=x"], "share= is how a launcher's job is told what to run; nobody else writes it"),
    (["report", "x", "--out="], "--out= has no value: write --out FILE, or leave it out"),
    (["measure=none,quick"], "measure=none,quick holds several values; add -m to sweep over them, or give one of them"),
    (["axes.kernel=3,5"], "axes are what a saved sweep names; on the command line, write -m kernel=3,5"),
    (
        ["dtype=float8_e4m3fn"],
        "dtype='float8_e4m3fn' is not one of float64, float32, bfloat16, float16: torch convolves",
    ),
    (["dtype=tf32"], "TF32 is a way to compute float32: dtype=float32 tf32=true allows it"),
    (["dtype=bf16x3"], "bfloat16 products are a way to compute float32; a method of your own says so"),
    (["autocast=true"], "no setting named 'autocast': autocast computes the gradients of dtype=bfloat16"),
    (["op=conv2d", "kernel=4", "padding=same"], "padding=same with kernel=[4, 4] pads 1 before and 2 after"),
    (["padding=same"], "padding=same is not defined for conv_transpose2d"),
    (["dtype=fp32"], "dtype='fp32' is not known; allowed: float64, float32, bfloat16, float16; did you mean float32?"),
    (["memory_format=nhwc"], "did you mean channels_last?"),
    (["op=1"], "op='1' is not known; allowed: conv1d, conv2d"),
    (["-m", "hydra.verbose=true"], "hydra.verbose=true has no meaning here; nothing is logged"),
    (["hydra.verbose=true"], "hydra.verbose=true has no meaning here; nothing is logged"),
    (["-m", "hydra.sweep.subdir=x"], "all configurations of a sweep share one folder; give it with out=DIR"),
    (["-m", "hydra.run.dir=x"], "hydra.run.dir=x is the folder of a single run, and this is a sweep; write out=DIR"),
    (["hydra.sweep.dir=x"], "hydra.sweep.dir=x is the folder of a sweep, and this is a single run; write out=DIR"),
    (["hydra.run.dir=x", "out=y"], "both name the folder; keep out"),
    (["-m", "hydra.mode=RUN"], "hydra.mode=RUN is a single run, and the rest of the line a sweep"),
    (["hydra.job.chdir=true"], "hydra.job.chdir=true has no meaning here"),
    (["hydra/launcher=joblib"], "spreads a sweep over jobs, and this is a single run; add -m"),
    (["-m", "~hydra/sweeper"], "~hydra/sweeper leaves nothing that could sweep"),
    (["hydra/launcher=slurm"], "no hydra/launcher named 'slurm'; did you mean submitit_slurm?"),
    (["--kernel=3"], "--kernel=3 is not an option; settings are written without dashes: kernel=3"),
    (["--out", "x"], "--out is not an option; settings are written without dashes: out=…"),
    (["-m", "kernel=interval(1,9)"], "kernel=interval(1,9) has no list of values; write kernel=range(1,10)"),
    (["--cfg", "job", "-p", "nope"], "--package nope: the configuration has no such part"),
    (["--cfg", "job", "-p", "mesure"], "--package mesure: the configuration has no such part; did you mean measure?"),
    (["out="], "out= names no folder; leave it out for a new one under results/"),
    (["measure.sample_s=inf"], "measure.sample_s=inf must be a finite number"),
    (["methods=[my_kernels.py:f]"], "methods=my_kernels.py:f is written my_kernels:f"),
    (["methods=[my_kernels.f]"], "methods=my_kernels.f is written my_kernels:f"),
    (["cases='~no-such-user/x.csv'"], "cases=~no-such-user/x.csv: no such file here"),
    (["cases=nope.csv"], "cases=nope.csv: no such file here, and none of that name ships"),
    (["+hydra.searchpath=[file://.]"], "hydra.searchpath: file://. is relative"),
    (["hydra.searchpath=[/no/such/folder]"], "/no/such/folder is not available"),
    (["--config-dir=/no/such/folder"], "--config-dir=/no/such/folder: no such folder"),
    (["--frobnicate"], "unrecognized arguments: --frobnicate; `python -m convbench --help`"),
    (["--cfg"], "expected one argument"),
    (["--cfg", "job", "kernal=3"], "no setting named 'kernal'; did you mean kernel?"),
    (["--resolve", "kernal=3"], "--resolve"),
    (["--experimental-rerun=x"], "--experimental-rerun needs Hydra's own job files"),
    (["repor"], "no command named 'repor'; did you mean report?"),
    (["frobnicate"], "no command named 'frobnicate'; there are report, compare"),
    (["kernel"], "kernel needs a value: kernel=…"),
    (["limit=0"], "limit=0 is out of range"),
    (["shard=9/8"], "shard=9/8 is not a shard; write shard=2/8"),
    (["memory_limit=much"], "memory_limit='much' is not a size"),
    (["objective=fun"], "objective=fun is not known"),
    (
        ["isolation=none", "measure=rigorous"],
        "isolation=none runs everything in one process, and measure=rigorous takes 6",
    ),
    (["-m", "isolation=none", "measure=default,rigorous"], "use isolation=process or measure=default"),
    (["retry=all"], "retry='all' is not known; allowed: none, failed"),
    (["out=/proc/nope"], "out=/proc/nope cannot be written"),
    (["out=/dev/null/x"], "out=/dev/null/x cannot be written"),
    (["-m", "hydra/sweeper=basic", "kernel=abc"], "kernel='abc' is not a whole number"),
    (["-m", "hydra/sweeper=basic", "groups=3"], "groups=3 must divide in_channels=4"),
]


@pytest.mark.parametrize(
    ("arguments", "expected"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_mistakes(capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str) -> None:
    assert expected in sentence(capsys, *arguments)


@pytest.mark.parametrize("words", [["kernel=3"], ["report", "x"], ["kernal"]])
def test_a_python_without_the_dependencies(tmp_path: Path, words: list[str]) -> None:
    command = [sys.executable, "-S", "-m", "convbench", *words]  # -S: nothing that is installed is found
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"is missing in {sys.executable}; activate the environment" in done.stderr


def test_a_missing_module_of_somebody_else_is_not_ours_to_explain(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(arguments: list[str]) -> int:
        raise ModuleNotFoundError("No module named 'theirs'", name="theirs")

    monkeypatch.setattr(cli, "_run", fails)
    assert cli.main(["kernel=3"]) == 5
    assert capsys.readouterr().err.splitlines()[-1] == "ModuleNotFoundError: No module named 'theirs'"


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_options_stand_anywhere(flag: str, place: int) -> None:
    words = ["measure=none", "kernel=3,5", "+sweep=bias"]
    words.insert(place, flag)
    assert {spec.case.kernel[0] for spec in configurations(words)} == {3, 5}


def test_options_with_a_value_stand_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["kernel=3", "--cfg", "job", "size=5"]) == 0
    shown = capsys.readouterr().out
    assert "kernel: 3" in shown
    assert "size: 5" in shown


def test_a_mistake_in_a_user_s_sweep(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    for text, expected in (
        ("# @package _global_\nkernal: 3\n", "no setting named 'kernal'"),
        ("kernel: 3\n", "a saved sweep's file begins with the line `# @package _global_`"),
        ("# @package _global_\nbatch: 1,8\n", "several values to sweep over are written -m batch=1,8, or under axes"),
        ("# @package _global_\nkernel: 3,5\n", "several values to sweep over are written -m kernel=3,5, or under axes"),
        ("# @package _global_\nkernel: [3\n", "mine.yaml"),
        ("# @package _global_\naxes:\n  kernel: [3,5]\n", "axes.kernel: [3, 5] could be several values or one"),
        ("# @package _global_\naxes:\n  kernal: 3,5\n", "no setting named 'kernal'; did you mean kernel?"),
        ("# @package _global_\nhydra:\n  sweeper:\n    params:\n      kernel: [3,5]\n", "hydra.sweeper.params"),
    ):
        (tmp_path / "sweep/mine.yaml").write_text(text)
        assert expected in sentence(capsys, f"--config-dir={tmp_path}", "+sweep=mine")


def test_a_value_of_thousands_of_characters_is_told_by_its_ends(capsys: pytest.CaptureFixture[str]) -> None:
    told = sentence(capsys, f"op={'x' * 3000}")
    assert len(told) < 400
    assert "characters) …" in told
    assert "allowed: conv1d" in told


def test_a_working_directory_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    command = f"mkdir {gone}; cd {gone}; rmdir {gone}; exec {sys.executable} -m convbench kernel=3"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "convbench: the working directory has been deleted; change to one that exists and try again\n"


def test_a_folder_named_by_another_setting() -> None:
    assert plan(["out=${kernel}", "kernel=3"]).settings.out == Path("3").absolute()


def test_a_folder_that_cannot_be_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results").write_text("a file")
    monkeypatch.chdir(tmp_path)
    assert "give a folder that you may write to with out=DIR" in sentence(capsys, *TINY)


WORDS = st.one_of(
    st.builds("{}={}".format, st.sampled_from(sorted(KEYS)), st.one_of(st.text(max_size=12), st.integers().map(str))),
    st.builds(
        "{}{}".format,
        st.sampled_from(["", "+", "++", "~"]),
        st.sampled_from(["kernel=3", "measure=quick", "sweep=bias"]),
    ),
    st.text(alphabet="kernelmasur=[]{}(),:.$'\"\\~+@/ 0123456789-", min_size=1, max_size=20),
    st.sampled_from(
        [
            "kernel=3,5",
            "kernel=range(1,4)",
            "measure=glob(*)",
            "methods=[a:b]",
            "stride=${kernel}",
            "-m",
            "hydra.verbose=true",
        ]
    ),
)


@given(st.lists(WORDS, max_size=3))
@example(["kernel=${kernel}"])
@example(["kernel={a:1}"])
@example(["measure={}"])
@example(["size=[[3]]", "kernel=[true]"])
@example(["seed=1e400"])
@example(["op=\x00"])
@example(["hydra=null"])
@example(["out=[a]", "cases={}"])
@examples(10)
def test_no_words_end_in_a_traceback(words: list[str]) -> None:
    """Whatever is written is either a configuration or a mistake that one sentence names."""
    refused: InvalidValue | None = None
    with contextlib.suppress(SystemExit):  # help or the like was asked for
        try:
            assert len(configurations(words)) >= 1
        except InvalidValue as error:
            refused = error
    assert refused is None or len(str(refused).splitlines()) == 1


QUICK = [
    ["--help"],
    ["--cfg", "job"],
    ["-m", "--cfg", "job"],
    ["+sweep=vgg16", "--cfg", "job"],
    ["--version"],
    ["methods"],
]


@pytest.mark.parametrize("arguments", QUICK, ids=" ".join)
def test_help_and_cfg_answer_without_torch(tmp_path: Path, arguments: list[str]) -> None:
    program = (
        "import sys; from convbench.cli import main; code = main(sys.argv[1:])\n"
        "print(code, sorted({'torch', 'pandas', 'numpy', 'pyarrow'} & sys.modules.keys()), file=sys.stderr)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == "0 []\n"
    assert done.stdout
    assert not list(tmp_path.iterdir())


def test_cfg_shows_what_a_run_would_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--cfg", "job", "kernel=[3,5]", "measure=none", "+sweep=bias"]) == 0
    out = capsys.readouterr().out
    assert "kernel:\n- 3\n- 5\n" in out
    assert "name: none" in out
    assert "\nhydra:" not in out


def test_cfg_of_a_sweep_shows_its_axes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["-m", "kernel=3,5", "measure=none,quick", "+sweep=bias", "--cfg", "job"]) == 0
    shown = OmegaConf.create(capsys.readouterr().out)
    assert shown.axes == {"wrt": "input,weight", "bias": "false,true", "kernel": "3,5", "measure": "none,quick"}
    assert shown.measure.name == "none"
    assert cli.main(["--cfg", "job", "-p", "measure.margin"]) == 0
    assert capsys.readouterr().out == "0.03\n"
    assert cli.main(["--cfg", "hydra", "-p", "hydra.launcher"]) == 0
    assert "_target_" in capsys.readouterr().out


def test_the_help_is_the_program_s_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("convbench: ")
    assert "\n  measure: default, none, profile, quick, rigorous\n  sweep: alexnet, " in out
    assert max(map(len, out.splitlines())) <= 80
    for usual in ("batch=1  ", "dtype=float32  ", "methods=[autograd,explicit,aten,unfold]", "chunk=200", "limit=null"):
        assert usual in out
    assert all(command in out for command in cli.COMMANDS)
    for explained_once in ("budget_s", "chunk"):
        assert out.count(explained_once) == 1
    assert "share" not in out
    assert len(out.splitlines()) < 72
    assert "Powered by" not in out


def test_methods_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["methods"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{name} " in out for name in METHODS)


def test_commands_are_imported_only_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    module = types.ModuleType("convbench_test_command")
    module.main = lambda argv: called.append(argv) or 4  # type: ignore[attr-defined, func-returns-value]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.COMMANDS, "probe", module.__name__)
    assert cli.main(["probe", "a=1", "--b"]) == 4
    assert called == [["a=1", "--b"]]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_exists_and_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    assert "usage" in capsys.readouterr().out.lower()


def test_the_notebook_from_another_directory(tmp_path: Path) -> None:
    """A saved sweep in a real process: the figures beside the notebook's, the files, and nothing else left behind."""
    done = convbench("+sweep=notebook", "measure=none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr
    for figure in ("656.59412", "-0.0020146435", "0.62366945", "(1, 4, 17, 17)"):
        assert figure in done.stdout
    (out,) = (path for path in (tmp_path / "results").iterdir() if not path.is_symlink())
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    autograd, explicit = rows(out)
    assert (autograd["method"], explicit["method"], explicit["equals_baseline"]) == ("autograd", "explicit", "true")
    assert float(explicit["loss"]) == pytest.approx(656.59412, rel=1e-6)
    assert float(explicit["grad_std"]) == pytest.approx(0.62366945, rel=1e-6)
    assert float(explicit["grad_mean"]) == pytest.approx(-0.0020146435, rel=1e-5)
    assert {"results.parquet", "results.csv", "environment.json"} <= {path.name for path in out.iterdir()}


@pytest.mark.slow
def test_a_sweep_over_a_device_that_is_not_there_and_its_resumption(tmp_path: Path) -> None:
    line = ("-m", "kernel=3,5,9", "device=cpu,cuda", "measure=none", "methods=[autograd,explicit]", "out=here")
    environment = {"CUDA_VISIBLE_DEVICES": ""}
    done = convbench(*line, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    first = rows(tmp_path / "here")
    assert [(row["kernel_h"], row["device"]) for row in first[::2]] == [(k, d) for k in "359" for d in ("cpu", "cuda")]
    assert [row["status"] for row in first[::2]] == ["ok", "skipped"] * 3
    assert all(row["reason"] for row in first if row["status"] == "skipped")
    assert "6 skipped" in done.stdout
    again = convbench(*line, "strict=true", cwd=tmp_path, env=environment)
    assert again.returncode == 3
    assert [row["started_at"] for row in rows(tmp_path / "here") if row["status"] == "ok"] == [
        row["started_at"] for row in first if row["status"] == "ok"
    ]


def test_two_programs_that_start_together_write_to_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {running.fresh_folder(tmp_path / "results") for _ in range(4)}
    assert len(made) == 4
    assert all(path.is_dir() for path in made)


@pytest.mark.slow
def test_a_wrong_method_of_one_s_own_and_hydra_s_own_sweeper(tmp_path: Path) -> None:
    """Found in the working directory; wrong beats missing; other sweepers write to one folder and leave no other."""
    (tmp_path / "mine.py").write_text(
        "from convbench.methods.explicit import prepare\n"
        "def doubled(problem):\n    call = prepare(problem)\n    return lambda: 2 * call()\n"
    )
    line = ("-m", "hydra/sweeper=basic", "kernel=3", "groups=1,3", "measure=none", "methods=[autograd,mine:doubled]")
    done = convbench(*line, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    (out,) = (path for path in (tmp_path / "results").iterdir() if not path.is_symlink())
    assert [(row["method"], row["accuracy"]) for row in rows(out)] == [("autograd", "ok"), ("mine:doubled", "fail")]
    assert "1 illegal combination" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} <= {"mine.py", "results", "__pycache__"}
    assert not (out / "multirun.yaml").exists()


def test_a_configuration_returns_the_objective(tmp_path: Path) -> None:
    """Measured, and then found measured: the same number comes from the rows of the earlier run."""
    found = []
    for _ in range(2):
        asked = plan([*TINY, "objective=max:bound_ratio", f"out={tmp_path / 'run'}", "isolation=none"])
        found.append(running.single(asked.sweep, asked.settings)[1])
    explicit = rows(tmp_path / "run")[1]
    assert found == [float(explicit["bound_ratio"])] * 2


@pytest.mark.slow
def test_an_interrupt_keeps_what_was_measured(tmp_path: Path) -> None:
    line = ("-m", "seed=range(5000)", *TINY, "out=here")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "convbench", *line],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not any(p.stat().st_size for p in tmp_path.glob("here/parts/*.jsonl")):
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert 2 <= len(rows(tmp_path / "here")) < 10_000
    assert "results.parquet" in out


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m convbench --help | head -1"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("convbench")
    assert not done.stderr
