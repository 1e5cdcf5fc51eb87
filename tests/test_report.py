"""The report: what it counts, that nothing in a table can break out of it, and that it asks for nothing."""

from __future__ import annotations

import base64
import collections
import hashlib
import json
import math
import re
import shlex
import statistics
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbench import cli
from convbench.facts.record import Record
from convbench.report import data, page, payload
from convbench.report.command import main
from convbench.results import run_file, store
from convbench.results.merge import merge
from convbench.terminal import summary
from tests import made_up, report_rows
from tests.settings import make_spec

EVIL = "</script><script>alert('x')</script><img src=x onerror=\"alert(1)\">&amp;\u2028{{ 7*7 }}"
INLINE = {"span", "b", "small", "code", "a"}
VOID = {"meta", "link", "br", "input", "img"}


class Page(HTMLParser):
    """What a browser without JavaScript makes of the file: elements, the text of each section, scripts."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.styles = ""
        self.texts: dict[str, str] = collections.defaultdict(str)
        self.open: list[str] = []
        self.section = ""
        self.source = file.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag == "section":
            self.section = attributes.get("id") or ""
        if tag == "script":
            self.scripts.append((attributes, ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"
        if tag not in INLINE:
            self.texts[self.section] += " "
        if tag == "section":
            self.section = ""

    def handle_data(self, text: str) -> None:
        if self.open[-1:] == ["script"]:
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + text)
        elif self.open[-1:] == ["style"]:
            self.styles += text
        else:
            self.texts[self.section] += text

    def text(self, section: str) -> str:
        return " ".join(self.texts[section].split())

    @property
    def payload(self) -> dict[str, Any]:
        (content,) = [text for attributes, text in self.scripts if attributes.get("id") == "payload"]
        found: dict[str, Any] = json.loads(content)
        return found

    def column(self, name: str) -> list[Any]:
        """A column's values, read by the format's description."""
        packed = self.payload["values"][name]
        if "c" in packed:
            return [packed["c"]] * self.payload["n"]
        return [packed["d"][i] for i in packed["i"]] if "d" in packed else list(packed["v"])


def report(tmp_path: Path, rows: list[Record], name: str = "run", **options: Any) -> Page:
    folder = report_rows.write(tmp_path / name, rows, **options)
    assert main([str(folder)]) == 0
    return Page(folder / "report.html")


@pytest.fixture(scope="module")
def rows() -> list[Record]:
    return report_rows.table(**report_rows.GRID)


@pytest.fixture(scope="module")
def full(rows: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Page:
    return report(tmp_path_factory.mktemp("full"), rows)


def test_is_well_formed_and_has_landmarks(full: Page) -> None:
    assert full.open == []
    tags = collections.Counter(tag for tag, _ in full.elements)
    assert all(tags[tag] == 1 for tag in ("header", "nav", "main", "footer", "h1", "title"))
    assert tags["caption"] == tags["table"]
    ids = [attributes["id"] for _, attributes in full.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    referred = [attributes["href"] for tag, attributes in full.elements if tag == "a"]
    assert referred
    assert {str(href)[1:] for href in referred} <= set(ids)


def test_asks_for_nothing(full: Page) -> None:
    addresses = [
        (tag, name, value)
        for tag, attributes in full.elements
        for name, value in attributes.items()
        if name in ("src", "href", "action", "data", "srcset", "poster", "formaction")
    ]
    assert all(str(value).startswith("#") or (tag, value) == ("link", "data:,") for tag, _, value in addresses)
    assert not re.search(r"url\(|@import", full.styles)


def test_policy_allows_its_own_scripts_and_nothing_else(full: Page) -> None:
    (policy,) = [
        str(attributes["content"])
        for tag, attributes in full.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    run = [text for attributes, text in full.scripts if "type" not in attributes]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"].split() == [f"'sha256-{digest}'" for digest in digests]


def test_counts_agree_with_the_rows(full: Page, rows: list[Record]) -> None:
    text = full.text("overview")
    statuses = collections.Counter(row["status"] for row in rows)
    configurations = {row["config_id"] for row in rows}
    wrong = sum(row.get("accuracy") == "fail" for row in rows)
    failed = sum(statuses[status] for status in ("oom", "timeout", "crash", "error"))
    assert wrong
    assert failed
    assert f"Configurations {len(configurations)} " in text
    assert f"Measured {statuses['ok']} of {len(rows)} rows {wrong} of them wrong" in text
    assert f"Wrong gradients ✕ {wrong} " in text
    assert f"Could not be measured ✕ {failed} " in text
    assert f"Skipped or unsupported {statuses['skipped'] + statuses['unsupported']} " in text


def test_methods_show_medians_and_extremes(full: Page, rows: list[Record]) -> None:
    groups = collections.defaultdict(list)
    for row in rows:
        if row.get("speedup") is not None:
            groups[row["dtype"], row["method"]].append(row["speedup"])
    assert any(f"{statistics.median(v):.2f}" != f"{statistics.fmean(v):.2f}" for v in groups.values())
    text = full.text("overview")
    for (dtype, method), speedups in groups.items():
        line = re.search(rf"cpu {dtype} {method} .*?(\d\.\d\d× \d\.\d\d× – \d\.\d\d×)", text)
        assert line is not None
        assert line[1] == f"{statistics.median(speedups):.2f}× {min(speedups):.2f}× – {max(speedups):.2f}×"


def test_a_wrong_gradient_is_not_counted_as_ok(full: Page) -> None:
    """`status` says that the method ran to its end, which is no praise."""
    line = r"cpu bfloat16 \S+my_dgrad \S+ \S+ – \S+ 16 faster 16 ok 4 wrong 16 ok 4 fail "
    assert re.search(line, full.text("overview"))


def test_a_device_that_is_not_there_takes_one_line(full: Page) -> None:
    assert "cuda float32 all 5 methods – – – 100 skipped – – 100" in full.text("overview")


def test_swept_and_fixed_axes(full: Page) -> None:
    text = full.text("overview")
    assert "kernel 5 1, 3, 5, 9, 17" in text
    assert "dtype 3 float32, bfloat16, float16" in text
    fixed = text.split("The same in all rows:")[1].split("Methods")[0].split()
    assert {"op=conv_transpose2d", "size=17×17", "stride=1", "onednn=true", "baseline=autograd"} <= set(fixed)
    assert not any(part.startswith(("kernel=", "dtype=", "method=")) for part in fixed)
    assert set(full.payload["axes"]) == {"kernel", "dtype", "wrt", "in_channels", "device", "method"}


def test_failures_are_grouped_by_reason(full: Page, rows: list[Record]) -> None:
    text = full.text("failures")
    skipped = sum(row["status"] == "skipped" for row in rows)
    assert text.count("this machine has no CUDA device") == 1
    assert re.search(rf"skipped autograd, explicit, aten, unfold, \S+ {skipped} device=cuda", text)
    assert text.index("✕ wrong") < text.index("✕ crash") < text.index("skipped autograd")
    assert "my_dgrad has no <float16> kernel & says so" in text


def test_reasons_that_differ_in_numbers_are_one(tmp_path: Path) -> None:
    rows = report_rows.table(measured=False, kernel=(3, 5, 9))
    for i, row in enumerate(row for row in rows if row["method"] == "aten"):
        row.update(status="timeout", reason=f"stopped after {60 + i}.5 s (pid {100 * i})", accuracy=None)
    text = report(tmp_path, rows).text("failures")
    assert "timeout aten 3 stopped after 60.5 s (pid 0) (and others that differ in numbers)" in text


def test_findings_are_those_of_the_program(full: Page) -> None:
    text = full.text("findings")
    assert "✕ Bad mypkg.kernels:my_dgrad gave a wrong gradient in 4 of 40 configurations" in text
    assert text.index("Bad") < text.index("Warning") < text.index("Note")


def test_values_survive_the_page(full: Page, rows: list[Record]) -> None:
    for name in ("method", "dtype", "time_s", "speedup", "rel_l2_err", "reduction_length", "converged", "reason"):
        for shown, row in zip(full.column(name), rows, strict=True):
            kept = row.get(name)
            if isinstance(kept, float):
                assert shown == pytest.approx(kept, rel=1e-6)
            else:
                assert shown == kept


def test_not_a_number_and_infinity_have_their_own_words(tmp_path: Path) -> None:
    rows = report_rows.table(measured=False, kernel=(3,))
    rows[1].update(accuracy="fail", rel_l2_err=math.inf, reason="holds Inf")
    rows[2].update(accuracy="fail", rel_l2_err=math.nan, reason="holds NaN")
    column = report(tmp_path, rows).column("rel_l2_err")
    assert column[1] == "inf"
    assert column[2] in ("nan", None)


def test_nothing_in_a_table_becomes_markup(tmp_path: Path) -> None:
    rows = report_rows.table(kernel=(3, 5), labels=({"layer": EVIL, EVIL: "x"}, {"layer": "plain"}))
    rows[0].update(status="error", reason=EVIL, accuracy=None)
    rows[5].update(method=EVIL, accuracy="fail", reason=EVIL)
    folder = tmp_path / "<b>run<b>"
    made = report(tmp_path, rows, folder.name, environment={"environment_id": EVIL, EVIL: [EVIL, EVIL]})
    harmless = report(tmp_path, report_rows.table(kernel=(3, 5)), "harmless")
    assert len(made.scripts) == len(harmless.scripts)
    assert not {tag for tag, _ in made.elements} & {"img", "iframe", "object"}
    assert not [name for _, attributes in made.elements for name in attributes if name.startswith("on")]
    written = " ".join(EVIL.split())
    for section in ("overview", "findings", "failures", "environment"):
        assert written in made.text(section), section
    assert made.texts[""].count("<b>run<b>") == 2, "the title and the heading"
    assert set(made.column("layer")) == {EVIL, "plain"}
    assert "\u2028" not in next(text for attributes, text in made.scripts if attributes.get("id") == "payload")


@given(st.recursive(st.text() | st.integers() | st.none() | st.booleans(), lambda inner: st.lists(inner, max_size=3)))
def test_json_in_a_script_element_is_inert(value: Any) -> None:
    text = payload.in_script(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def test_accuracy_only(tmp_path: Path) -> None:
    made = report(tmp_path, report_rows.table(measured=False, kernel=(3, 9)))
    assert "speedup" not in made.payload["values"]
    assert "None: every row was measured and no gradient was wrong." in made.text("failures")
    assert "autograd – – baseline 2 ok 2 ok – 2 " in made.text("overview")


def test_only_skipped_rows(tmp_path: Path) -> None:
    made = report(tmp_path, report_rows.table(device=("cuda",)))
    assert "Wrong gradients –" in made.text("overview")
    assert "Nothing was measured, so there is nothing to find." in made.text("findings")


def test_a_table_without_rows(tmp_path: Path) -> None:
    made = report(tmp_path, [], environment=None)
    assert "The table has no rows" in made.text("overview")
    assert "There are no rows." in made.text("failures")
    assert "There is no environment.json beside the table" in made.text("environment")
    assert made.payload["n"] == 0


def test_several_runs_side_by_side(tmp_path: Path) -> None:
    one = report_rows.write(tmp_path / "one", report_rows.table(kernel=(3, 5)))
    newer = {**report_rows.ENVIRONMENT, "torch": "2.14.0"}
    two = report_rows.write(tmp_path / "two", report_rows.table(seed=1, kernel=(3, 5)), newer)
    assert main([str(one), str(two), "--out", str(tmp_path / "both.html")]) == 0
    assert not (one / "report.html").exists()
    made = Page(tmp_path / "both.html")
    assert made.column("run") == ["one"] * 10 + ["two"] * 10
    assert "Configurations 4 " in made.text("overview")
    environment = made.text("environment")
    assert "≠ torch 2.13.0+cpu 2.14.0" in environment
    assert "≠ cpu" not in environment


def test_the_command_of_a_run_is_on_its_page(tmp_path: Path) -> None:
    folder = report_rows.write(tmp_path / "run", report_rows.table(kernel=(3,)))
    run_file.append(folder, {"argv": ["-m", "kernel=3", f"methods=[{EVIL}]"]})
    assert main([str(folder)]) == 0
    html = (folder / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in html
    (said,) = re.findall(r'data-copy="([^"]*)"', html)
    assert shlex.split(unescape(said)) == ["python", "-m", "convbench", "-m", "kernel=3", f"methods=[{EVIL}]"]


def test_a_folder_of_shards_is_one_run(tmp_path: Path) -> None:
    for shard, kernel in (("1", 3), ("2", 5)):
        report_rows.write(tmp_path / "run" / shard, report_rows.table(kernel=(kernel,)))
    assert main([str(tmp_path / "run")]) == 0
    made = Page(tmp_path / "run" / "report.html")
    assert sorted({*made.column("kernel")}) == [3, 5]
    assert "Configurations 2 " in made.text("overview")


def test_rows_to_show_are_named_with_their_run(tmp_path: Path) -> None:
    """The same configuration is in both runs, and a finding is about one of them."""
    rows = report_rows.table(kernel=(3, 5))
    rows[1].update(accuracy="fail", reason="off")
    folders = [report_rows.write(tmp_path / "it's <one>", rows)]
    folders += [report_rows.write(tmp_path / "two", report_rows.table(kernel=(3, 5)))]
    assert main([*map(str, folders), "--out", str(tmp_path / "both.html")]) == 0
    made = Page(tmp_path / "both.html")
    named = {a["data-name"]: json.loads(a["data-rows"] or "") for _, a in made.elements if "data-name" in a}
    configuration = made.payload["configuration"]
    assert configuration == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
    wrong = [[0, "explicit"]]
    assert named["the finding “wrong”"] == named["wrong with explicit"] == wrong


def test_layers_of_one_shape_are_configurations_of_their_own(tmp_path: Path) -> None:
    """Two layers that differ in their name alone, one of them wrong: both are counted and its row alone is shown."""
    rows = report_rows.table(kernel=(3,), labels=({"layer": "conv1"}, {"layer": "conv2"}))
    rows[6].update(accuracy="fail", reason="off")
    made = report(tmp_path, rows)
    assert "Configurations 2 " in made.text("overview")
    assert made.payload["configuration"] == [0] * 5 + [1] * 5
    named = {a["data-name"]: json.loads(a["data-rows"] or "") for _, a in made.elements if "data-name" in a}
    assert named["the finding “wrong”"] == named["wrong with explicit"] == [[1, "explicit"]]


def test_findings_name_their_own_rows(full: Page, rows: list[Record]) -> None:
    """Of the kinds that are about single rows: those rows, of the configurations that the finding names."""
    row_of = {(i // len(report_rows.METHODS), row["method"]): row for i, row in enumerate(rows)}
    buttons = {
        str(a["data-name"]): [(number, method) for number, method in json.loads(a["data-rows"] or "")]
        for _, a in full.elements
        if "data-rows" in a
    }
    wrong = [row for row in rows if row.get("accuracy") == "fail"]
    assert buttons["the finding “wrong”"] == [place for place, row in row_of.items() if row in wrong]
    unsettled = next(name for name in buttons if name.startswith("the finding “unsettled”"))
    count = sum(row.get("converged") is False and row["method"] != row["baseline"] for row in rows)
    assert unsettled.endswith(f", the first {len(buttons[unsettled])} of its {count} rows")
    assert all(row_of[place]["converged"] is False for place in buttons[unsettled])
    crashed = buttons["crash with aten"]
    assert len(crashed) == sum(row["status"] == "crash" for row in rows)
    assert all(row_of[place]["status"] == "crash" for place in crashed)


def test_damaged_lines_are_told_on_the_page_and_in_the_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lines of a part file that cannot be read: neither is a row, and a person hears of both."""
    spec = make_spec()
    lines = [store.encode(i, spec.key.unit, "", made_up.row(spec, m)) for i, m in enumerate(made_up.METHODS)]
    store.prepare(tmp_path)
    (tmp_path / "parts" / "a.jsonl").write_bytes(
        lines[0] + lines[1][:90] + b"\n" + lines[2].replace(b"ok", b"OK") + lines[3]
    )
    merge(tmp_path)
    assert main([str(tmp_path)]) == 0
    assert "Damaged lines ✕ 2 not read" in Page(tmp_path / "report.html").text("overview")
    summary.show(tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "1 configuration, 2 rows: 2 ok 2 damaged lines in the part files could not be read → the same command" in said
    )


