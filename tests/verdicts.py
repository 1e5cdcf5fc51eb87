"""Writes the tables of docs/accuracy.md: what planted bugs and right methods are called, on every kind of data.

`make verdicts`, or `python -m tests.verdicts [PART …]` for some of the tables. Each stands between two marks there.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":  # before torch is imported, as in conftest.py
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_FP16")

from hypothesis import given, settings

from convbench.facts.dtypes import DTYPES
from convbench.facts.fills import FILLS
from convbench.facts.spec import Spec
from convbench.measurement import accuracy, problem
from convbench.measurement.accuracy import Judgement

from .right import CORRELATIONS, correlation, sequential_sums, truncated_sums
from .settings import make_spec, specs
from .spoilt_sums import BUGS
from .survival import survived
from .test_accuracy import judged_mutants, right_results, truth_of
from .test_bounds import long_sum, rounded_reference

PAGE = Path(__file__).parent.parent / "docs" / "accuracy.md"
KINDS = [name for name in FILLS if name != "notebook"]
VERDICTS = ("exact", "ok", "reduced", "fail")
CONFIGURATIONS = 1000
"""Random ones, of which every dtype and kind of data is made."""
OF_METHODS = 60
"""Random ones for the methods that ship, each in every dtype and kind of data."""

Row = Sequence[object]


def table(head: Row, rows: Iterable[Row]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def counted(found: Counter[str]) -> str:
    """`12 exact, 3 ok`."""
    return ", ".join(f"{found[verdict]:,} {verdict}" for verdict in VERDICTS if found[verdict]) or "–"


def by_kind(found: dict[tuple[str, str], Counter[str]]) -> str:
    """A row for each kind of data, a column for each dtype."""
    return table(
        ["`fill`", *DTYPES], ([f"`{fill}`", *(counted(found[fill, dtype]) for dtype in DTYPES)] for fill in KINDS)
    )


def bugs() -> str:
    """The planted bugs of mutants.py."""
    found = {}
    for fill in KINDS:
        for dtype in DTYPES:
            found[fill, dtype] = Counter(judged.verdict for _, _, judged in judged_mutants(dtype, fill))
    return by_kind(found)


def sums() -> str:
    """The bugs of spoilt_sums.py; – where one changes nothing on that data."""
    rows = []
    for name, bug in BUGS.items():
        for dtype in bug.dtypes:
            cells = []
            for fill in KINDS:
                made = problem.make(make_spec(**bug.case, dtype=dtype, fill=fill))
                wrong, (right, truth) = bug.spoil(made), rounded_reference(made)
                cells.append("–" if wrong.equal(right) else told(accuracy.judge(wrong, made, truth)))
            rows.append([name, dtype, *cells])
    return table(["bug", "dtype", *(f"`{fill}`" for fill in KINDS)], rows)


def told(judged: Judgement) -> str:
    return judged.verdict if judged.explained_by is None else f"{judged.verdict} ({judged.explained_by})"


def right() -> str:
    """The right methods of right.py that no library here takes: 3×3, from 1 to 64 channels, two seeds."""
    found: dict[str, Counter[str]] = {name: Counter() for name in CORRELATIONS}
    for made in shapes_of_correlations():
        truth = truth_of(made)
        for name, how in CORRELATIONS.items():
            found[name][told(accuracy.judge(correlation(made, how), made, truth))] += 1
    return table(["method", "verdicts"], ([name, named(verdicts)] for name, verdicts in found.items()))


def shapes_of_correlations() -> Iterator[problem.Problem]:
    for fill in KINDS:
        for channels, size in ((1, 9), (3, 20), (16, 14), (64, 14), (64, 33)):
            for op in ("conv2d", "conv_transpose2d"):
                for seed in (0, 1):
                    given = {"op": op, "in_channels": channels, "out_channels": channels, "size": size, "padding": 1}
                    yield problem.make(make_spec(**given, kernel=3, fill=fill, seed=seed))


def named(found: Counter[str]) -> str:
    """Verdicts, the best first, each with the class that explains it."""
    order = sorted(found, key=lambda said: (VERDICTS.index(said.partition(" ")[0]), said))
    return ", ".join(f"{found[said]:,} {said}" for said in order)


def long() -> str:
    """Sums of up to ten million products, in sequence and truncated after every 16."""
    rows = []
    for name, how in (("in sequence", sequential_sums), ("truncated", truncated_sums)):
        for dtype in ("float32", "float16", "bfloat16"):
            cells = []
            for length in (10_000, 1_000_000, 10_000_000):
                found: Counter[str] = Counter()
                for fill in KINDS:
                    made = long_sum(length, dtype, fill=fill)
                    found[told(accuracy.judge(how(made), made, truth_of(made)))] += 1
                cells.append(named(found))
            rows.append([name, dtype, *cells])
    return table(["sums", "dtype", "10⁴ products", "10⁶", "10⁷"], rows)


def shipped() -> str:
    """The methods that ship, and the explicit formula without oneDNN, on random configurations."""
    found = {(fill, dtype): Counter[str]() for fill in KINDS for dtype in DTYPES}

    def judge(spec: Spec) -> None:
        made = problem.make(spec)
        truth = truth_of(made)
        with survived(spec):
            results = right_results(made)
        for result in results.values():
            found[spec.fill, spec.dtype][accuracy.judge(result, made, truth).verdict] += 1

    of_random(OF_METHODS, judge)
    return by_kind(found)


def references() -> str:
    """The reference rounded once to the dtype, than which nothing can be better."""
    found = {(fill, dtype): Counter[str]() for fill in KINDS for dtype in DTYPES}

    def judge(spec: Spec) -> None:
        made = problem.make(spec)
        result, truth = rounded_reference(made)
        found[spec.fill, spec.dtype][accuracy.judge(result, made, truth).verdict] += 1

    of_random(CONFIGURATIONS, judge)
    return by_kind(found)


def of_random(count: int, judge: Callable[[Spec], None]) -> None:
    """Random configurations, each in every dtype and on every kind of data."""

    @settings(max_examples=count, deadline=None, database=None, derandomize=True)
    @given(specs())
    def run(spec: Spec) -> None:
        for dtype in DTYPES:
            for fill in KINDS:
                judge(replace(spec, dtype=dtype, fill=fill))

    run()


PARTS = {part.__name__: part for part in (bugs, sums, right, long, shipped, references)}


def written(page: str, part: str, text: str) -> str:
    """The page with what stands between the part's two marks replaced."""
    before, opening, rest = page.partition(f"<!-- {part}, by make verdicts -->\n")
    _, closing, after = rest.partition(f"<!-- end of {part} -->\n")
    if not (opening and closing):
        raise SystemExit(f"{PAGE.name} has no marks for {part}")
    return f"{before}{opening}\n{text}\n\n{closing}{after}"


def main(asked: Sequence[str]) -> None:
    for part in asked or PARTS:
        text = PARTS[part]()
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), part, text), encoding="utf-8")
        print(f"{part}\n{text}\n", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
