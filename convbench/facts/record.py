"""One row of the table: every column with its type, unit and meaning. Unknown is None, never 0."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .case import AXES
from .settings import SETTINGS, Setting, owned

STATUSES = ("ok", "skipped", "unsupported", "oom", "timeout", "crash", "error")
FAILED = ("oom", "timeout", "crash", "error")
"""Statuses of a row that should have been measured and could not be."""

OUT_OF_MEMORY = re.compile(
    r"bad_alloc|out of memory|can't allocate|cannot allocate|CUDNN_STATUS_ALLOC_FAILED|MemoryError", re.IGNORECASE
)
"""What torch, CUDA, C++ and Python say when they fail for want of memory: the status is oom then."""

VERDICTS = ("exact", "ok", "reduced", "fail")
SPEEDS = ("faster", "slower", "equivalent", "inconclusive", "impossible")
IMPOSSIBLE = "impossible"
"""The verdict on a time that is below `least_s`: it cannot be what it is said to be, whatever was timed."""


@dataclass(frozen=True, slots=True)
class Column:
    """`type` is int, float, bool or str; `unit` is "" where there is none."""

    name: str
    type: type
    unit: str
    meaning: str


def _column(setting: Setting) -> list[Column]:
    """The columns that hold a setting."""
    if not setting.per_axis:
        return [Column(setting.name, setting.type, "", setting.meaning)]
    return [
        Column(name, setting.type, "", f"{setting.meaning}, axis {axis}")
        for name, axis in zip(setting.columns, AXES, strict=True)
    ]


def _columns(settings: Iterable[Setting]) -> list[Column]:
    return [column for setting in settings for column in _column(setting)]


AS_BACKWARD = "as the backward of an autograd.Function (methods through autograd: as they are)"

CASE = tuple(_columns(owned("case")))
SETTING = (
    *_columns(owned("spec", "switch")),
    Column("method", str, "", "what computed the gradient"),
    Column("baseline", str, "", "the method that speedups are measured against"),
    *_columns(setting for setting in owned("measure") if not setting.observed),
    Column("config_id", str, "", "names the configuration; the same in every run"),
    Column("run_key", str, "", "hash of everything that decided the row; for resuming"),
    Column("labels", str, "", "JSON object of a cases file's further columns"),
)
OUTCOME = (
    Column("status", str, "", " | ".join(STATUSES)),
    Column("reason", str, "", "why, in a sentence, where the status is not ok or the verdict is fail"),
    Column(
        "failure", str, "", "folder of the run that keeps what the failure left: operands, result, traceback, a script"
    ),
)
ACCURACY = (
    Column("accuracy", str, "", " | ".join(VERDICTS)),
    Column("max_abs_err", float, "", "largest absolute error against the float64 reference"),
    Column("rel_l2_err", float, "", "‖error‖₂ / ‖reference‖₂"),
    Column("max_ulp_err", float, "ulp", "largest error in units in the last place of the reference"),
    Column("bound_ratio", float, "", "largest error over its bound for `ok`; above 1 is not ok"),
    Column("explained_by", str, "", "the class of bounds that the errors are within, where it is not that of `ok`"),
    Column("judged_on", str, "", "where fill names several kinds of data: that of the verdict and errors, the worst"),
    Column("judged_wrt", str, "", "where wrt names several gradients: that of the verdict and errors, the worst"),
    Column("reduction_length", int, "", "products summed for one element, K of the bound"),
    Column("equals_baseline", bool, "", "bitwise equal to the baseline's result"),
    Column("repeatable", bool, "", "bitwise equal in two calls"),
    Column("checked_fraction", float, "", "share of elements compared one by one with the reference"),
    Column("identity_fraction", float, "", "share of elements covered by the trilinear identity"),
    Column(
        "result_hash", str, "", "first 16 hexadecimal digits of the SHA-256 of the result's bytes; none above 64 MiB"
    ),
    Column("loss", float, "", "fill=notebook: sum of squared differences of output and target"),
    Column("grad_mean", float, "", "mean of the gradient"),
    Column("grad_std", float, "", "standard deviation of the gradient (over n, as numpy has it)"),
)
SPEED = (
    Column("time_s", float, "s", "time of one call: the median of one process, the geometric mean of several"),
    Column("time_low_s", float, "s", "lower end of its 95% interval"),
    Column("time_high_s", float, "s", "upper end of its 95% interval"),
    Column("samples", int, "", "pairs measured"),
    Column(
        "processes",
        int,
        "",
        "fresh processes that the times, ratios and intervals are of; 1: the intervals are of the pairs of one process "
        "and say nothing of the next",
    ),
    Column("calls_per_sample", int, "", "calls in one timed sample"),
    Column(
        "speedup",
        float,
        "",
        "baseline time over this method's: the median of one process's pairs, the geometric mean of several processes",
    ),
    Column("speedup_low", float, "", "lower end of its 95% interval"),
    Column("speedup_high", float, "", "upper end of its 95% interval"),
    Column(
        "speedup_mode_low", float, "", "speedup in the slower of two groups that its processes fall into, if they do"
    ),
    Column("speedup_mode_high", float, "", "speedup in the faster of these two groups"),
    Column("speed", str, "", " | ".join(SPEEDS)),
    Column("margin", float, "", "share either way within which `speed` calls two times equivalent"),
    Column(
        "disturbed",
        bool,
        "",
        "CPU: others' work slowed the method and the baseline by different factors, so that the interval was made to "
        "hold the ratio of their CPU times, too",
    ),
    Column("mean_s", float, "s", "mean time of one call: all of a sample, work that only some calls do included"),
    Column("mean_speedup", float, "", "baseline's mean over this method's mean"),
    Column(
        "mean_speedup_low",
        float,
        "",
        "lower end of its 95% interval (Student's t on the samples, or on the processes' means)",
    ),
    Column("mean_speedup_high", float, "", "upper end of its 95% interval"),
    Column(
        "mean_differs",
        bool,
        "",
        "the interval of `mean_speedup` lies apart from that of `speedup`, and the two differ by more than `margin`",
    ),
    Column("converged", bool, "", "the interval reached the requested precision"),
    Column("measured_s", float, "s", "time spent inside timed regions"),
    Column(
        "cpus", float, "", "CPU: seconds of CPU time in a second of its calls; above `threads` it had more than them"
    ),
    Column("call_cpu_s", float, "s", "CPU: CPU seconds of one call, all threads together, mean"),
    Column("minor_faults", float, "", "CPU: pages that one call touches for the first time, mean"),
    Column("fault_s", float, "s", "CPU: what the first touch of a page takes on this machine"),
    Column("major_faults", float, "", "CPU: pages that one call reads from a disk, mean"),
    Column(
        "alone_s",
        float,
        "s",
        "CPU: median time of one call in samples with no other method's between them, where others could show in "
        "its time (calls longer than half a millisecond, or that touch new pages)",
    ),
    Column("alone_low_s", float, "s", "the smallest of those samples"),
    Column("alone_high_s", float, "s", "the largest of those samples"),
    Column(
        "baseline_slowed",
        float,
        "",
        "methods of one's own: how many times as long the baseline took beside them as without, where that is beyond "
        "what caches and chance explain",
    ),
    Column("backward_time_s", float, "s", f"time of one call {AS_BACKWARD}"),
    Column("backward_time_low_s", float, "s", "lower end of its 95% interval"),
    Column("backward_time_high_s", float, "s", "upper end of its 95% interval"),
    Column(
        "backward_speedup", float, "", f"what a training step gains: the baseline's time over this, both {AS_BACKWARD}"
    ),
    Column("backward_speedup_low", float, "", "lower end of its 95% interval"),
    Column("backward_speedup_high", float, "", "upper end of its 95% interval"),
    Column("backward_speedup_mode_low", float, "", "as `speedup_mode_low`, there"),
    Column("backward_speedup_mode_high", float, "", "as `speedup_mode_high`, there"),
    Column("backward_speed", str, "", " | ".join(SPEEDS)),
    Column("backward_converged", bool, "", "its interval reached the requested precision"),
    Column(
        "backward_disturbed", bool, "", "others' work slowed the method and the baseline by different factors there"
    ),
    Column("backward_mean_s", float, "s", "mean time of one call there"),
    Column("backward_mean_speedup", float, "", "baseline's mean over this method's mean there"),
    Column("backward_mean_speedup_low", float, "", "lower end of its 95% interval"),
    Column("backward_mean_speedup_high", float, "", "upper end of its 95% interval"),
    Column("backward_mean_differs", bool, "", "its interval lies apart from that of `backward_speedup`"),
    Column("engine_s", float, "s", "what autograd's engine takes for a node that computes nothing, in this process"),
    Column(
        "prepare_s",
        float,
        "s",
        "time of the untimed preparation (autograd's forward, compilation) on a device that has been used before",
    ),
    Column(
        "first_call_s",
        float,
        "s",
        "wall time of the first call after it until its result is there: what the method loads, compiles or picks then",
    ),
    Column("enqueue_s", float, "s", "CUDA: host time to enqueue one call"),
    Column("wall_s", float, "s", "devices with a queue: wall time of a call, in a batch that finds and leaves it idle"),
    Column("wall_low_s", float, "s", "lower end of its 95% interval"),
    Column("wall_high_s", float, "s", "upper end of its 95% interval"),
    Column("wall_speedup", float, "", "the baseline's wall time over this method's, as `speedup`"),
    Column("wall_speedup_low", float, "", "lower end of its 95% interval"),
    Column("wall_speedup_high", float, "", "upper end of its 95% interval"),
    Column("wall_speed", str, "", " | ".join(SPEEDS)),
    Column("latency_s", float, "s", "wall time of one call by itself, from an idle device to an idle device"),
    Column("launch_bound", bool, "", "CUDA: the host could not stay ahead of the device"),
    *_columns(setting for setting in SETTINGS.values() if setting.observed),
    Column("cuda_graph_error", str, "", "why not, where measure.cuda_graph=true requested it"),
    Column("event_s", float, "s", "CUDA: time between two events with nothing between them, which is in every sample"),
    Column("launches_wait", str, "", "CUDA: the environment variable that makes every launch wait for its kernel"),
    Column("throttle", str, "", "CUDA: throttle reasons seen while sampling"),
    Column("clock_mhz", float, "MHz", "CUDA: median SM clock while sampling"),
    Column("highest_mhz", float, "MHz", "CUDA: the highest SM clock of the device"),
    Column(
        "control_s",
        float,
        "s",
        "CPU: a fixed matrix product of numpy's, timed in every round: how fast the machine was, whatever torch does",
    ),
    Column(
        "preempted", int, "", "CPU: times the process was taken off its core while the methods were judged and timed"
    ),
    Column("flops", int, "", "operations of the direct algorithm, multiply-adds × 2"),
    Column("tflops", float, "TFLOP/s", "flops / time_s / 1e12"),
    Column("bytes", int, "B", "bytes moved at least: operands once, result once"),
    Column("gbps", float, "GB/s", "bytes / time_s / 1e9"),
    Column("ceiling_tflops", float, "TFLOP/s", "what a large matrix product reached in this run"),
    Column("ceiling_gbps", float, "GB/s", "what a large copy reached in this run"),
    Column("ceiling_share", float, "", "share of the ceiling that binds (roofline) which the method reached"),
    Column("least_s", float, "s", "no algorithm takes less on this machine; below it `speed` is impossible"),
)
UNDERNEATH = (
    Column(
        "kernels",
        str,
        "",
        "what one untimed call ran: a GPU's kernels; on a CPU torch's operations, and then oneDNN's primitives",
    ),
    Column("busy_s", float, "s", "CUDA: time that the device is at work on that call, on any stream, by its driver"),
)
MEMORY = (
    Column("saved_bytes", int, "B", "kept alive between forward and backward; not of wrt=output"),
    Column("peak_bytes", int, "B", "largest extra allocation during one call"),
)
PROVENANCE = (
    Column("environment_id", str, "", "fingerprint of the environment; details in environment.json"),
    Column("convbench_version", str, "", "version that wrote the row"),
    Column("commit", str, "", "git: commit that the working directory was at; none outside of a repository"),
    Column("dirty", bool, "", "git: files of that commit were changed since"),
    Column("method_commit", str, "", "git: commit of the repository that the file of a method of one's own is in"),
    Column("method_dirty", bool, "", "git: that file is in no commit as it is"),
    Column("started_at", str, "", "UTC time, ISO 8601"),
    Column("elapsed_s", float, "s", "wall time of the configuration, preparation and reference included"),
)
COLUMNS = {c.name: c for c in (*CASE, *SETTING, *OUTCOME, *ACCURACY, *SPEED, *UNDERNEATH, *MEMORY, *PROVENANCE)}
"""Every column of the table by name, in the table's order."""