def test_runs_of_the_same_name_are_told_apart() -> None:
    assert data.run_names([Path("/x/a"), Path("/y/b")]) == ("a", "b")
    assert data.run_names([Path("/x/run"), Path("/y/run")]) == ("/x/run", "/y/run")
    assert data.run_names([Path("/x"), Path("/x")]) == ("/x (1)", "/x (2)")


def test_a_damaged_environment_is_no_obstacle(tmp_path: Path) -> None:
    folder = report_rows.write(tmp_path / "run", report_rows.table(kernel=(3,)))
    (folder / "environment.json").write_text('{"environment_id": ', encoding="utf-8")
    assert data.read_environments(folder) == []
    assert main([str(folder)]) == 0


def test_axes_with_unequal_sides_and_labels(tmp_path: Path) -> None:
    labels = ({"layer": "conv1", "kernel": "mine"}, {"layer": "conv2"})
    rows = report_rows.table(kernel=((3, 5), (3, 3)), labels=labels)
    runs = data.read_runs([report_rows.write(tmp_path / "run", rows)])
    assert runs.axes == ("layer", "kernel", "method")
    assert runs.rows.values("kernel") == ["3×5", "3"]
    assert set(runs.labels) == {"layer", "label.kernel"}
    assert runs.rows.value("label", 0) == "conv1 · kernel 3×5"


