"""Sweeps: which configurations they have, judged by Hydra's own sweeper and by itertools, and what they cost."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from convbench.facts.spec import Spec
from convbench.facts.values import InvalidValue
from convbench.sweep import hydras_words
from convbench.sweep.config import folder
from convbench.sweep.grid import MOST, Sweep

from .composed import configurations, plan

ROOT = Path(__file__).parent.parent


def swept(*arguments: str) -> Sweep:
    return configurations(["-m", *arguments])


def values(sweep: Sweep, *names: str) -> list[tuple[Any, ...]]:
    def one(spec: Spec, name: str) -> Any:
        found = getattr(spec.case, name, None)
        if found is None:
            found = getattr(spec, name)
        return found[0] if isinstance(found, tuple) and len(set(found)) == 1 else found

    return [tuple(one(spec, name) for name in names) for spec in sweep]


def refusal(*arguments: str) -> str:
    with pytest.raises(InvalidValue) as caught:
        swept(*arguments)
    return str(caught.value)


AXES: dict[str, list[str]] = {
    "kernel": ["3", "5", "[3,5]", "range(1,4)", "1,2,3", "choice(2,4)", "sort(5,3,4)", "7"],
    "seed": ["range(3)", "0,7", "4"],
    "wrt": ["input,weight", "input", "glob(*)"],
    "dtype": ["float32,float64", "bfloat16"],
    "dilation": ["1,2", "[1,2],3"],
}


@given(st.fixed_dictionaries({}, optional={key: st.sampled_from(texts) for key, texts in AXES.items()}))
@settings(max_examples=15)
@pytest.mark.slow
def test_the_product_is_the_one_of_hydra_s_own_sweeper(chosen: dict[str, str]) -> None:
    chosen = {key: text for key, text in chosen.items() if "glob" not in text}
    words = [f"{key}={text}" for key, text in chosen.items()]
    batches = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(words), None)
    expected = [dict(word.split("=", 1) for word in job) for job in batches[0]]

    def as_written(spec: Spec) -> dict[str, str]:
        found = {}
        for key in chosen:
            value = getattr(spec.case, key, getattr(spec, key, None))
            if isinstance(value, tuple):
                value = value[0] if value[0] == value[1] else str(list(value)).replace(" ", "")
            found[key] = str(value)
        return found

    assert [as_written(spec) for spec in swept(*words)] == expected


def test_the_exact_line_of_the_readme() -> None:
    sweep = swept("kernel=3,5,9", "device=cpu,cuda")
    assert values(sweep, "kernel", "device") == list(itertools.product((3, 5, 9), ("cpu", "cuda")))


def test_lists_are_values_and_ranges_are_axes() -> None:
    sweep = swept("size=[17,33],[9,9],5", "seed=range(2)")
    assert values(sweep, "size") == [((17, 33),), ((17, 33),), (9,), (9,), (5,), (5,)]


def test_methods_can_be_swept() -> None:
    sweep = swept("methods=[autograd,explicit],[autograd,aten]")
    assert [spec.methods for spec in sweep] == [("autograd", "explicit"), ("autograd", "aten")]


def test_deterministic_takes_three_words() -> None:
    sweep = swept("deterministic=true,false,check")
    assert [(s.switches.deterministic, s.check_repeatable) for s in sweep] == [
        (True, False),
        (False, False),
        (False, True),
    ]


def test_files_are_composed_once_for_each_choice() -> None:
    sweep = swept("measure=none,rigorous", "kernel=3,5", "measure.margin=0.05")
    assert [(s.measure.name, s.measure.processes, s.case.kernel[0]) for s in sweep] == [
        ("none margin=0.05", 4, 3),
        ("none margin=0.05", 4, 5),
        ("rigorous margin=0.05", 6, 3),
        ("rigorous margin=0.05", 6, 5),
    ]
    assert {s.measure.margin for s in sweep} == {0.05}


def test_a_glob_over_files() -> None:
    assert [s.measure.name for s in swept("measure=glob(*)")] == ["default", "none", "profile", "quick", "rigorous"]
    assert [s.measure.name for s in swept("measure=glob(*,exclude=r*)")] == ["default", "none", "profile", "quick"]


def test_settings_inside_groups_are_axes() -> None:
    sweep = swept("measure.margin=0.01,0.02", "reference.max_flops=1e6,1e7")
    assert [(s.measure.margin, s.reference_limits.max_flops) for s in sweep] == [
        (0.01, 1e6),
        (0.01, 1e7),
        (0.02, 1e6),
        (0.02, 1e7),
    ]


def test_values_are_read_as_their_type() -> None:
    sweep = swept("bias=1,0", "timeout_s=3,4.5")
    assert [(s.case.bias, s.timeout_s) for s in sweep] == [(True, 3.0), (True, 4.5), (False, 3.0), (False, 4.5)]


def test_a_setting_written_in_terms_of_another_follows_it() -> None:
    sweep = swept("size=${kernel}", "kernel=3,[3,5]")
    assert [s.case.size for s in sweep] == [(3, 3), (3, 5)]
    sweep = swept("kernel=${stride},2", "stride=1,3")
    assert values(sweep, "kernel", "stride") == [(1, 1), (3, 3), (2, 1), (2, 3)]


def test_equal_combinations_run_once() -> None:
    sweep = swept("kernel=3,5,3,[3,3]")
    assert values(sweep, "kernel") == [(3,), (5,)]
    assert sweep.left_out.repeated == 2


def test_illegal_combinations_are_left_out_and_counted() -> None:
    sweep = swept("stride=1,2", "output_padding=0,1", "groups=1,3")
    assert values(sweep, "stride", "output_padding", "groups") == [(1, 0, 1), (2, 0, 1), (2, 1, 1)]
    assert sweep.left_out.illegal == 5
    assert str(sweep.left_out.first) == "groups=3 must divide in_channels=4"
    assert "groups=3 must divide in_channels=4" in refusal("stride=1,2", "groups=1,3", "on_illegal=error")


def test_sizes_per_axis_suit_some_operations_only() -> None:
    sweep = swept("op=conv1d,conv2d", "size=20,[20,24]")
    assert [(s.case.op, s.case.size) for s in sweep] == [
        ("conv1d", (20,)),
        ("conv2d", (20, 20)),
        ("conv2d", (20, 24)),
    ]


def test_where_nothing_is_legal_the_first_reason_is_told() -> None:
    assert refusal("stride=1", "output_padding=1,2") == (
        "output_padding=1 (axis h) must be smaller than stride=1 or dilation=1"
    )
    with pytest.raises(InvalidValue, match="groups=3 must divide"):
        configurations(["groups=3"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["kernel=range(3,3)"], "kernel=range(3,3) has no values"),
        (["measure=glob(zz*)"], "measure=glob(zz*) has no values"),
        (["wrt=glob(*)"], "wrt=glob(*) has no values"),
        (["seed=interval(0,1)"], "seed=interval(0,1) has no list of values; write seed=range(0,2)"),
        (["measure.margin=interval(0.1,1)"], "has no list of values; write a range or a list"),
        (["kernel=3,abc"], "kernel='abc' is not a whole number"),
        (["kernel=3,-3"], "kernel=-3 is out of range"),
        (["batch=1,abc"], "batch='abc' is not allowed; give a whole number"),
        (["batch=1,null"], "batch=null is not allowed"),
        (["device=cpu,gpu"], "did you mean cuda?"),
        (["methods=[autograd],[nope]"], "methods=nope is not a known method"),
        (["kernal=3,5"], "no setting named 'kernal'; did you mean kernel?"),
        (["+kernal=3,5"], "no setting named 'kernal'; did you mean kernel?"),
        (["++kernal=3"], "no setting named 'kernal'; did you mean kernel?"),
        (["measure.margn=1,2"], "no setting named 'measure.margn'; did you mean measure.margin?"),
        (["out=a,b"], "out belongs to the sweep as a whole"),
        (["isolation=process,none"], "isolation belongs to the sweep as a whole"),
        (["measure=none,fast"], "no measure named 'fast'"),
        (["hydra.job.name=a,b"], "Sweeping over Hydra's configuration is not supported"),
        (["seed=range(0,100000000)"], "more than 1,000,000 values"),
        (["seed=range(10000)", "batch=range(10000)"], f"at most {MOST:,}"),
        (["kernel=range(1,20)", "shard=3/2"], "write shard=2/8"),
        (["kernel=3,5", "hydra.searchpath=[file://.]"], "is relative"),
    ],
)
def test_mistakes_in_a_sweep_are_found_before_anything_runs(words: list[str], expected: str) -> None:
    assert expected in refusal(*words)


def test_limit_shuffle_and_shards() -> None:
    whole = values(swept("seed=range(50)"), "seed")
    assert values(swept("seed=range(50)", "limit=7"), "seed") == whole[:7]
    shuffled = values(swept("seed=range(50)", "shuffle=true"), "seed")
    assert shuffled != whole
    assert sorted(shuffled) == whole
    assert values(swept("seed=range(50)", "shuffle=true"), "seed") == shuffled
    assert values(swept("seed=range(50)", "shuffle=true", "shuffle_seed=1"), "seed") != shuffled
    shards = [swept("seed=range(50)", "shuffle=true", "limit=30", f"shard={k}/4") for k in (1, 2, 3, 4)]
    assert sorted(itertools.chain(*(values(s, "seed") for s in shards))) == sorted(shuffled[:30])
    assert sorted(map(len, shards)) == [7, 7, 8, 8]


def test_a_limit_counts_legal_configurations() -> None:
    sweep = swept("groups=1,3", "seed=range(5)", "shuffle=true", "limit=5")
    assert sorted(values(sweep, "groups", "seed")) == [(1, seed) for seed in range(5)]


def test_positions_are_places_in_the_unshuffled_product() -> None:
    sweep = swept("seed=range(20)", "shuffle=true", "limit=6")
    assert [(p,) for p in sweep.positions] == values(sweep, "seed")
    assert values(sweep[2:4], "seed") == values(sweep, "seed")[2:4]


def user_folder(tmp_path: Path, text: str) -> str:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep/mine.yaml").write_text("# @package _global_\n" + text)
    return f"--config-dir={tmp_path}"


def test_a_saved_sweep_and_more_on_top_of_it(tmp_path: Path) -> None:
    text = "stride: 2\nhydra:\n  sweeper:\n    params:\n      kernel: 3,5\n      measure: none,quick\n      batch: 2\n"
    folder = user_folder(tmp_path, text)
    sweep = configurations([folder, "+sweep=mine", "wrt=input,weight"])
    assert [(s.case.kernel[0], s.measure.name, s.wrt) for s in sweep] == [
        (kernel, measure, wrt) for measure in ("none", "quick") for kernel in (3, 5) for wrt in ("input", "weight")
    ]
    assert {(s.case.stride, s.case.batch) for s in sweep} == {((2, 2), 2)}
    sweep = configurations([folder, "+sweep=mine", "kernel=7", "measure=rigorous", "stride=1,2"])
    assert [(s.case.kernel[0], s.case.stride[0], s.measure.name) for s in sweep] == [
        (7, 1, "rigorous"),
        (7, 2, "rigorous"),
    ]


def test_axes_of_a_saved_sweep_stand_in_a_key_of_the_schema(tmp_path: Path) -> None:
    """The same configurations at the same places as from the old place, which is still read."""
    axes = {"kernel": "3,5", "measure": "none,quick", "batch": 2, "bias": True, "size": "[17,19]"}
    found = []
    for place in ("new", "old"):
        (tmp_path / place / "sweep").mkdir(parents=True)
        tree = {"axes": axes} if place == "new" else {"hydra": {"sweeper": {"params": axes}}}
        text = f"# @package _global_\n{json.dumps(tree)}\n"
        (tmp_path / place / "sweep/mine.yaml").write_text(text)
        sweep = configurations([f"--config-dir={tmp_path / place}", "+sweep=mine", "stride=1,2"])
        found.append(list(zip(sweep.positions, sweep, strict=True)))
    assert found[0] == found[1]
    assert [(s.measure.name, s.case.kernel[0], s.case.stride[0]) for _, s in found[0]] == list(
        itertools.product(("none", "quick"), (3, 5), (1, 2))
    )
    assert {(s.case.batch, s.case.bias, s.case.size) for _, s in found[0]} == {(2, True, (17, 19))}


def test_axes_need_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("defaults: [config, _self_]\naxes: {kernel: '3,5'}\n")
    words = [f"--config-dir={tmp_path}", "--config-name=mine"]
    assert values(configurations([*words, "-m"]), "kernel") == [(3,), (5,)]
    assert values(configurations([*words, "hydra.mode=MULTIRUN"]), "kernel") == [(3,), (5,)]
    with pytest.raises(InvalidValue, match="names axes to sweep over; add -m"):
        configurations(words)


def test_a_plan_says_what_would_run_and_what_is_left_out() -> None:
    found = plan(["-m", "groups=1,3", "seed=0,1,0", "out=there", "measure=none"])
    assert values(found.sweep, "groups", "seed") == [(1, 0), (1, 1)]
    assert (found.left_out.illegal, found.left_out.repeated) == (3, 1)
    assert str(found.left_out.first) == "groups=3 must divide in_channels=4"
    assert found.settings.out == Path("there").absolute()
    assert found.launcher is None


def test_hydra_s_folder_is_obeyed(tmp_path: Path) -> None:
    assert plan(["-m", "kernel=3,5", f"hydra.sweep.dir={tmp_path}"]).settings.out == tmp_path
    assert plan([f"hydra.run.dir={tmp_path}"]).settings.out == tmp_path
    assert plan(["-m", "kernel=3,5"]).settings.out is None
    assert plan([]).settings.out is None
    written = OmegaConf.to_container(OmegaConf.load(folder("conf") / "config.yaml"), resolve=False)
    assert isinstance(written, dict)
    for part, known in hydras_words.FOLDERS.items():
        assert written["hydra"][part]["dir"] == known[0]


FROM_OUTSIDE = {
    "strict": ("false", False),
    "shuffle": ("true", True),
    "limit": ("7", 7),
    "chunk": ("20", 20),
    "budget_s": ("60", 60.0),
    "size": ("20", (20, 20)),
    "kernel": ("[3,5]", (3, 5)),
    "bias": ("true", True),
    "deterministic": ("check", "check"),
    "dtype": ("float64", "float64"),
    "methods": ("[autograd,aten]", ("autograd", "aten")),
    "measure.margin": ("0.05", 0.05),
    "memory_limit": ("4GB", 4_000_000_000),
}


RARE = {"shuffle", "limit", "budget_s", "size", "memory_limit"}
"""Their types are those of others."""


@pytest.mark.parametrize(
    "key", [pytest.param(key, marks=pytest.mark.slow) if key in RARE else key for key in FROM_OUTSIDE]
)
def test_a_setting_from_the_environment_has_its_type(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it stood on the command line itself."""
    text, expected = FROM_OUTSIDE[key]
    monkeypatch.setenv("FROM_OUTSIDE", text)
    found = plan([f"{key}=${{oc.env:FROM_OUTSIDE}}"])
    spec, name = found.sweep[0], key.rpartition(".")[2]
    if key == "deterministic":
        assert spec.check_repeatable
    else:
        assert (
            next(getattr(part, name) for part in (found.settings, spec.measure, spec.case, spec) if hasattr(part, name))
            == expected
        )
    assert found == plan([f"{key}={text}"]) or list(found.sweep) == list(plan([f"{key}={text}"]).sweep)


