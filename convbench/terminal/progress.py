"""What a person sees while a sweep runs: a bar on a terminal, plain lines elsewhere; all of it on standard error."""

from __future__ import annotations

import atexit
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..facts import units
from ..facts.record import FAILED, Record, is_wrong
from ..facts.spec import Spec
from ..facts.wrt import kind_of
from ..results.naming import configuration_name
from . import screen
from .views import Nothing, Tally, View

REDRAW_S = 0.2
"""Shortest time between two drawings of the bar; one drawing costs milliseconds, one configuration may cost less."""
LOOK_S = 1.0
"""Time between two looks at what the child is doing: a read of shared memory, which disturbs nothing."""
TIMING = "timing"
"""What a stage is called in which nothing may be drawn."""
LINE_S = 5.0
"""Shortest time between two plain lines about progress."""
FIRST_PASS = "measured once; the table is written, and further processes tell how far its ratios hold in the next one"
FAILURE_LINES = 20
"""Failures that get a line of their own in plain output; the others are counted."""


def name_of(spec: Spec | Record) -> str:
    """The name of a configuration or of a row."""
    return configuration_name(spec if isinstance(spec, dict) else spec.columns())


class Bar:
    """A transient bar, and under it what is being done, the last result and the slowest configuration.

    A thread draws, at most every REDRAW_S seconds and only when something has changed: the sweep never
    waits for the terminal, and nothing is drawn while a long configuration is being timed. `doing` says what the child
    is at; it is asked every LOOK_S seconds, so that a minute of compiling does not look like a hang.
    """

    def __init__(self, console: Console, clock: Callable[[], float], doing: Callable[[], str]) -> None:
        self._console = console
        self._clock = clock
        self._tally = Tally()
        self._doing, self._seen = doing, ""
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._changed = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._draw_when_changed, name="progress", daemon=True)
        self._live.start()
        self._thread.start()
        atexit.register(self._stop)

    def changed(self, tally: Tally) -> None:
        self._tally = tally
        if not self._changed.is_set():
            self._changed.set()

    def note(self, tally: Tally, spec: Spec | Record, records: Sequence[Record]) -> None:
        self.changed(tally)

    def say(self, text: str) -> None:
        self._console.print(Text(text))

    def close(self, tally: Tally) -> None:
        self._stop()
        atexit.unregister(self._stop)

    def _stop(self) -> None:
        self._closed.set()
        self._changed.set()
        self._thread.join()
        self._live.stop()

    def _draw_when_changed(self) -> None:
        while True:
            self._wait()
            if self._closed.is_set():
                return
            self._changed.clear()
            doing = self._seen = self._doing()
            self._live.update(frame(self._tally, self._clock(), self._console.width, doing), refresh=True)
            self._closed.wait(REDRAW_S)

    def _wait(self) -> None:
        """Until something has changed: what was told, or what is being done other than timing."""
        while not self._changed.wait(LOOK_S):
            doing = self._doing()
            if doing != self._seen and TIMING not in doing:
                self._changed.set()


def told(rows: Sequence[Record]) -> str:
    """What became of a configuration's methods: `explicit 1.35×, unfold 0.54×, aten timeout`."""
    out = []
    for row in rows:
        if row.get("status") != "ok":
            out.append(f"{row.get('method')} {row.get('status')}")
        elif is_wrong(row):
            out.append(f"{row.get('method')} {'wrong' if row.get('accuracy') == 'fail' else 'impossible'}")
        elif row.get("method") != row.get("baseline"):
            out.append(
                f"{row.get('method')} {units.times(row['speedup']) if 'speedup' in row else row.get('accuracy')}"
            )
    return ", ".join(out)


def frame(tally: Tally, now: float, width: int, doing: str = "") -> Group:
    """The bar and its lines for a terminal of `width` columns; without the bar where it would be too short.

    `doing`: the method at work and what it does.
    """
    done = tally.earlier + tally.done
    left = tally.time_left_s(now)
    text = Text(f"{units.count(done)}/{units.count(tally.total)}")
    if tally.passing:
        text.append(f" · {tally.passing}")
    if tally.failures:
        text.append(" · ").append(tally.failures, style="severity.bad")
    if left is not None:
        text.append(f" · {units.duration(left)} left")
    lines: list[Any] = [text]
    room = width - text.cell_len - 2
    if room >= 8:
        row = Table.grid(padding=(0, 1))
        row.add_row(ProgressBar(total=max(1, tally.total), completed=done, width=min(40, room)), text)
        lines = [row]
    if tally.current is not None:
        said = "  ".join(filter(None, (doing, name_of(tally.current))))
        lines.append(Text(f"now      {said}", no_wrap=True, overflow="ellipsis"))
    if tally.last and (result := told(tally.last)):
        said = f"last     {result}  {name_of(tally.last[-1])}"
        lines.append(Text(said, style="quiet", no_wrap=True, overflow="ellipsis"))
    if tally.slowest is not None and tally.total > 1:
        slowest = f"slowest  {units.duration(tally.slowest_s)}  {name_of(tally.slowest)}"
        lines.append(Text(slowest, style="quiet", no_wrap=True, overflow="ellipsis"))
    return Group(*lines)


