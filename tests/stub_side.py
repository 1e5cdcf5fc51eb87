"""A Python environment that never was: answers a duet's requests with made-up times, without torch and without waiting.

Run as `python tests/stub_side.py BEHAVIOUR -c BOOT HOME FD FD`. BEHAVIOUR is JSON: `factor` by which every time is
longer, `methods` with a factor of their own, `layout` (spread of the times between processes), and `does`: method →
what it does instead of working (die, throw, close, hang, raise, wrong).
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

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


def judge(spec: dict[str, Any], methods: list[str]) -> dict[str, Any]:
    rows = []
    for method in methods:
        misbehave(method, "judge")
        row = {"op": spec["case"]["op"], "config_id": "0" * 16, "run_key": "0" * 16, "method": method, "status": "ok"}
        wrong = behaviour.get("does", {}).get(method) == "wrong"
        row |= {"accuracy": "fail", "reason": "all zero"} if wrong else {"accuracy": "ok", "result_hash": "abc"}
        row |= {"environment_id": behaviour.get("id", "e1")}
        rows.append(row)
    return {"records": rows, "environment": {"environment_id": behaviour.get("id", "e1")}}


def prepare(method: str) -> dict[str, Any]:
    misbehave(method, "prepare")
    state["method"] = method
    return {"sample_s": 0.01, "warmup_s": 0.0, "max_calls": 1000}


def sample(calls: int) -> dict[str, Any]:
    misbehave(state["method"], "sample")
    factor = behaviour.get("factor", 1.0) * behaviour.get("methods", {}).get(state["method"], 1.0)
    seconds = 1e-3 * factor * layout * (1 + abs(rng.gauss(0, 0.01)))
    return {"seconds": seconds, "spent_s": calls * seconds, "late": False}


ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {
    "hello": lambda: {"torch": "9.9", "python": "3.99", "prefix": "/"},
    "judge": judge,
    "configure": lambda spec, cores: {},
    "prepare": prepare,
    "sample": sample,
}

with os.fdopen(int(sys.argv[-2])) as requests, os.fdopen(int(sys.argv[-1]), "w") as replies:
    for line in requests:
        request = json.loads(line)
        try:
            answer = ANSWERS[request.pop("do")](**request)
        except RuntimeError as error:
            answer = {"raised": {"status": "error", "reason": f"RuntimeError: {error}"}}
        replies.write(json.dumps(answer) + "\n")
        replies.flush()
