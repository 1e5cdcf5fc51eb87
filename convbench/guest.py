"""One of the user's own methods, in a process of its own, as the judge sees it: bytes, and how long they took.

What the method is given, and when, is decided here and known nowhere else. It is prepared on operands that it is never
asked about; the operands of a call are drawn shortly before it. Nothing that it says of itself is believed where it
cannot be seen from here as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import torch

from .devices import device_of
from .facts.spec import Spec
from .facts.timed_as import CALL
from .failures.wrong import Wrong
from .hosts import Host
from .measurement import meddling
from .measurement.accuracy import judge
from .measurement.accuracy_columns import accuracy_columns, same, worse
from .measurement.joint import Result, Truth
from .measurement.operands import changed_in_place
from .measurement.problem import Problem
from .operand_sets import Seeds, Sets
from .timing.clocks import HostTimes, Lost, Reading
from .timing.outside import AGAIN, Doubt, Taken, contradiction, doubt
from .timing.turns import Answer, Elsewhere

RESULT, EARLIER = 0, 1
"""Slots of the results' memory, as execution/method_server.py fills them."""

IDLE_CPU_S = 0.02
"""CPU seconds that a method's processes may take between its turns, in which they are halted: what goes on all the
same has left its family, and takes as much as its rivals do."""


class Asked(NamedTuple):
    """The operands of a call, and those of the call before it."""

    seeds: Seeds
    before: Seeds | None = None