class Lines:
    """Plain lines: the first configuration, then one every LINE_S seconds, failures at once, and the end."""

    def __init__(self, console: Console, clock: Callable[[], float], doing: Callable[[], str]) -> None:
        self._console = console
        self._clock = clock
        self._began = clock()
        self._last: float | None = None
        self._failures = 0
        self._announced = False

    def changed(self, tally: Tally) -> None:
        if not self._announced and tally.total:
            self._announced = True
            earlier = f", {units.count(tally.earlier)} of them measured already" if tally.earlier else ""
            self.say(f"measuring {units.count(tally.total, 'configuration')}{earlier}")

    def note(self, tally: Tally, spec: Spec | Record, records: Sequence[Record]) -> None:
        for row in tally.failing:
            self._failure(tally, spec, row)
        now = self._clock()
        if tally.complete or (self._last is not None and now - self._last < LINE_S):
            return
        self._last = now
        left = tally.time_left_s(now)
        parts = [tally.passing, name_of(spec), tally.failures, f"{units.duration(left)} left" if left else ""]
        self.say(f"{self._place(tally)} {' · '.join(filter(None, parts))}")

    def _failure(self, tally: Tally, spec: Spec | Record, row: Record) -> None:
        status = row.get("status")
        self._failures += 1
        if self._failures > FAILURE_LINES:
            return
        wrong = f"wrong {kind_of(row.get('wrt'))}" if row.get("accuracy") == "fail" else "impossible time"
        what = f"{row.get('method')}: {status if status in FAILED else wrong}"
        reason = f" ({row['reason']})" if row.get("reason") else ""
        self.say(f"{self._place(tally)} {what}{reason} · {name_of(spec)}")
        if self._failures == FAILURE_LINES:
            self.say("more failures are counted, not listed; their reasons are in the table")

    def _place(self, tally: Tally) -> str:
        total = units.count(tally.total)
        return f"[{units.count(tally.earlier + tally.done):>{len(total)}}/{total}]"

    def say(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def close(self, tally: Tally) -> None:
        parts = [f"{units.count(tally.done, 'configuration')} in {units.duration(self._clock() - self._began)}"]
        if tally.failures:
            parts.append(tally.failures)
        if tally.slowest is not None and tally.total > 1:
            parts.append(f"slowest: {units.duration(tally.slowest_s)}, {name_of(tally.slowest)}")
        self.say(f"{self._place(tally)} {' · '.join(parts)}")


class Progress:
    """Watches a sweep and shows how it goes; one `begin` … `end` for each part of a sweep is fine.

    `total` is the number of configurations of the whole sweep where the caller knows it; without it
    the totals of the parts add up. Also a context manager: leaving it closes the view.
    """

    def __init__(
        self,
        total: int | None = None,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = Tally(total=total or 0)
        self._whole = total is not None
        self._first_pass_said = False
        self._console = screen.console(sys.stderr) if console is None else console
        self._clock = clock
        self._view: View | None = None
        self._started = clock()
        self._doing: Callable[[], str] = str

    def begin(self, total: int, already_done: int) -> None:
        tally = self.tally
        tally.earlier += already_done
        if not self._whole:
            tally.total += total
        self._show(lambda view: view.changed(tally))

    def passing(self, number: int, passes: int, due: int) -> None:
        """The pass `number` of `passes` begins, in which `due` configurations are measured; each pass counts anew."""
        tally = self.tally
        if passes > 1:
            tally.passing, tally.later = f"process {number + 1} of {passes}", (passes - number - 1) * due
        if number:
            tally.earlier, tally.done, tally.total = 0, 0, due
            if not self._first_pass_said:
                self._first_pass_said = True
                self.say(FIRST_PASS)
        self._show(lambda view: view.changed(tally))

    def watch(self, doing: Callable[[], str]) -> None:
        """`doing` says what is being done, from now on."""
        self._doing = doing

    def start(self, spec: Spec) -> None:
        self.tally.current = spec
        self._started = self._clock()
        self._show(lambda view: view.changed(self.tally))

    def finish(self, spec: Spec, records: Sequence[Record]) -> None:
        # Before the first configuration a child starts and imports torch, which its own account leaves out.
        own = max((row.get("elapsed_s", 0.0) for row in records), default=0.0)
        passed = self._clock() - self._started
        self.finished(spec, records, min(own, passed) if own else passed)

    def finished(self, spec: Spec | Record, records: Sequence[Record], elapsed_s: float, number: int = 1) -> None:
        """`number` configurations are done, here or elsewhere, the last (or most telling) of which is `spec`."""
        tally = self.tally
        tally.note(spec, records, elapsed_s, number, self._clock())
        self._show(lambda view: view.note(tally, spec, records))

    def end(self, outcome: object) -> None:
        """Closes the view unless more parts of the sweep are to come; an interrupted sweep has none."""
        if self.tally.complete or getattr(outcome, "signal", None) is not None:
            self.close()

    def say(self, text: str) -> None:
        """One line for the person, above the bar."""
        if self._view is None:
            self._console.print(Text(text), soft_wrap=True)
        else:
            self._show(lambda view: view.say(text))

    def warn(self, problem: str, remedy: str) -> None:
        """A warning with what to do about it."""
        self.say(f"warning: {problem}; {remedy}")

    def close(self) -> None:
        if self._view is not None:
            self._show(lambda view: view.close(self.tally))
            self._view = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _show(self, act: Callable[[View], None]) -> None:
        """Does something to the view; a terminal that goes away, or anything else, ends the showing and no sweep."""
        try:
            act(self._open())
        except (Exception, SystemExit):
            self._view = Nothing()

    def _open(self) -> View:
        if self._view is None:
            drawable = self._console.file.isatty() and not self._console.is_dumb_terminal
            self._view = (Bar if drawable else Lines)(self._console, self._clock, lambda: self._doing())
        return self._view