def test_many_varying_sizes_are_named_by_their_case(tmp_path: Path) -> None:
    sizes = {"batch": (1, 2), "in_channels": (4, 8), "out_channels": (1, 2), "size": (17, 9), "kernel": (3, 5)}
    runs = data.read_runs([report_rows.write(tmp_path / "run", report_rows.table(measured=False, **sizes))])
    assert runs.rows.value("label", 0) == "conv_transpose2d 1×4→1 17×17 k3"


def test_a_table_too_long_for_a_page_keeps_what_failed(
    tmp_path: Path, rows: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload, "MOST_ROWS", 100)
    monkeypatch.setattr(page, "MOST_ROWS", 100)
    made = report(tmp_path, rows)
    urgent = [r for r in rows if r["status"] in ("crash", "oom") or r.get("accuracy") == "fail"]
    held = list(zip(made.column("status"), made.column("accuracy"), strict=True))
    assert made.payload["n"] == 100
    assert made.payload["total"] == len(rows)
    assert sum(status in ("crash", "oom") or accuracy == "fail" for status, accuracy in held) == len(urgent)
    assert f"This page holds 100 of the {len(rows)} rows" in made.texts[""]
    assert f"of {len(rows)} rows" in made.text("overview")


def fault(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line on stderr with which the command ends."""
    assert cli.main(["report", *argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("convbench: ")
    return err


def test_faults_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # a clone in which `make bench` has run has a results/latest
    assert "missing does not exist; give the folder that a sweep wrote" in fault(capsys, str(tmp_path / "missing"))
    assert "holds no results.parquet" in fault(capsys, str(tmp_path))
    assert "report needs DIR: there is no results/latest" in fault(capsys)
    assert "--colour" in fault(capsys, "--colour", str(tmp_path))
    (tmp_path / "results.parquet").write_bytes(b"PAR1 torn")
    assert "results.parquet cannot be read as a table" in fault(capsys, str(tmp_path))


def test_a_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = report_rows.write(tmp_path / "run", report_rows.table(kernel=(3,)))
    nowhere = tmp_path / "nowhere" / "report.html"
    assert f"{nowhere} cannot be written" in fault(capsys, str(folder), "--out", str(nowhere))
    taken = tmp_path / "taken"
    taken.mkdir()
    assert f"{taken} cannot be written" in fault(capsys, str(folder), "--out", str(taken))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "taken"], "no half-written file stays"


def test_a_single_file_is_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = report_rows.write(tmp_path / "run", report_rows.table(kernel=(3,)))
    assert main([str(folder / "results.parquet")]) == 0
    assert capsys.readouterr().out == f"report: {folder / 'report.html'}\n"
    assert (folder / "report.html").exists()


def test_impossible_times_stand_with_the_failures(tmp_path: Path) -> None:
    rows = report_rows.table(kernel=(3, 5))
    rows[1].update(speed="impossible", reason="1 ns a call is impossible")
    made = report(tmp_path, rows)
    named = {a["data-name"]: json.loads(a["data-rows"] or "") for _, a in made.elements if "data-name" in a}
    assert named["the finding “impossible”"] == named["impossible with explicit"] == [[0, "explicit"]]
