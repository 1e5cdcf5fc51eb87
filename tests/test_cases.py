"""Lists of real cases: what a line means, and that a bad one is named by file, line and column."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from convbench.cli import main
from convbench.facts.case import OPS, PER_AXIS, ConvCase
from convbench.facts.record import COLUMNS
from convbench.facts.values import IllegalCase, InvalidValue
from convbench.sweep.case_columns import READERS
from convbench.sweep.cases import read
from convbench.sweep.config import folder
from convbench.sweep.grid import Grid, choose
from convbench.sweep.plan import planned

from .composed import configurations, run_settings
from .settings import NOTEBOOK

SWEEP = run_settings()


def written(tmp_path: Path, text: str, name: str = "cases.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def settings(tmp_path: Path, text: str, overridden: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    cases = read(written(tmp_path, text), overridden)
    return [cases.settings(i, NOTEBOOK) for i in range(len(cases.rows))]


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(InvalidValue) as caught:
        settings(tmp_path, text)
    assert caught.value.key == "cases"
    return str(caught.value)


@st.composite
def legal_cases(draw: st.DrawFn) -> ConvCase:
    op = draw(st.sampled_from(sorted(OPS)))
    groups = draw(st.integers(1, 3))
    values: dict[str, Any] = {
        "op": op,
        "batch": draw(st.integers(0, 3)),
        "in_channels": groups * draw(st.integers(1, 3)),
        "out_channels": groups * draw(st.integers(1, 3)),
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    limits = {"size": (1, 9), "kernel": (1, 4), "stride": (1, 3), "dilation": (1, 3), "padding": (0, 2)}
    limits["output_padding"] = (0, 2 if OPS[op][1] else 0)
    for key in PER_AXIS:
        axes = [draw(st.integers(*limits[key])) for _ in range(OPS[op][0])]
        values[key] = axes
    try:
        return ConvCase.of(values)
    except IllegalCase:
        assume(False)
        raise


@given(st.lists(legal_cases(), min_size=1, max_size=4, unique=True))
def test_a_table_of_cases_is_a_list_of_cases(
    tmp_path_factory: pytest.TempPathFactory, given_cases: list[ConvCase]
) -> None:
    """The table's own columns, with empty cells for missing axes, give back the very cases."""
    path = tmp_path_factory.mktemp("table") / "results.csv"
    names = [name for name in COLUMNS if name != "labels"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        for case in given_cases:
            for method in ("autograd", "explicit"):
                writer.writerow(case.columns() | {"method": method, "status": "ok", "time_s": 1e-3})
    cases = read(path)
    assert [ConvCase.of(NOTEBOOK | cases.settings(i, NOTEBOOK)) for i in range(len(cases.rows))] == given_cases


def test_cells_left_out_take_the_configuration_s_value(tmp_path: Path) -> None:
    (row,) = settings(tmp_path, "op,in_h,kernel_h,kernel_w,batch\nconv2d,33,,5,\n")
    assert row == {"op": "conv2d", "size": [33, 17], "kernel": [9, 5]}


def test_settings_names_are_columns_too(tmp_path: Path) -> None:
    rows = settings(tmp_path, 'kernel,bias,dtype,threads\n3,1,bfloat16,2\n3x5,false,,\n"[3, 5]",0.0,,1.0\n')
    assert [row["kernel"] for row in rows] == [3, [3, 5], [3, 5]]
    assert [row["bias"] for row in rows] == [True, False, False]
    assert rows[0]["dtype"] == "bfloat16"
    assert (rows[0]["threads"], rows[2]["threads"]) == (2, 1)


def test_padding_same_is_resolved_for_each_line(tmp_path: Path) -> None:
    rows = settings(tmp_path, "op,kernel,padding\nconv2d,3x5,same\nconv2d,3,1\n")
    assert [ConvCase.of(NOTEBOOK | row).padding for row in rows] == [(1, 2), (1, 1)]


def test_unknown_columns_are_labels(tmp_path: Path) -> None:
    text = 'layer,kernel,labels\n"conv1, first",3,"{""net"": ""x"", ""n"": 3}"\n,5,\n'
    first, second = settings(tmp_path, text)
    assert first["labels"] == {"layer": "conv1, first", "net": "x", "n": "3"}
    assert "labels" not in second


@pytest.mark.parametrize(("column", "meant"), [("kernel_hh", "kernel_h"), ("kernal", "kernel"), ("Strides", "stride")])
def test_a_misspelt_setting_is_no_label(tmp_path: Path, column: str, meant: str) -> None:
    with pytest.raises(InvalidValue, match=f"line 1: no setting is called {column}; did you mean {meant}[?]"):
        read(written(tmp_path, f"{column},size,layer\n3,9,x\n"))


@pytest.mark.parametrize("column", ["layer", "type", "name", "count", "Model"])
def test_a_label_may_be_called_much(tmp_path: Path, column: str) -> None:
    assert read(written(tmp_path, f"{column},size\n3,9\n")).labels == [column]


def test_equal_lines_are_one_but_labels_tell_lines_apart(tmp_path: Path) -> None:
    assert len(settings(tmp_path, "kernel,method\n3,autograd\n3,explicit\n5,autograd\n")) == 2
    assert len(settings(tmp_path, "kernel,layer\n3,a\n3,b\n3,a\n")) == 2


def test_what_the_command_line_sets_is_not_read(tmp_path: Path) -> None:
    text = "batch,in_h,in_w,kernel\nmany,8,8,3\n"
    assert settings(tmp_path, text, ("batch", "size")) == [{"kernel": 3}]


def test_comments_blank_lines_and_byte_order_marks(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_bytes("\ufeff# from a paper\n\nkernel,batch\n\n3,1\n".encode())
    assert read(path).rows[0].settings == {"kernel": 3, "batch": 1}
    assert read(path).rows[0].line == 5


def test_parquet_and_the_folder_of_a_run(tmp_path: Path) -> None:
    columns = {"op": ["conv1d", None], "in_w": [9, 8], "kernel_w": [None, 3], "bias": [1, 0], "method": ["a", "b"]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "results.parquet")
    for path in (tmp_path, tmp_path / "results.parquet"):
        rows = read(path).rows
        assert [dict(row.per_axis) for row in rows] == [
            {("size", "w"): 9},
            {("size", "w"): 8, ("kernel", "w"): 3},
        ]
        assert [row.settings for row in rows] == [{"op": "conv1d", "bias": True}, {"bias": False}]
    with pytest.raises(InvalidValue, match=r"line 3, column in_d: is empty, and size=\[1, 2\] has no value for it"):
        read(tmp_path).settings(1, NOTEBOOK | {"op": "conv3d", "size": [1, 2]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kernel\nabc\n", "line 2, column kernel: 'abc' is not a whole number"),
        ("kernel\n3\n3.5\n", "line 3, column kernel: '3.5' is not a whole number"),
        ("kernel\n[]\n", "column kernel: '[]' is not"),
        ("in_h,batch\n8,1e999\n", "line 2, column batch: '1e999' is not a whole number"),
        ("bias\nmaybe\n", "line 2, column bias: 'maybe' is not true or false"),
        ("labels,kernel\n[1],3\n", "line 2, column labels: '[1]' is not a JSON object"),
        ("kernel,batch\n3\n", "line 2: 1 cells for the header's 2 columns"),
        ("kernel,kernel\n3,3\n", "line 1: names column kernel twice"),
        ("kernel,kernel_h\n3,3\n", "line 1: has both kernel and kernel_h"),
        ("layer,net\na,b\n", "line 1: names no column of a case"),
        ("op;kernel\nconv2d;3\n", "(separated by ';'? use commas)"),
        ("op\tkernel\nconv2d\t3\n", r"(separated by '\t'? use commas)"),
        ("Kernel_H,Kernel_W\n3,3\n", "did you mean kernel_h?"),
        ("kernel\n", "has no line below its header"),
        ("", "names no column of a case"),
        ('kernel\n"3\n', "cannot be read"),
        ("kernel,in_d\n3,4\n", "line 2, column in_d: has a value, but the operation has no axis d"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, expected: str) -> None:
    message = refusal(tmp_path, text)
    assert expected in message
    assert "cases.csv" in message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, content in (
        (tmp_path / "a.parquet", b"no"),
        (tmp_path / "b.csv", b"kernel\n\xff\xfe\n"),
    ):
        path.write_bytes(content)
        with pytest.raises(InvalidValue, match="cannot be read"):
            read(path)


def test_a_folder_stands_for_its_table(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"holds no results\.parquet or results\.csv"):
        read(tmp_path)
    written(tmp_path, "kernel\n3\n", "results.csv")
    assert [row.settings for row in read(tmp_path).rows] == [{"kernel": 3}]


@pytest.fixture(scope="module")
def base() -> dict[str, Any]:
    """The settings of the shipped configuration."""
    (grid,) = configurations(["measure=none"]).grids
    return dict(grid.base)


def test_a_line_that_is_no_convolution_is_named_with_its_column(tmp_path: Path, base: dict[str, Any]) -> None:
    cases = read(written(tmp_path, "in_channels,groups\n4,1\n4,3\n"))
    with pytest.raises(InvalidValue, match=r"cases\.csv line 3, column groups: groups=3 must divide in_channels=4"):
        choose([Grid(base, {"seed": [0, 1]}, cases)], run_settings(on_illegal="error"))


@pytest.mark.parametrize("axes", [{}, {"seed": [0]}, {"kernel": [3]}])
def test_a_line_that_is_no_convolution_is_left_out_or_named(
    tmp_path: Path, base: dict[str, Any], axes: dict[str, Any]
) -> None:
    """on_illegal holds for a file's lines whatever is swept on top of them, and the place is always told."""
    cases = read(written(tmp_path, "in_channels,groups\n4,1\n4,3\n"))
    sweep = choose([Grid(base, axes, cases)], SWEEP)
    assert (len(sweep), sweep.left_out.illegal) == (1, 1)
    assert "cases.csv line 3, column groups: groups=3" in str(sweep.left_out.first)
    with pytest.raises(IllegalCase, match=r"cases\.csv line 3, column groups: .*\(on_illegal=skip leaves it out\)"):
        choose([Grid(base, axes, cases)], run_settings(on_illegal="error"))


def test_the_command_line_says_which_line_is_wrong(tmp_path: Path) -> None:
    path = written(tmp_path, "op,kernel\nconv2d,3\nconvtranspose2d,3\n")
    with pytest.raises(InvalidValue, match=r"cases\.csv line 3, column op: op='convtranspose2d' is not known"):
        configurations([f"cases={path}"])
    illegal = written(tmp_path, "op,size,kernel\nconv2d,8,3\nconv2d,2,9\n")
    assert len(configurations([f"cases={illegal}"])) == 1
    for words in ([f"cases={illegal}", "on_illegal=error"], ["-m", f"cases={illegal}", "kernel=9", "size=2"]):
        with pytest.raises(InvalidValue, match=r"cases\.csv line [23].*kernel=9 with dilation=1"):
            configurations(words)


def test_a_line_is_not_to_blame_for_what_is_swept_on_top_of_it(tmp_path: Path, base: dict[str, Any]) -> None:
    cases = read(written(tmp_path, "stride\n1\n2\n"))
    sweep = choose([Grid(base, {"output_padding": [0, 1]}, cases)], SWEEP)
    assert [(s.case.stride[0], s.case.output_padding[0]) for s in sweep] == [(1, 0), (2, 0), (2, 1)]
    assert sweep.left_out.illegal == 1


@pytest.mark.parametrize("path", sorted(folder("sweeps").glob("*.csv")), ids=lambda path: path.stem)
def test_shipped_lists_are_legal(path: Path, base: dict[str, Any]) -> None:
    cases = read(path)
    sweep = choose([Grid(base, {}, cases)], SWEEP)
    assert len(sweep) == len(cases.rows)


def test_every_case_column_of_the_table_is_read() -> None:
    decided = {"op", "batch", "in_channels", "out_channels", "groups", "bias", "dtype", "device", "wrt", "seed"}
    per_axis = {f"{p}_{a}" for p in ("in", "kernel", "stride", "pad", "dil", "output_padding") for a in "dhw"}
    assert decided | per_axis <= READERS.keys()
    assert not {"method", "status", "time_s", "config_id"} & READERS.keys()


def test_a_list_of_cases_never_decides_which_code_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither the module that a line names nor the package around it, not even to see whether it is there."""
    package = tmp_path / "foreign"
    package.mkdir()
    (package / "__init__.py").write_text("open('imported', 'w')")
    (tmp_path / "evil.py").write_text("open('imported', 'w')")
    monkeypatch.chdir(tmp_path)
    for name in ("evil:f", "foreign.nosuch:f"):
        path = written(tmp_path, f"in_h,baseline\n17,autograd\n17,{name}\n")
        assert main([f"cases={path}", "measure=none", f"out={tmp_path / 'out'}"]) == 2
        said = capsys.readouterr().err
        assert f"{path} line 3, column baseline: {name} names code" in said
        assert f"methods=[…,{name}]" in said
        assert not (tmp_path / "imported").exists()
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words", [("methods=[explicit,mine:f]",), ("baseline=mine:f",), ("-m", "baseline=autograd,mine:f")]
)
def test_code_that_the_command_line_names_may_stand_in_a_list(tmp_path: Path, words: tuple[str, ...]) -> None:
    path = written(tmp_path, "in_h,baseline\n17,mine:f\n")
    sweep = planned([*words, f"cases={path}"]).sweep
    assert {spec.baseline for spec in sweep} <= {"mine:f", "autograd"}
