"""A Python environment that never was: answers a duet's requests with made-up times, without torch and without waiting.

Run as `python tests/stub_side.py BEHAVIOUR -c BOOT HOME` and child_main's arguments. BEHAVIOUR is JSON: `factor` by
which every time is longer, `methods` with a factor of their own, `layout` (spread of the times between processes), and
`does`: method → what it does instead of working (die, throw, close, hang, raise, wrong);
`kernels`: what it says it ran; `built_for`: what its torch says it was built for.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))
from convbench.execution.stage import IDLE, Stage

behaviour = json.loads(sys.argv[1])
rng = random.Random(os.getpid())
layout = 1 + rng.gauss(0, behaviour.get("layout", 0.0))
state: dict[str, Any] = {}


def misbehave(method: str, when: str) -> None:
    what = behaviour.get("does", {}).get(method)
    if what == f"die {when}":
        print("error: last words", flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if what == f"throw {when}":
        print("terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc", flush=True)
        os.kill(os.getpid(), signal.SIGABRT)
    if what == f"close {when}":
        os.closerange(3, 100)
        time.sleep(60)
    if what == f"hang {when}":
        time.sleep(60)
    if what == f"raise {when}":
        raise RuntimeError("no such kernel")


def run(spec: dict[str, Any], methods: list[str], **_: Any) -> dict[str, Any]:
    rows = []
    stage.methods(methods)
    for method in methods:
        stage(method, "accuracy")
        misbehave(method, "judge")
        row = {"op": spec["case"]["op"], "config_id": "0" * 16, "run_key": "0" * 16, "method": method, "status": "ok"}
        wrong = behaviour.get("does", {}).get(method) == "wrong"
        row |= {"accuracy": "fail", "reason": "all zero"} if wrong else {"accuracy": "ok", "result_hash": "abc"}
        row |= {"environment_id": behaviour.get("id", "e1")}
        rows.append(row)
    name = behaviour.get("id", "e1")
    return {"records": rows, "environments": {name: {"environment_id": name}}}


def prepare(method: str) -> dict[str, Any]:
    misbehave(method, "prepare")
    state["method"] = method
    return {"prepare_s": 0.0}


def sample(calls: int, parts: int, warm: bool) -> dict[str, Any]:
    misbehave(state["method"], "sample")
    factor = behaviour.get("factor", 1.0) * behaviour.get("methods", {}).get(state["method"], 1.0)
    seconds = 1e-3 * factor * layout * (1 + abs(rng.gauss(0, 0.01)))
    return {"reading": {"seconds": seconds, "spent_s": calls * seconds, "late": False}, "wrong": None}


ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {
    "hello": lambda: {"torch": "9.9", "python": "3.99", "built_for": behaviour.get("built_for", "CPU")},
    "run": run,
    "configure": lambda spec, cores: {},
    "prepare": prepare,
    "ready": lambda cuda_graph: {"sample_s": 0.01, "warmup_s": 0.0, "max_calls": 1000},
    "sample": sample,
    "kernels": lambda: {"kernels": behaviour.get("kernels")},
}

stage = Stage(int(sys.argv[-4]))
with os.fdopen(int(sys.argv[-6])) as requests, os.fdopen(int(sys.argv[-5]), "w") as replies:
    print(json.dumps({"id": 0, "ready": os.getpid()}), file=replies, flush=True)
    for line in requests:
        request = json.loads(line)
        number = request.pop("id")
        try:
            answer = ANSWERS[request.pop("do")](**request)
        except RuntimeError as error:
            answer = {"failed": {"status": "error", "reason": f"RuntimeError: {error}"}}
        stage("", IDLE)
        print(json.dumps({"id": number, **answer}), file=replies, flush=True)