def test_a_number_with_a_usual_value(monkeypatch: pytest.MonkeyPatch) -> None:
    assert values(swept("size=${oc.env:NOT_SET_ANYWHERE,20}", "kernel=3,5"), "size", "kernel") == [(20, 3), (20, 5)]
    monkeypatch.setenv("WRONG", "twenty")
    assert "kernel='twenty' is not a whole number" in refusal("kernel=${oc.env:WRONG}")
    assert "strict='twenty' is not allowed; give true or false" in refusal("strict=${oc.env:WRONG}")


def test_sweeps_themselves_can_be_swept() -> None:
    sweep = configurations(["+sweep=dcgan,vgg16", "measure=none", "batch=1"])
    suites = [spec.labels["suite"] for spec in sweep]
    assert sorted(set(suites)) == ["dcgan", "vgg16"]
    assert suites == sorted(suites)
    assert {spec.case.batch for spec in sweep} == {1}


def test_files_that_disagree_about_the_whole_sweep_are_refused(tmp_path: Path) -> None:
    folder = user_folder(tmp_path, "limit: 3\n")
    with pytest.raises(InvalidValue, match="limit differs between the chosen files"):
        configurations([folder, "+sweep=mine,kernels"])


def test_the_plus_sign_may_be_left_out() -> None:
    assert list(configurations(["sweep=kernels"])) == list(configurations(["+sweep=kernels"]))


