"""The notebook's figures beside a table's own, and what a table says of the bias."""

from __future__ import annotations

import pytest

from convbench.facts.record import Record
from convbench.findings.notebook import bias_statement, notebook_figures
from convbench.results.rows import Rows
from tests.made_up import row, spec

FIGURES = {"loss": 656.5942, "grad_mean": -0.00201465, "grad_std": 0.6236694, "max_abs_err": 1e-6}


def notebook_rows(**values) -> list[Record]:
    of = spec(("autograd", "explicit"), fill="notebook")
    rows = [row(of, m, **{**FIGURES, **values}) for m in of.arms]
    rows[1]["equals_baseline"] = True
    return rows


def figures(records):
    return {f.name: f for f in notebook_figures(Rows.of(records))}


def test_the_notebooks_figures_agree_within_rounding():
    found = figures(notebook_rows())
    assert {name: (f.printed, f.here, f.agrees) for name, f in found.items()} == {
        "cost": ("656.59412", "656.5942", True),
        "gradient mean": ("-0.0020146435", "-0.00201465", True),
        "gradient std": ("0.62366945", "0.6236694", True),
        "gradient shape": ("(1, 4, 17, 17)", "(1, 4, 17, 17)", True),
        "largest difference": ("0.0", "0.0", True),
    }
    assert found["cost"].relative == pytest.approx(8e-5 / 656.59412, rel=1e-3)


@pytest.mark.parametrize(
    ("column", "name", "relative", "agrees"),
    [
        ("loss", "cost", 0.9e-6, True),
        ("loss", "cost", 1.1e-6, False),
        ("grad_mean", "gradient mean", 0.9e-5, True),
        ("grad_mean", "gradient mean", -1.1e-5, False),
        ("grad_std", "gradient std", 1.1e-6, False),
    ],
)
def test_each_figure_has_its_own_allowance(column, name, relative, agrees):
    printed = {"loss": 656.59412, "grad_mean": -0.0020146435, "grad_std": 0.62366945}[column]
    assert figures(notebook_rows(**{column: printed * (1 + relative)}))[name].agrees is agrees


def test_a_difference_that_is_not_zero_is_bounded_by_both_errors():
    records = notebook_rows()
    records[1]["equals_baseline"] = False
    difference = figures(records)["largest difference"]
    assert (difference.here, difference.agrees) == ("at most 2e-06", False)


def test_the_bytes_tell_where_the_flag_is_missing():
    records = notebook_rows(result_hash="00ff00ff00ff00ff")
    del records[1]["equals_baseline"]
    assert figures(records)["largest difference"].here == "0.0"


@pytest.mark.parametrize(
    "keys",
    [
        {"kernel": 8},
        {"dtype": "float64"},
        {"seed": 1},
        {"wrt": "weight"},
        {"fill": "normal"},
        {"memory_format": "channels_last"},
    ],
)
def test_other_configurations_are_not_the_notebooks(keys):
    of = spec(("autograd",), **{"fill": "notebook", **keys})
    assert notebook_figures(Rows.of([row(of, "autograd", **FIGURES)])) == []


def test_the_notebooks_case_is_found_among_others():
    other = [row(spec(fill="notebook", kernel=5), "autograd", **{**FIGURES, "loss": 1.0})]
    assert figures(other + notebook_rows())["cost"].agrees


def biased(kernel: int, hashes: tuple[str | None, str | None], method: str = "explicit") -> list[Record]:
    return [
        row(spec(kernel=kernel, bias=bias), method, result_hash=digest, grad_mean=1.0, grad_std=2.0)
        for bias, digest in zip((False, True), hashes, strict=True)
    ]


def test_equal_bytes_with_and_without_bias():
    statement = bias_statement(Rows.of(biased(3, ("a", "a")) + biased(5, ("b", "b"))))
    assert statement is not None
    assert (statement.pairs, statement.identical, statement.bitwise, statement.different) == (2, 2, True, ())
    assert statement.wrt == ("input",)


def test_a_gradient_that_the_bias_changes_is_named():
    statement = bias_statement(Rows.of(biased(3, ("a", "a")) + biased(5, ("b", "c"), "unfold")))
    assert statement is not None
    assert (statement.pairs, statement.identical, statement.different) == (2, 1, ("unfold",))


def test_without_bytes_the_figures_are_compared():
    statement = bias_statement(Rows.of(biased(3, (None, None))))
    assert statement is not None
    assert (statement.pairs, statement.identical, statement.bitwise) == (1, 1, False)


def test_rows_that_differ_in_more_than_the_bias_are_no_pair():
    records = [row(spec(kernel=3), "aten", result_hash="a"), row(spec(kernel=5, bias=True), "aten", result_hash="a")]
    assert bias_statement(Rows.of(records)) is None


def test_one_kind_of_bias_says_nothing():
    assert bias_statement(Rows.of([row(spec(), "aten", result_hash="a")])) is None
