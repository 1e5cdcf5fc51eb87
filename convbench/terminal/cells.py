"""What a table's cells say of a row: its time, its speedups, its verdicts and its error."""

from __future__ import annotations

from collections.abc import Callable

from rich.text import Text

from ..facts import units
from ..facts.marks import marks
from ..facts.record import IMPOSSIBLE, Record
from ..facts.timed_as import WALL_TIME

Cell = Callable[[Record], Text]


def time_cell(row: Record) -> Text:
    return Text(units.time(row["time_s"]) if row.get("time_s") is not None else "")


def speedup_cell(row: Record) -> Text:
    """1.31× [1.28, 1.34], with what marks.py says of it."""
    if row.get("speedup") is None or row.get("method") == row.get("baseline"):
        return Text("")
    return Text(units.interval(row["speedup"], row.get("speedup_low"), row.get("speedup_high")) + marks(row))


def speedup_or_baseline(row: Record) -> Text:
    if row.get("method") == row.get("baseline") and row.get("time_s") is not None:
        return Text("baseline", style="quiet")
    return speedup_cell(row)


def call_cell(row: Record) -> Text:
    """The speedup of a call alone, where that of a training step has its own cell."""
    if row.get("call_speedup") is None or row.get("method") == row.get("baseline"):
        return Text("")
    return Text(units.times(row["call_speedup"]), style="quiet")


def wall_cell(row: Record) -> Text:
    """The speedup of the calls by wall time, where the call's own is of device time."""
    if row.get("wall_speedup") is None or row.get("time") == WALL_TIME or row.get("method") == row.get("baseline"):
        return Text("")
    return Text(units.times(row["wall_speedup"]), style="quiet")


def wall_interval_cell(row: Record) -> Text:
    """The same with its interval and its verdict."""
    if not wall_cell(row).plain:
        return Text("")
    said = units.interval(row["wall_speedup"], row.get("wall_speedup_low"), row.get("wall_speedup_high"))
    return Text(f"{said} {row.get('wall_speed', '')}".rstrip(), style="quiet")


def speed_cell(row: Record) -> Text:
    """The verdict on speed, or the status where the row could not be measured."""
    status = row.get("status")
    if status != "ok":
        return Text(str(status), style=f"status.{status}") if status else Text("")
    speed = row.get("speed")
    if speed is None or (row.get("method") == row.get("baseline") and speed != IMPOSSIBLE):
        return Text("")
    return Text(speed, style=f"speed.{speed}")


def time_or_status(row: Record) -> Text:
    return time_cell(row) if row.get("time_s") is not None else speed_cell(row)


def accuracy_cell(row: Record) -> Text:
    verdict = row.get("accuracy")
    return Text(verdict, style=f"accuracy.{verdict}") if verdict else Text("")


def error_cell(row: Record) -> Text:
    """The largest error as a share of its bound."""
    ratio = row.get("bound_ratio")
    if ratio is None:
        return Text("")
    return Text("<0.01" if 0 < ratio < 0.01 else f"{ratio:.2f}" if ratio < 10 else units.significant(ratio, 2))


def relative_cell(row: Record) -> Text:
    error = row.get("rel_l2_err")
    return Text(units.significant(error, 2) if error is not None else "")


def outcome_cell(row: Record) -> Text:
    """Accuracy, or the status of a row that has none."""
    return accuracy_cell(row) if row.get("status") == "ok" else speed_cell(row)


def verdict_cell(row: Record) -> Text:
    """The verdict on speed, and that on accuracy where it is another one than ok."""
    words = [speed_cell(row), Text("") if row.get("accuracy") == "ok" else accuracy_cell(row)]
    return Text(" · ").join([word for word in words if word.plain])


def verdicts(row: Record, shared: str | None) -> Text:
    """`faster · exact`: the words that apply, without the accuracy that all rows share, if they do."""
    words = [speed_cell(row)]
    if shared is None:
        words.append(accuracy_cell(row))
    return Text(" · ").join([w for w in words if w.plain])


def with_others(text: Text, row: Record) -> Text:
    """`text` and the speedups by the other ways of timing: of the bare calls, and of their wall time."""
    cells = (("call", call_cell(row)), ("wall", wall_cell(row)))
    said = [Text(f"{word} ", style="quiet") + cell for word, cell in cells if cell.plain]
    return Text(" · ").join([text, *said])