@pytest.mark.parametrize("name", ["notebook", "bias", "kernels"])
def test_the_saved_questions(name: str) -> None:
    sweep = configurations([f"+sweep={name}"])
    if name == "notebook":
        assert [(s.fill, s.case.input_shape) for s in sweep] == [("notebook", (1, 4, 17, 17))]
    elif name == "bias":
        assert values(sweep, "wrt", "bias") == list(itertools.product(("input", "weight"), (False, True)))
    else:
        assert values(sweep, "kernel", "device") == list(itertools.product((3, 5, 9), ("cpu", "cuda")))


def test_cases_are_crossed_and_the_command_line_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.csv").write_text("op,batch,in_h,in_w,kernel,net\nconv2d,64,9,9,3,a\nconv1d,32,,20,5,b\n")
    monkeypatch.chdir(tmp_path)
    sweep = configurations(["cases=mine.csv", "wrt=input,weight", "batch=1,2"])
    assert [(s.labels["net"], s.wrt, s.case.batch) for s in sweep] == list(
        itertools.product("ab", ("input", "weight"), (1, 2))
    )
    assert {s.case.size for s in sweep} == {(9, 9), (20,)}
    sweep = configurations(["cases=mine.csv", "batch=3", "size=30"])
    assert [(s.case.batch, s.case.size) for s in sweep] == [(3, (30, 30)), (3, (30,))]


