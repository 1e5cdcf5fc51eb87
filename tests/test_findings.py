"""What a table is found to hold, against tables whose findings are known and against naive loops."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convbench.facts.record import Record
from convbench.findings.evidence import EXAMPLES
from convbench.findings.finders import SEPARATION, find
from convbench.results.rows import Rows
from tests.made_up import row, skipped, spec, timed, timing


def found(records, kind):
    return [f for f in find(Rows.of(records)) if f.kind == kind]


def sentence(records, kind):
    (finding,) = found(records, kind)
    return finding.sentence


def test_a_clean_table_has_nothing_to_say():
    records = timed(spec(), {"autograd": 1e-4, "explicit": 9e-5, "aten": 9e-5, "unfold": 2e-4}, checked_fraction=1.0)
    assert find(Rows.of(records)) == []


def test_nothing_is_found_in_nothing():
    assert find(Rows.of([])) == []


def test_wrong_gradients_are_named_worst_first():
    specs = [spec(kernel=k) for k in (3, 5, 7, 9)]
    records = [row(s, "autograd") for s in specs] + [row(specs[0], "explicit")]
    for s, ratio in zip(specs[1:], (30.0, None, 4e4), strict=True):
        records.append(row(s, "explicit", accuracy="fail", bound_ratio=ratio, reason="3 of 10 elements are off."))
    (finding,) = found(records, "wrong")
    assert finding.sentence == (
        "explicit gave a wrong gradient in 3 of 4 configurations; worst: kernel 9, error 40000× its bound "
        "(3 of 10 elements are off)"
    )
    assert finding.configurations == tuple(s.key for s in (specs[3], specs[1], specs[2]))
    assert (finding.severity, finding.count) == ("bad", 3)


def test_the_error_over_its_bound_is_said_once():
    reason = "largest error 0.0145, 21.3 times its bound; relative L2 error 0.0001, 88.3 times its bound"
    text = sentence([row(spec(), "unfold", accuracy="fail", bound_ratio=21.3, reason=reason)], "wrong")
    assert text == f"unfold gave a wrong gradient ({reason})"


def test_a_single_wrong_configuration_needs_no_share():
    text = sentence([row(spec(), "unfold", accuracy="fail", bound_ratio=None, reason="NaN at [0, 1]")], "wrong")
    assert text == "unfold gave a wrong gradient (NaN at [0, 1])"


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("oom", "ran out of memory"),
        ("timeout", "did not end in time"),
        ("crash", "crashed its process"),
        ("error", "raised an error"),
    ],
)
def test_failures_by_method_and_status(status, said):
    specs = [spec(kernel=k) for k in (3, 5)]
    records = [
        row(specs[0], "unfold"),
        row(specs[1], "unfold", status=status, reason="signal 11"),
        row(specs[1], "aten"),
    ]
    (finding,) = found(records, status)
    assert finding.sentence == f"unfold {said} in 1 of 2 configurations, for instance kernel 5 (signal 11)"
    assert finding.severity == "bad"
    assert finding.remedy


def test_skipped_and_unsupported_rows_are_no_failures():
    assert find(Rows.of([*skipped(spec(), "no CUDA"), *skipped(spec(kernel=3), "conv only", "unsupported")])) == []


def test_timings_that_did_not_settle():
    records = timed(spec(kernel=3), {"autograd": 1e-4, "explicit": 5e-5, "aten": 5e-5, "unfold": 5e-5})
    wide = timed(spec(kernel=5, methods=("autograd", "explicit")), {"autograd": 1e-4, "explicit": 5e-5}, half_width=0.1)
    (finding,) = found(records + wide, "unsettled")
    assert finding.sentence == (
        "1 of 4 timings missed the requested precision (marked *); widest: explicit [1.80, 2.20], kernel 5"
    )
    assert (finding.severity, finding.remedy) == (
        "warning",
        "measure=rigorous (under budget_s: a larger one), or a quieter machine",
    )


@pytest.mark.parametrize(
    ("presets", "remedy"),
    [
        (["rigorous"], "more processes (measure.processes=12), or a quieter machine"),
        (["rigorous", "default"], "measure=rigorous (under budget_s: a larger one), or a quieter machine"),
        (["rigorous", "quick"], "measure=default (under budget_s: a larger one), or a quieter machine"),
        (["mine"], "measure=rigorous (under budget_s: a larger one), or a quieter machine"),
    ],
)
def test_no_row_is_told_to_be_what_it_is(presets, remedy):
    records = timed(spec(), {"autograd": 1e-4, "explicit": 9e-5, "aten": 9e-5, "unfold": 9e-5}, measure="quick")
    for kernel, preset in enumerate(presets, start=3):
        wide = spec(kernel=kernel, methods=("autograd", "explicit"))
        records += timed(wide, {"autograd": 1e-4, "explicit": 5e-5}, half_width=0.1, measure=preset)
    (finding,) = found(records, "unsettled")
    assert finding.remedy == remedy
    assert ("memory layout" in finding.sentence) == (presets == ["rigorous"])


def test_results_that_differ_from_call_to_call():
    records = [row(spec(kernel=k, device="cuda"), "autograd", repeatable=k != 5) for k in (3, 5, 7)]
    assert sentence([*records, row(spec(), "autograd")], "not_repeatable") == (
        "autograd on cuda is not bitwise repeatable from call to call in 1 of 3 configurations, "
        "for instance kernel 5 · cuda"
    )


def test_reduced_precision_by_type_and_device():
    records = [row(spec(dtype="bfloat16", kernel=k), m) for k in (3, 5) for m in ("autograd", "unfold")]
    records[3] |= {"accuracy": "reduced", "rel_l2_err": 0.0123}
    assert sentence(records, "reduced") == (
        "reduced precision in 1 of 4 bfloat16 results on cpu (unfold); worst: unfold, kernel 5 (relative error 0.012)"
    )


def test_bytes_that_autograd_keeps_alive():
    small, large = spec(kernel=3), spec(kernel=5)
    records = [
        row(small, "autograd", saved_bytes=2000),
        row(small, "explicit", saved_bytes=1000),
        row(small, "unfold", saved_bytes=10),
        row(large, "autograd", saved_bytes=5_100_000),
        row(large, "explicit", saved_bytes=1296),
        row(spec(), "autograd", saved_bytes=7),
        row(spec(), "explicit", saved_bytes=7),
        row(spec(kernel=2), "autograd", saved_bytes=7),
        row(spec(kernel=2), "explicit"),
    ]
    assert sentence(records, "kept_alive") == (
        "autograd keeps 5.10 MB alive between forward and backward, explicit 1.30 kB (kernel 5); "
        "it keeps more in 2 of 3 configurations"
    )


def test_without_the_explicit_formula_other_methods_say_what_is_needed():
    records = [row(spec(), "autograd", saved_bytes=2000), row(spec(), "aten", saved_bytes=1000)]
    assert sentence(records, "kept_alive") == (
        "autograd keeps 2.00 kB alive between forward and backward, aten 1.00 kB"
    )


def test_sixteen_bits_slower_than_float32():
    pair = ("autograd", "explicit")
    records = []
    for dtype, seconds in (("float32", 2e-5), ("float16", 1.2e-3), ("bfloat16", 2.1e-5), ("float64", 4.5e-5)):
        records += timed(spec(pair, dtype=dtype), {"autograd": 1e-4, "explicit": seconds})
    (finding,) = found(records, "slow_dtype")
    assert finding.sentence == (
        "float16 is slower than float32 on cpu in 1 of 2 comparisons; at most 60.0× its time: explicit takes 1.20 ms "
        "against 20.0 µs, float16 (timed apart, unpaired)"
    )
    assert finding.configurations == (spec(pair, dtype="float16").key,)


def test_float64_is_expected_to_take_twice_as_long():
    records = []
    for dtype, seconds in (("float32", 1e-5), ("float64", 2.5e-5)):
        records += timed(spec(("autograd",), dtype=dtype), {"autograd": seconds})
    assert found(records, "slow_dtype") == []
    records += timed(spec(("autograd",), dtype="float32", kernel=3), {"autograd": 1e-5})
    records += timed(spec(("autograd",), dtype="float64", kernel=3), {"autograd": 9e-5})
    assert "9.00× its time" in sentence(records, "slow_dtype")


def test_wrong_results_are_no_comparison():
    records = timed(spec(("autograd",)), {"autograd": 1e-5}) + timed(
        spec(("autograd",), dtype="float16"), {"autograd": 1e-3}, accuracy="fail"
    )
    assert found(records, "slow_dtype") == []


def test_partners_share_everything_else():
    slow = timed(spec(("autograd",), dtype="float16", threads=4), {"autograd": 1e-3})
    assert found(timed(spec(("autograd",)), {"autograd": 1e-5}) + slow, "slow_dtype") == []
    elsewhere = [{**r, "threads": 1, "environment_id": "another"} for r in slow]
    fast = [{**r, "environment_id": "one"} for r in timed(spec(("autograd",)), {"autograd": 1e-5})]
    assert found(fast + elsewhere, "slow_dtype") == []


widths = st.sampled_from([0.0, 0.05, 0.3])
cells = st.fixed_dictionaries(
    {(k, f): st.tuples(st.floats(1e-6, 1e-5), widths) for k in (3, 5, 7) for f in ("contiguous", "channels_last")}
)


@given(cells)
def test_slow_layouts_are_those_whose_intervals_lie_clearly_apart(cells):
    records: list[Record] = []
    slower = []
    for (kernel, layout), (seconds, width) in cells.items():
        of = spec(("autograd",), kernel=kernel, memory_format=layout)
        records.append(row(of, "autograd", **timing(seconds, seconds, width)))
        reference, its_width = cells[kernel, "contiguous"]
        if layout != "contiguous" and seconds * (1 - width) > SEPARATION * reference * (1 + its_width):
            slower.append((seconds / reference, of.key))
    findings = found(records, "slow_memory_format")
    assert len(findings) == bool(slower)
    for finding in findings:
        assert finding.count == len(slower)
        assert finding.configurations == tuple(name for _, name in sorted(slower, reverse=True))
        assert "unpaired" in finding.sentence


def test_launch_bound_and_throttled_timings():
    records = timed(
        spec(("autograd", "explicit"), device="cuda"), {"autograd": 1e-5, "explicit": 1e-5}, launch_bound=False
    )
    records[1] |= {"launch_bound": True, "throttle": "power cap"}
    assert sentence(records, "launch_bound").startswith("1 of 2 timings on CUDA waited for the host")
    assert "(power cap)" in sentence(records, "throttled")
    assert found(records[:1], "launch_bound") == []


def test_a_cap_at_the_highest_clock_is_no_throttling_and_a_low_clock_is_told():
    records = timed(spec(("autograd", "explicit"), device="cuda"), {"autograd": 1e-5, "explicit": 1e-5})
    for record in records:
        record |= {"throttle": "power_cap", "clock_mhz": 1965.0, "highest_mhz": 1980.0}
    assert found(records, "throttled") == []
    records[1]["clock_mhz"] = 1386.0
    assert sentence(records, "throttled").startswith(
        "the GPU was throttled (power_cap) and ran at 70% of its highest clock during 1 of 2 timings"
    )


def test_where_launches_wait_by_order_no_larger_batch_is_advised():
    records = timed(spec(("autograd", "explicit"), device="cuda"), {"autograd": 1e-5, "explicit": 1e-5})
    for record in records:
        record |= {"launch_bound": True, "launches_wait": "CUDA_LAUNCH_BLOCKING=1"}
    assert found(records, "launch_bound") == []
    (finding,) = found(records, "launches_wait")
    assert (finding.sentence.split(",")[0], finding.remedy) == (
        "CUDA_LAUNCH_BLOCKING=1 made the host wait for every kernel in both timings",
        "unset it",
    )


def test_times_near_what_timing_takes_are_compressed():
    """Twenty times what two events take: 5% of it, which a ratio of 2 turns into less than 1.95."""
    records = timed(spec(("autograd", "explicit"), device="cuda"), {"autograd": 2e-5, "explicit": 1e-5})
    for record in records:
        record |= {"event_s": 1e-6, "cache": "hot", "calls_per_sample": 2}
    assert found(records, "compressed") == []
    records[1]["calls_per_sample"] = 1
    assert sentence(records, "compressed").startswith("1 of 2 timings took less than twenty times")
    for record in records:
        record |= {"cache": "cold", "calls_per_sample": 16}
    assert sentence(records, "compressed").startswith("1 of 2 timings"), "with cold caches each call has its events"


def test_sampled_comparisons_are_told():
    records = [row(spec(kernel=3), "aten", checked_fraction=1.0), row(spec(), "aten", checked_fraction=0.012)]
    records[1]["identity_fraction"] = 1.0
    assert sentence(records, "sampled") == (
        "a sample of the elements was compared with the reference in 1 of 2 results, at least 1.2% of them; "
        "an identity covers 100%; smallest share: kernel 9"
    )


def test_many_rows_become_one_sentence_with_a_few_ids():
    specs = [spec(kernel=k, size=s) for k in range(1, 9) for s in range(10, 30)]
    records = [row(s, "unfold", status="crash", reason="signal 6") for s in specs]
    (finding,) = find(Rows.of(records))
    assert len(finding.configurations) == EXAMPLES
    assert finding.count == 160
    assert finding.sentence.startswith("unfold crashed its process in all 160 configurations")


def test_the_gravest_comes_first():
    records = [
        row(spec(), "autograd", saved_bytes=10),
        row(spec(), "explicit", saved_bytes=1, accuracy="fail"),
        row(spec(), "aten", status="crash", reason="signal 11"),
        row(spec(), "unfold", **timing(1e-5, 1e-5, 0.2)),
    ]
    severities = [f.severity for f in find(Rows.of(records))]
    assert severities == ["bad", "bad", "warning", "note"]


def test_sentences_hold_no_raw_numbers():
    records = timed(spec(), {"autograd": 1e-4, "explicit": 3.3333e-5, "aten": 1e-4, "unfold": 1e-4}, half_width=0.1)
    for finding in find(Rows.of(records)):
        assert not re.search(r"\d\.\d{4,}|nan|None", finding.sentence)


def test_impossible_times_are_named_with_the_least_that_is_needed():
    specs = [spec(("autograd", "explicit"), kernel=k) for k in (3, 5)]
    records = [r for s in specs for r in timed(s, {"autograd": 1e-3, "explicit": 1e-3})]
    records[3] |= {"speed": "impossible", "time_s": 1e-7, "least_s": 1e-4, "reason": "100 ns a call is impossible"}
    (finding,) = found(records, "impossible")
    assert finding.sentence == (
        "explicit cannot have done its work in the time measured in 1 of 2 configurations; worst: kernel 5 "
        "(100 ns a call is impossible)"
    )
    assert (finding.severity, finding.configurations) == ("bad", (specs[1].key,))


def test_ratios_of_unequally_disturbed_arms():
    records = timed(
        spec(kernel=3, methods=("autograd", "explicit")), {"autograd": 1e-4, "explicit": 5e-5}, disturbed=False
    )
    records += timed(
        spec(kernel=5, methods=("autograd", "explicit")),
        {"autograd": 1e-4, "explicit": 5e-5},
        half_width=0.5,
        disturbed=True,
        converged=True,
    )
    records[2].pop("disturbed")  # a baseline's row has none
    records[0].pop("disturbed")
    assert sentence(records, "disturbed") == (
        "other work slowed a method and the baseline by different factors in 1 of 2 timings (marked !): the intervals "
        "there hold the ratio of the CPU times as well; widest: explicit [1.00, 3.00], kernel 5"
    )


def test_means_that_say_something_else_than_medians():
    means = {"mean_speedup": 0.5, "mean_speedup_low": 0.45, "mean_speedup_high": 0.55}
    records = timed(spec(methods=("autograd", "explicit")), {"autograd": 1e-4, "explicit": 1e-4})
    records[1] |= {**means, "mean_differs": True}
    assert sentence(records, "mean_differs") == (
        "some calls of explicit do work that others do not (marked ^): its speedup is 1.00× by the median and "
        "0.50× [0.45, 0.55] by the mean, which training pays"
    )
    records[1]["mean_differs"] = False
    assert not found(records, "mean_differs")


def test_first_calls_that_take_as_long_as_a_thousand_others():
    specs = [spec(kernel=k, methods=("autograd", "explicit")) for k in (3, 5)]
    records = [r for s in specs for r in timed(s, {"autograd": 1e-3, "explicit": 2e-4})]
    for r in records:
        r["first_call_s"] = 0.15
    assert not found(records, "first_call"), "as long as 750"
    records[3]["first_call_s"] = 2.5
    records[1]["first_call_s"] = 0.09
    assert sentence(records, "first_call") == (
        "explicit's first call takes 2.50 s, as long as 12,500 later ones in 1 of 2 configurations, kernel 5; no other "
        "time holds it"
    )


@pytest.mark.parametrize(("pages", "told"), [(300, True), (60, False)])
def test_page_faults_that_take_more_than_a_fifth(pages, told):
    records = timed(spec(methods=("autograd", "explicit")), {"autograd": 1e-3, "explicit": 1e-3})
    records[1] |= {"mean_s": 1e-3, "minor_faults": float(pages), "fault_s": 2e-6}
    seen = found(records, "page_faults")
    assert bool(seen) is told
    if told:
        assert seen[0].sentence == (
            "page faults take more than a fifth of explicit's time: its memory goes back to the system and comes "
            "again; most: about 60% of 1.00 ms, 300 pages a call"
        )
        assert seen[0].remedy == "allocator=retain keeps it in the process"
        records[1]["allocator"] = "retain"
        assert found(records, "page_faults")[0].remedy == ""


def test_methods_that_take_another_time_by_themselves():
    specs = [spec(kernel=k, methods=("autograd", "explicit")) for k in (3, 5)]
    records = [r for s in specs for r in timed(s, {"autograd": 1e-3, "explicit": 4.54e-3})]
    for r in records:
        r |= {"alone_s": r["time_s"], "alone_low_s": r["time_s"] * 0.98, "alone_high_s": r["time_s"] * 1.02}
    assert not found(records, "interleaved")
    records[3] |= {"alone_s": 2.7e-3, "alone_low_s": 2.6e-3, "alone_high_s": 2.8e-3}
    assert sentence(records, "interleaved") == (
        "explicit takes another time between the other methods than by itself in 1 of 2 configurations: 4.54 ms "
        "against 2.70 ms, kernel 5; they leave the caches, the allocator or the clock in another state"
    )


def test_two_speeds_are_told_of_the_training_step_and_of_the_call_by_itself():
    modes = {"speedup_mode_low": 0.5, "speedup_mode_high": 0.7}
    stepped = {"backward_time_s": 2e-4, "backward_speedup": 1.0}
    later = {f"backward_{name}": value + 0.5 for name, value in modes.items()}
    for columns, said in (
        (modes, ["unfold has two speeds: some processes find 0.50×, others 0.70×"]),
        (modes | stepped, ["unfold by itself, outside of a training step, has two speeds: some processes find 0.50×"]),
        (later | stepped, ["unfold has two speeds: some processes find 1.00×, others 1.20×"]),
        (
            modes | later | stepped,
            ["unfold has two speeds: some processes find 1.00×", "unfold by itself, outside of a training step, has"],
        ),
    ):
        baseline, other = timed(spec(("autograd", "unfold")), {"autograd": 1e-4, "unfold": 1.5e-4})
        findings = found([baseline, {**other, **columns}], "two_speeds")
        assert [finding.sentence.startswith(start) for finding, start in zip(findings, said, strict=True)] == [
            True
        ] * len(said)
