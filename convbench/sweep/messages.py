"""Hydra's and OmegaConf's errors as one sentence each: the key, what was given, what is allowed, what to do."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import errors as omegaconf_errors

from ..facts.dtypes import mode
from ..facts.values import InvalidValue, did_you_mean
from .config import no_setting

_KINDS = {"Integer": "a whole number", "Float": "a number", "bool": "true or false"}


_MEANT = {
    **dict.fromkeys(("fp32", "f32", "float", "single"), "float32"),
    **dict.fromkeys(("fp64", "f64", "double"), "float64"),
    **dict.fromkeys(("fp16", "f16", "half"), "float16"),
    **dict.fromkeys(("bf16",), "bfloat16"),
    **dict.fromkeys(("nhwc", "ndhwc", "nwc"), "channels_last"),
    **dict.fromkeys(("nchw", "ncdhw", "ncw"), "contiguous"),
    **dict.fromkeys(("x", "data", "inputs"), "input"),
    **dict.fromkeys(("w", "weights", "filter"), "weight"),
}
"""Other names of closed words, as people know them from elsewhere."""
_EXTRAS = {
    "hydra/launcher/joblib": "joblib",
    "hydra/launcher/submitit_local": "slurm",
    "hydra/launcher/submitit_slurm": "slurm",
    "hydra/launcher/ray": "ray",
    "hydra/sweeper/optuna": "optuna",
}
"""Files that come with an extra of the package."""


@contextmanager
def explained() -> Iterator[None]:
    """Whatever is raised inside becomes an InvalidValue with one sentence; HYDRA_FULL_ERROR=1 prints its traceback."""
    try:
        yield
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            traceback.print_exc()
        # The sentence says all of it; a person who calls from Python is spared the traces of what was underneath.
        raise InvalidValue("command line", sentence(error)) from None


def sentence(error: BaseException) -> str:
    """One line for the person, whatever was raised while the command line and the files were read."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, InvalidValue):
            return one_line(str(cause))
    for cause in causes:
        text = _explain(cause)
        if text:
            return one_line(text)
    return one_line(str(error)) or type(error).__name__


def one_line(text: str) -> str:
    return " ".join(text.split())


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The innermost cause first: it knows most about what was written, unless it was replaced by `from None`."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ if error.__suppress_context__ else error.__context__
    return reversed(chain)


def _explain(error: BaseException) -> str | None:
    if isinstance(error, OverrideParseException):
        return _grammar(error)
    if isinstance(error, MissingConfigException):
        return _missing_file(error)
    if isinstance(error, ConfigCompositionException):
        return _composition(str(error))
    if "Config group override must be a string" in str(error):
        return f"a group of files takes the name of one of them, as in measure=quick: {error}"
    key = str(getattr(error, "full_key", None) or "")
    if not key:
        return None
    if isinstance(error, (omegaconf_errors.ConfigKeyError, omegaconf_errors.ConfigAttributeError)):
        return str(no_setting(key))
    if isinstance(error, omegaconf_errors.ValidationError):
        return _wrong_type(key, _first_line(error))
    if isinstance(error, omegaconf_errors.OmegaConfBaseException):
        return f"{key} has no usable value: {_first_line(error)}"
    return None


def _first_line(error: BaseException) -> str:
    text = str(error).strip().split("\n", 1)[0]
    return re.sub(r"^While dereferencing interpolation '.*?': ", "", text)


def _grammar(error: OverrideParseException) -> str:
    word = error.override
    if "=" not in word and not word.startswith("~"):
        return f"{word!r} is not a setting; settings are written key=value, for instance kernel=3"
    return (
        f"{word!r} cannot be read ({_first_line(error)}); write key=value, a list as key=[3,5], "
        "and quote other text twice: 'key=\"…\"'"
    )


def _missing_file(error: MissingConfigException) -> str:
    wanted = error.missing_cfg_file or "?"
    group, _, name = wanted.rpartition("/")
    options = list(error.options or ())
    if not group:
        return f"no configuration file named {wanted!r}; give its name with --config-name, its folder with --config-dir"
    if wanted in _EXTRAS:
        return f"{group}={name} is not installed: in a clone, pip install '.[{_EXTRAS[wanted]}]'"
    if not options:
        return f"no {group} named {name!r}, and no file for any; give a folder that has {wanted}.yaml with --config-dir"
    known = [*options, *(file.rpartition("/")[2] for file in _EXTRAS if file.startswith(f"{group}/"))]
    meant = next((f"; did you mean {option}?" for option in sorted(known) if name in option.split("_")), None)
    return f"no {group} named {name!r}{meant or did_you_mean(name, known)} (there are: {', '.join(options)})"


def _wrong_type(key: str, text: str) -> str:
    word = re.match(r"Invalid value '(.*)', expected one of \[(.*)\]", text)
    if word is not None:
        allowed = word[2].split(", ")
        if key == "dtype" and (instead := mode(word[1])) is not None:
            return f"dtype={word[1]!r} is not one of {', '.join(allowed)}: {instead}"
        meant = f"; did you mean {_MEANT[word[1].lower()]}?" if _MEANT.get(word[1].lower()) in allowed else ""
        hint = meant or did_you_mean(word[1].lower(), allowed)
        return f"{key}={word[1]!r} is not known; allowed: {', '.join(allowed)}{hint}"
    match = re.match(r"Value '(.*)' of type '\w+' could not be converted to (\w+)", text)
    match = match or re.match(r"Value '(.*)' is not a valid (\w+)", text)
    if match is not None:
        several = f"; several values to sweep over are written -m {key}={match[1]}, or under axes in a saved sweep"
        return (
            f"{key}={match[1]!r} is not allowed; give {_KINDS.get(match[2], match[2])}"
            f"{several if re.fullmatch('[^[]+,.*', match[1]) else ''}"
        )
    if "is not Optional" in text:
        return f"{key}=null is not allowed; {key} needs a value"
    return f"{key} has a value of the wrong type: {text}"


_PATTERNS = (
    (r"In '(.*?)': \w+ raised while composing config", "the file {0}.yaml holds a value of the wrong type"),
    (
        r"Ambiguous value for argument '(.*?)'\n",
        "{0} holds several values; add -m to sweep over them, or write one list as key=[a,b]",
    ),
    (r"Sweep parameters (.*?) requires --multirun", "{0} holds several values; add -m to sweep over them"),
    (r"An item is already at '(.*?)'", "+{0}=…: {0} exists already; write it without the plus sign"),
)


def _composition(text: str) -> str | None:
    for pattern, answer in _PATTERNS:
        match = re.search(pattern, text, re.DOTALL)
        if match:
            return answer.format(match[1])
    match = re.search(
        r"Could not override '(.+?)'|delete from config\. '(.+?)' does not|config group '(.+?)' does not exist", text
    )
    return str(no_setting(next(filter(None, match.groups())))) if match else None