def test_cases_with_a_swept_operation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.csv").write_text("in_w,kernel_w\n9,3\n")
    monkeypatch.chdir(tmp_path)
    sweep = configurations(["cases=mine.csv", "op=conv1d,conv2d"])
    assert [(s.case.op, s.case.size, s.case.kernel) for s in sweep] == [
        ("conv1d", (9,), (3,)),
        ("conv2d", (17, 9), (9, 3)),
    ]


def test_cases_are_found_beside_the_user_s_sweeps(tmp_path: Path) -> None:
    folder = user_folder(tmp_path, "cases: mine.csv\n")
    (tmp_path / "sweep/mine.csv").write_text("kernel\n3\n4\n")
    assert values(configurations([folder, "+sweep=mine"]), "kernel") == [(3,), (4,)]
    with pytest.raises(InvalidValue, match=r"cases=other.csv: no such file here.*vgg16.csv"):
        configurations(["cases=other.csv"])


def test_a_large_grid_is_checked_quickly_and_held_small() -> None:
    """10,000 configurations in a process of their own: torch is not there, and memory does not grow with them."""
    program = (
        "import json, resource, sys, time; from tests.composed import configurations\n"
        "out = []\n"
        "for n in (100, 10_000):\n"
        "    began = time.perf_counter()\n"
        "    sweep = configurations(['-m', f'seed=range({n})'])\n"
        "    assert len(sweep) == n\n"
        "    out.append((time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))\n"
        "print(json.dumps([out, 'torch' in sys.modules, 'pandas' in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    ((few_s, few_kb), (many_s, many_kb)), torch, pandas = json.loads(done.stdout)
    assert not torch
    assert not pandas
    assert many_s - few_s < 8, "0.8 ms for each; 0.1 ms on a machine that is not busy"
    assert many_kb - few_kb < 20_000