SAMPLE_COLUMNS = (
    Column("config_id", str, "", "the configuration, as in the table"),
    Column("run_key", str, "", "the run, as in the table"),
    Column("labels", str, "", "JSON object of a cases file's further columns, as in the table"),
    Column("process", int, "", "which of the fresh processes of a configuration, from 0"),
    Column("timed_as", str, "", "call; wall: by the host's clock; backward: as the backward of an autograd.Function"),
    Column("round", int, "", "the round, from 0; in each all methods are sampled once, in random order"),
    Column("position", int, "", "place of the sample within its round, from 0"),
    Column("method", str, "", "what was timed, as in the table"),
    Column("time_s", float, "s", "time of one call in this sample: of its median part, where it has parts"),
    Column("calls", int, "", "calls in this sample"),
    Column("mean_s", float, "s", "time of one call in this sample: of all of it, divided by its calls"),
    Column("cpu_s", float, "s", "CPU: CPU seconds of one call in this sample, likewise of its median part"),
    Column("switches", int, "", "CPU: times the process was taken off its core during this sample"),
    Column("seed", int, "", "seed of the order"),
    Column("margin", float, "", "margin of the verdict, as in the table"),
    Column("half_width", float, "", "requested half-width of the interval, as a share"),
)
"""Columns of samples.parquet, one row per sample."""

Record = dict[str, Any]
"""One row: column name → value. Columns that are not there are unknown."""


def is_wrong(row: Mapping[str, Any]) -> bool:
    """Whether a row is not to be believed: its gradient is wrong, or its time impossible."""
    return row.get("accuracy") == "fail" or row.get("speed") == IMPOSSIBLE


def record(values: Mapping[str, Any]) -> Record:
    """A row checked at birth: known columns, right types, unknown ones left out.

    Raises ValueError (a mistake in convbench itself, not in a user's input).
    """
    row: Record = {}
    for name, value in values.items():
        column = COLUMNS.get(name)
        if column is None:
            raise ValueError(f"no column named {name!r}")
        if value is None:
            continue
        if column.type is float and type(value) is int:
            value = float(value)
        if type(value) is not column.type:
            raise ValueError(f"column {name} holds {column.type.__name__}, got {value!r}")
        row[name] = value
    if row.get("status") not in STATUSES:
        raise ValueError(f"status={row.get('status')!r} must be one of {STATUSES}")
    return row