class Guest(Elsewhere):
    """One own method on one configuration; it is an arm's call, too. Everything may raise Lost.

    `wrong`: the wrong result that its row tells of, where it is one.
    """

    def __init__(self, host: Host, method: str, spec: Spec, sets: Sets) -> None:
        self._host, self._method, self._spec, self._sets = host, method, spec, sets
        self._fresh = host.start()
        self._device = device_of(spec.device)
        self._shapes = [spec.case.shape_of(wrt) for wrt in spec.wrts]
        self._dtype: torch.dtype = getattr(torch, spec.dtype)
        self._bytes = sum(map(math.prod, self._shapes)) * self._dtype.itemsize
        self._asked = Asked(Seeds(sets.prepared))
        self._declared: str | None = None
        self._has_forward = self._has_autograd = False
        self._samples = self._changes = 0
        self._taken: list[Taken] = []
        self._kept: tuple[Asked, bytearray] | None = None
        self.wrong: Wrong | None = None
        self._empty_s = self._took_s = 0.0
        self._noted: list[str] = []

    def prepare(self, seed: int | None = None) -> dict[str, Any]:
        """Prepares the method on operands that it will not be asked about; `prepare_s`."""
        return self._prepared_for(self._spec, self._sets.prepared if seed is None else seed)

    def _prepared_for(self, spec: Spec, seed: int) -> dict[str, Any]:
        self._host.configure(spec, seed, self._bytes)
        said = dict(self._ask("prepare", "prepare", method=self._method).said)
        self._declared, self._has_forward = said.pop("accuracy", None), said.pop("forward", False)
        self._has_autograd = said.pop("autograd", False)
        for stage in ("import", "preparation"):
            self._heed(said.pop(stage, {}), stage)
        return said

    @property
    def note(self) -> str | None:
        """What the method changed in its process, and what was put back before it could matter; None for nothing."""
        return "; ".join(dict.fromkeys(self._noted)) or None

    def _heed(self, changes: Mapping[str, Sequence[str]], stage: str) -> None:
        """Takes note of what the method changed in its process; raises Lost where a verdict may rest on it."""
        if (reason := meddling.grave(changes, stage)) is not None:
            raise Lost(accuracy="fail", reason=reason)
        if (note := meddling.noted(changes, stage)) is not None:
            self._noted.append(note)

    def judge(self, made: Problem, truth: Truth) -> tuple[Result, dict[str, Any]]:
        """The result for the configuration's own operands, and `prepare_s` and accuracy columns of the method's row."""
        try:
            return self._judge(made, truth, self.prepare())
        except Lost as lost:
            if not self.again(lost):
                raise
            return self._judge(made, truth, self.prepare())

    def again(self, error: BaseException) -> bool:
        """Whether it is to be tried once more: its process crashed, and may have been damaged by an earlier
        configuration. The next one is a fresh one."""
        worn, self._fresh = not self._fresh, True
        if not (worn and isinstance(error, Lost) and error.row.get("status") == "crash"):
            return False
        self._noted.append(f"its process had run other configurations before and died: {error.row['reason']}")
        return True

    def _judge(self, made: Problem, truth: Truth, prepared: dict[str, Any]) -> tuple[Result, dict[str, Any]]:
        got = self._call(self._spec.seed)
        prepared = prepared | {"first_call_s": self._took_s}
        row = prepared | accuracy_columns(got, made, truth, self._declared)
        if row["accuracy"] == "fail":
            self.wrong = Wrong(got, made, truth, self._sets.problem(Seeds(self._sets.prepared)))
            return got, row | {"reason": self.wrong.added_to(self._explained(row["reason"], made, truth))}
        reason = self._contradicted(got, made)
        if reason is not None:
            return got, prepared | {"accuracy": "fail", "reason": reason}
        if self._spec.check_repeatable:
            row["repeatable"] = same(got, self._call(self._spec.seed))
        return got, self._on_further_data(row)

    def _on_further_data(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with the verdict of the worst kind of data, where the configuration names several."""
        first, *others = self._spec.fills
        for fill in others:
            made, truth = self._sets.of(fill)
            self._prepared_for(made.spec, self._sets.prepared)
            got = self._call(self._spec.seed)
            found = accuracy_columns(got, made, truth, self._declared)
            changed = worse(row, first, found, fill)
            if changed.get("accuracy") == "fail":
                self.wrong = Wrong(got, made, truth)
                changed["reason"] = self.wrong.added_to(changed["reason"])
            row = {**row, **changed}
        if others:
            self.prepare()
        return row

    def _contradicted(self, got: Result, made: Problem) -> str | None:
        """Why the method is wrong although its first result is right, or None."""
        other = self._call(self._sets.second)
        if not same(self._received(EARLIER), got):
            return "a result that was returned before holds other values after the next call; return a new tensor"
        asked, truth = self._sets.truth(Seeds(self._sets.second))
        judged = judge(other, asked, truth)
        if judged.verdict != "fail":
            return None
        self.wrong = Wrong(other, asked, truth, made, called=True)
        said = f"right for one set of operands and wrong for the next (seed={self._sets.second}): {judged.reason}"
        return self.wrong.added_to(said)

    def _explained(self, reason: str, made: Problem, truth: Truth) -> str:
        """The reason, and whether the method would be right if it could keep values that it was prepared on."""
        with suppress(Lost):
            self.prepare(self._spec.seed)
            if judge(self._call(self._spec.seed), made, truth).verdict != "fail":
                return (
                    "right only for the values that it was prepared on, which are not a call's (where it is the "
                    f"weight's alone, say fixed_weight=true): {reason}"
                )
        return reason

    @property
    def declared(self) -> str | None:
        """The class of bounds that it says its results belong to."""
        return self._declared

    @property
    def output(self) -> str:
        """The last that its process printed for this configuration."""
        return self._host.output

    def settle(self) -> None:
        """Waits until its process has started and rests."""
        self._host.settle()

    def end(self) -> None:
        """Ends its process and all that it started; the next configuration gets a fresh one."""
        self._host.close()

    def timed_as(self, timed_as: str) -> Elsewhere:
        """What samples it in another way than by its calls; the way that was made ready last is the one that counts."""
        return self if self._has_autograd and self._device.is_host else OtherWay(self, timed_as)

    def ready(self, cuda_graph: bool, timed_as: str = CALL) -> Mapping[str, Any]:
        self._taken, self._kept = [], None  # a measurement may start again, without an arm that failed
        offered = self._ask("ready", "timing", cuda_graph=cuda_graph, timed_as=timed_as).said
        if offered["cuda_graph_error"]:
            raise Lost(status="error", reason=f"cannot be captured as a CUDA graph: {offered['cuda_graph_error']}")
        self._empty_s = min(_outer(self._ask("sample", "timing", calls=0)) for _ in range(3))
        return offered

    def sample(self, calls: int) -> Reading:
        number, self._samples = self._samples, self._samples + 1
        if not self._sets.due(number):
            return self._sample(calls)
        reading = self._on_new_values(warm=calls > 1)
        return self._sample(calls) if calls > 1 else reading

    def _on_new_values(self, warm: bool) -> Reading:
        """A single call on operands that it has not seen."""
        change, self._changes = self._changes, self._changes + 1
        seeds = self._sets.drawn(change, self._has_forward)
        self._ask("draw", "timing", seed=seeds.operands)
        if self._has_forward:
            # In a request of its own, which is not timed; grad_output, which it must not know, comes after it.
            self._ask("forward", "timing")
            self._ask("draw", "timing", seed=seeds.operands, grad_output=seeds.grad_output)
        self._asked = Asked(seeds, self._asked.seeds)
        reading = self._sample(1, anew=True, warm=warm)
        if self._sets.kept(change):
            self._kept = self._asked, self._host.read(RESULT, self._bytes)
        return reading

    def _sample(self, calls: int, anew: bool = False, warm: bool = False) -> Reading:
        answer = self._ask("sample", "timing", calls=calls, parts=self.parts, anew=anew, warm=warm)
        if answer.said["wrong"]:
            raise Lost(accuracy="fail", reason=f"when it was timed: {answer.said['wrong']}")
        # The CPU time of a call is its own word, which can do no more than widen its interval (disturbance.py).
        reading = Reading(**answer.said["reading"])._replace(cpu_s=None)
        if self._device.is_host and answer.cpu_s is not None:  # not what the process says of itself
            reading = reading._replace(cpu_s=answer.cpu_s / answer.wall_s * reading.spent_s)
        self._taken.append(Taken(calls, reading, _outer(answer), anew, warm, answer.said["disturbed"]))
        return reading

    def host_times(self, calls: int) -> HostTimes | None:
        times = self._ask("host_times", "timing", calls=calls).said["times"]
        return None if times is None else HostTimes(**times)

    def verdict(self) -> Doubt | None:
        """Why what was timed is not what was judged, or None: results of timed calls, the last one among them, and
        whether the times can be true. Raises Lost."""
        last = (self._asked, self._host.read(RESULT, self._bytes)) if self._taken else None
        for asked, result in filter(None, (last, self._kept)):
            self._judge_timed(asked, result)
        self._heed(self._ask("changes", "timing").said, "calls")
        if not self._device.is_host:
            return None
        if self._host.idle_cpu_s > IDLE_CPU_S:
            said = (
                f"its processes computed for {self._host.idle_cpu_s:.2g} s while it was not their turn, beside the "
                "methods that they are compared with"
            )
            raise Lost(accuracy="fail", reason=said)
        if contradiction(self._taken, self._empty_s, self._bytes) is None:
            return None
        first, again = self._taken, self._look_again()
        return doubt(first, again, self._empty_s, self._bytes)

    def _look_again(self) -> list[Taken]:
        """Samples as before, but every one of them on new values and every result judged."""
        calls, self._taken = self._taken[-1].calls, []
        for _ in range(AGAIN):
            self._on_new_values(warm=calls > 1)
            self._judge_timed(self._asked, self._host.read(RESULT, self._bytes))
            self._sample(calls)
        self._heed(self._ask("changes", "timing").said, "calls")
        return self._taken

    def _judge_timed(self, asked: Asked, result: bytearray) -> None:
        """Raises Lost where that is not the gradient."""
        seeds, before = asked
        got, (made, truth) = self._tensors(result), self._sets.truth(seeds)
        judged = judge(got, made, truth)
        if judged.verdict == "fail":
            earlier = None if before is None else self._sets.problem(before)
            self.wrong = Wrong(got, made, truth, earlier, called=True)
            said = f"what a timed call returned is wrong for its operands ({seeds}): {judged.reason}"
            raise Lost(accuracy="fail", reason=self.wrong.added_to(said))

    def memory(self) -> dict[str, int | None]:
        """The memory columns."""
        return self._ask("memory", "memory").said

    def profile(self) -> None:
        """One call that is marked for a profiler outside."""
        self._ask("profile", "profile")

    def kernels(self) -> dict[str, Any]:
        """What a call runs, as its process tells."""
        return self._ask("kernels", "kernels").said

    def _call(self, seed: int) -> Result:
        self._asked = Asked(Seeds(seed), self._asked.seeds)
        said = self._ask("call", "accuracy", seed=seed).said
        self._took_s = said["seconds"]
        if said["changed"]:
            raise Lost(accuracy="fail", reason=changed_in_place(said["changed"]))
        if said["wrong"]:
            raise Lost(accuracy="fail", reason=said["wrong"])
        self._heed(said["calls"], "calls")
        return self._received(RESULT)

    def _received(self, slot: int) -> Result:
        return self._tensors(self._host.read(slot, self._bytes))

    def _tensors(self, result: bytearray) -> Result:
        """The gradient that these bytes are, or several, which lie one after the other."""
        flat = torch.frombuffer(result, dtype=self._dtype) if result else torch.empty(0, dtype=self._dtype)
        each = flat.to(self._device.placed).split([math.prod(shape) for shape in self._shapes])
        found = tuple(one.view(shape) for one, shape in zip(each, self._shapes, strict=True))
        return found if self._spec.joint else found[0]

    def _ask(self, do: str, phase: str, **words: Any) -> Answer:
        return self._host.ask(do, phase, self._spec.timeout_s, **words)


class OtherWay(Elsewhere):
    """A guest that is sampled in another way than by its calls."""

    def __init__(self, guest: Guest, timed_as: str) -> None:
        self._guest, self._timed_as = guest, timed_as

    def ready(self, cuda_graph: bool) -> Mapping[str, Any]:
        return self._guest.ready(cuda_graph, self._timed_as)

    def sample(self, calls: int) -> Reading:
        return self._guest.sample(calls)

    def host_times(self, calls: int) -> HostTimes | None:
        return self._guest.host_times(calls)


def _outer(answer: Answer) -> float:
    """Seconds that a request took, seen from outside: on the wall, without what other processes had of the core."""
    wall_s = max(0.0, answer.wall_s - answer.waited_s)
    return wall_s if answer.cpu_s is None else min(wall_s, answer.cpu_s)
