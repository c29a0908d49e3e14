"""Checks and normalises the answers before a single file exists.

Cookiecutter loads this as a Jinja extension (`_extensions` in cookiecutter.json), because that is
the only place where an answer can be refused kindly: a failing hook prints a traceback, and any
other error leaves half a project behind. The check runs at three moments:

1. before each question, so that nobody answers seven more after one that cannot be used;
2. as the last private question, `__checked`, so that no refused answer is kept for `--replay`;
3. when the folder is named, so that a record edited by hand is held to the same rules.

What can be derived is derived (a folder's name from a title, "pytorch" from "Torch" or "1"); only
what cannot be is refused, with a suggestion. Cookiecutter would take answers given on the command
line for Jinja and run them; here they are text, as those that are typed.
"""

import json
import keyword
import os
import re
import shlex
import shutil
import sys
import unicodedata
from collections.abc import Mapping, MutableMapping
from functools import partial
from pathlib import Path
from typing import NoReturn

from cookiecutter.exceptions import FailedHookException
from jinja2 import Environment
from jinja2.ext import Extension
from slugify import slugify

# Characters, not bytes. Long enough for any honest answer, short enough for a heading and a path.
LONGEST = {
    "project_name": 100,
    "project_slug": 50,
    "description": 500,
    "author_name": 100,
    "author_email": 254,  # RFC 5321 allows no longer address
    "parts": 500,
}
MAY_BE_BLANK = {"description", "author_email"}

# Not lists in cookiecutter.json: of an answer that is not in a list, cookiecutter makes a traceback
# before anything here runs, and says nothing at all of one in a user's configuration.
CHOICES = {
    "framework": ("pytorch", "tensorflow"),
    "task": ("segmentation", "classification"),
    "license": ("MIT", "Apache-2.0", "BSD-3-Clause", "none"),
    "python_version": ("3.11", "3.12", "3.13"),
}
# Each has folders `part=NAME` in `_parts/` of the template; the prompt has a line for each.
PARTS = ("determined", "kubernetes", "oxford_pets", "slurm", "torchx")
# What a part needs beside it: the answer to another question.
NEEDS = {"torchx": ("framework", "pytorch"), "oxford_pets": ("task", "segmentation")}

# The prompt of these numbers the choices. "2" for a Python version could mean Python 2.
NUMBERED = {"framework", "task", "license"}
ALSO = {"torch": "pytorch", "tf": "tensorflow"}

# Control characters, lone surrogates, line and paragraph separators, non-characters and the byte
# order mark: no file format keeps all of them. The bidirectional ones reorder what a reader sees,
# and have been used to hide code. Joiners stay allowed: scripts and emoji need them.
FORBIDDEN_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}
FORBIDDEN = set(
    "\ufeff\ufffe\uffff\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)

SLUG = re.compile(r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*")
EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+"
    r"@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.[A-Za-z](?:[A-Za-z0-9-]*[A-Za-z0-9])"
)
PYTHON = re.compile(r"(?:python ?|>= ?)?(3\.\d+)(?:\.\d+)?")

PORTS = {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
WINDOWS_DEVICES = {"con", "prn", "aux", "nul"} | PORTS
FOLDERS = set("configs dataloader evaluation executor main model notebooks ops tests utils".split())
DEPENDENCIES = set(
    """
    fsspec ipykernel keras matplotlib mypy nbclient nbformat numpy pil pillow pip pre_commit
    pydantic pytest pyyaml rich ruff s3fs safetensors scikit_learn scipy setuptools sklearn
    tensorboard tensorflow torch torchvision wheel yaml
    """.split()
)
# Modules that only some of the Pythons from 3.11 to 3.14 have. Named here, a title gives the same
# folder whichever Python generates; otherwise an update under another one would refuse it.
SOME_PYTHONS = set(
    """
    aifc annotationlib asynchat asyncore audioop cgi cgitb chunk compression crypt distutils imghdr
    imp lib2to3 mailcap msilib nis nntplib ossaudiodev pipes smtpd sndhdr spwd sunau telnetlib uu
    xdrlib
    """.split()
)
STANDARD_LIBRARY = sys.stdlib_module_names | SOME_PYTHONS
WORDS = {*keyword.kwlist, *keyword.softkwlist, "type"}  # a word since 3.12

NEEDED_SPACE = 5_000_000  # bytes; a project takes about one million, its history some more

# Cookiecutter renders this text to name the project's folder, on every way into it, before the
# folder exists.
FOLDER = "{{cookiecutter.project_slug}}"
CHECK = "{{ cookiecutter | checked }}"
JINJA = re.compile(r"\{(?=[{%#])|#(?=%)")  # the first letter of a mark; #% opens a line statement


class Refused(FailedHookException, SystemExit):
    """An answer that cannot become a working project.

    Cookiecutter catches the first parent, prints the message and leaves no files behind. Cruft
    catches neither; the second makes Python itself print the message in place of a traceback.
    """

    def __init__(self, message: str) -> None:
        """Keep the message for both: as the text of the error, and as what to print on exit."""
        super().__init__(message)
        self.code = message


class Answers(Extension):
    """Adds the filters `slug`, `quoted`, `escaped`, `checked` and `next_steps` to the template."""

    def __init__(self, environment: Environment) -> None:
        """Register the filters, and leave no trace of this version of the module behind."""
        super().__init__(environment)
        questions = Path(__file__).with_name("cookiecutter.json").read_text(encoding="utf-8")
        texts = [text for text in json.loads(questions).values() if isinstance(text, str)]
        self.own = {FOLDER, *texts}
        environment.filters.update(slug=slug, quoted=quoted, escaped=escaped, checked=checked)
        # Cookiecutter renders files in the template's folder; the person stays in this one.
        environment.filters["next_steps"] = partial(next_steps, here=os.getcwd())
        self._compiled = environment.from_string
        vars(environment)["from_string"] = self._from_string
        # `cruft update` renders an old and a new version of the template in one process. Were this
        # module kept, the new templates would meet the old filters.
        sys.modules.pop(__name__, None)

    def _from_string(self, source: str, *arguments: object, **options: object) -> object:
        """Compile what holds a mark of Jinja; the names of files and folders hold none.

        Cookiecutter compiles each of them. Without, it takes a third less time for a project.
        """
        if source in self.own or JINJA.search(source):
            return self._compiled(source, *arguments, **options)  # type: ignore[arg-type]
        return Plain(source)

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Check the answers before a question or the folder is rendered; take answers literally.

        Files of the template have a name, and stay as they are. What has none and is not the
        template's own text is an answer, a path, or the hook.
        """
        if name is not None:
            return source
        return CHECK + source if source in self.own else literal(source)


class Plain:
    """A template that is nothing but text."""

    def __init__(self, text: str) -> None:
        """Keep the text."""
        self.text = text

    def render(self, *_: object, **__: object) -> str:
        """Return the text."""
        return self.text


def literal(text: str) -> str:
    """Return Jinja source that renders to the text itself, whatever marks it holds."""
    return JINJA.sub(lambda mark: "{{ '" + mark[0] + "' }}", text)


def slug(title: str) -> str:
    """Derive a folder name from any title: "3D U-Net: pets" becomes "project_3d_u_net_pets".

    Returns the empty string when nothing in the title can be written in Latin letters; `checked`
    then asks for a name.
    """
    limit = LONGEST["project_slug"] - len("project_")
    derived = str(slugify(title, separator="_", max_length=limit, word_boundary=True))
    if derived[:1].isdigit():
        return f"project_{derived}"
    return f"{derived}_project" if owner_of(derived) else derived


def quoted(text: str) -> str:
    r"""Return the text in double quotes, valid at once in TOML, YAML, JSON and Python.

    JSON's own escapes are enough because `checked` lets no control character through. Other letters
    stay as typed: Jinja's own `tojson` would write O'Brien as O\u0027Brien.
    """
    return json.dumps(text, ensure_ascii=False)


def escaped(text: str) -> str:
    """Return `quoted` without its quotes, for files whose unrendered form must be valid too."""
    return quoted(text)[1:-1]


def checked(answers: MutableMapping[str, object]) -> str:
    """Normalise the answers in place, and refuse the first that cannot become a working project.

    Answers that are not there are passed over: not all questions may have been asked yet, and
    replaying an old record asks only what is new since. Returns the empty string.

    Raises:
        Refused: with the field, the value, the reason and a suggestion.
    """
    for field in (*LONGEST, *CHOICES):
        if field in answers:
            answers[field] = _text(field, answers[field])
    if "project_slug" in answers:
        _check_slug(str(answers["project_slug"]))
    if answers.get("author_email"):
        _check_email(str(answers["author_email"]))
    for field in CHOICES:
        if field in answers:
            answers[field] = _choice(field, str(answers[field]))
    if "parts" in answers:
        answers["parts"] = _parts(str(answers["parts"]), answers)
    if "_output_dir" in answers:  # cookiecutter says where, just before the first file is written
        _check_place(Path(str(answers["_output_dir"])))
    return ""


def next_steps(answers: Mapping[str, object], here: str) -> str:
    """Return the three lines to type next, or nothing where nobody waits for them.

    Cookiecutter's own command says where the project goes. Cruft does not: it also generates in
    temporary folders, for each update.

    Args:
        answers: All answers.
        here: The folder in which the person types.
    """
    if "_output_dir" not in answers:
        return ""
    project = Path(str(answers["_output_dir"]), str(answers["project_slug"]))
    folder = os.path.relpath(project, here) if project.is_relative_to(here) else str(project)
    install = "python -m pip install -r requirements.txt"
    return f"\nNext:\n  cd {shlex.quote(folder)}\n  {install}\n  python main.py train\n"


def owner_of(name: str) -> str:
    """Say what a folder name already means, or return the empty string if it is free."""
    module = name.replace("-", "_")
    if module in WORDS:
        return "a word of the Python language"
    if module in STANDARD_LIBRARY:
        return "a module of Python's standard library"
    if module in DEPENDENCIES:
        return "a package that projects like this import"
    if module in FOLDERS:
        return "a part of the generated project"
    if module in WINDOWS_DEVICES:
        return "a device on Windows"
    return ""


def _text(field: str, answer: object) -> str:
    if not isinstance(answer, str | None):
        _refuse(field, str(answer), "it is no text", "put it in quotes")
    text = (answer or "").strip()
    for character in text:
        if unicodedata.category(character) in FORBIDDEN_CATEGORIES or character in FORBIDDEN:
            code = f"U+{ord(character):04X}"
            reason = f"it holds the invisible character {code}"
            _refuse(field, text, reason, "type it again, as one plain line")
    if not any(unicodedata.category(character)[0] in "LNPS" for character in text):
        _check_may_be_blank(field, text)
    if len(text) > LONGEST.get(field, sys.maxsize):
        _refuse(field, text, f"it has {len(text)} characters", f"at most {LONGEST[field]}")
    return text


def _check_may_be_blank(field: str, text: str) -> None:
    if field == "project_slug":
        _refuse(field, text, "no name could be derived from the title", "project_slug=my_project")
    if text or field not in MAY_BE_BLANK:  # marks and joiners alone show nothing
        _refuse(field, text, "it is blank", _offered(field) or "type a few words")


def _check_slug(name: str) -> None:
    if not SLUG.fullmatch(name):
        reason = "a folder name needs lower-case letters, digits, _ or -, and starts with a letter"
        _refuse("project_slug", name, reason, slug(name) or "my_project")
    if owner := owner_of(name):
        _refuse("project_slug", name, f"it is {owner}", slug(name))


def _check_email(address: str) -> None:
    user, _, domain = address.rpartition("@")
    dots_apart = not (user.startswith(".") or user.endswith(".") or ".." in address)
    hyphens_inside = ".-" not in domain and "-." not in domain
    if not (EMAIL.fullmatch(address) and dots_apart and hyphens_inside):
        _refuse(
            "author_email",
            address,
            "it is no e-mail address",
            "name@example.com, or leave it blank",
        )


def _choice(field: str, typed: str) -> str:
    """Find what was meant: in any case, by its number in the prompt, "3.12.4" as "3.12"."""
    choices = CHOICES[field]
    known = {choice.lower(): choice for choice in choices}
    if field in NUMBERED:
        known |= {str(number): choice for number, choice in enumerate(choices, start=1)}
    name = typed.lower()
    version = PYTHON.fullmatch(name)
    name = version[1] if version and field == "python_version" else ALSO.get(name, name)
    if name not in known:
        _refuse(field, typed, "it is not offered", _offered(field))
    return known[name]


def _parts(typed: str, answers: Mapping[str, object]) -> str:
    """Return the names of the parts that were meant, in order, with commas between them; or none.

    `all` becomes the names of today's parts: what later versions add is asked for by its name.
    """
    names = {name.replace("-", "_") for name in re.split(r"[,\s]+", typed.lower()) if name}
    if names == {"none"}:
        return "none"
    if not names:
        _refuse("parts", typed, "it names no part", _offered("parts"))
    offered = [name for name in PARTS if _is_possible(name, answers)]
    if "all" in names:
        names = (names - {"all"}) | set(offered)
    for name in sorted(names - set(offered)):
        if name == "none":
            _refuse("parts", typed, "none stands alone", "none, or the names without it")
        if name not in PARTS:
            import difflib

            near = difflib.get_close_matches(name, PARTS, n=1)
            reason = f"there is no part {name!a}"
            _refuse("parts", typed, reason, near[0] if near else _offered("parts"))
        question, answer = NEEDS[name]
        others = ",".join(sorted(names - {name})) or "none"
        _refuse("parts", typed, f"{name} needs {question}={answer}", f"parts={others}")
    return ",".join(sorted(names))


def _is_possible(part: str, answers: Mapping[str, object]) -> bool:
    question, answer = NEEDS.get(part, ("", None))
    return answers.get(question, answer) == answer


def _offered(field: str) -> str:
    if field == "parts":
        return f"all, none, or some of {', '.join(PARTS)}"
    return f"one of {', '.join(CHOICES[field])}" if field in CHOICES else ""


def _check_place(folder: Path) -> None:
    """Refuse what would otherwise end as half a project."""
    existing = next(place for place in (folder, *folder.parents) if place.is_dir())
    other = "another folder, with --output-dir"
    if not os.access(existing, os.W_OK | os.X_OK):
        raise Refused(f"Cannot write into {str(existing)!a}: not allowed.\nTry: {other}")
    free = shutil.disk_usage(existing).free
    if free < NEEDED_SPACE:
        reason = f"{free:,} bytes are free, a project needs {NEEDED_SPACE:,}"
        raise Refused(f"Cannot write into {str(existing)!a}: {reason}.\nTry: {other}")


def _refuse(field: str, value: str, reason: str, suggestion: str) -> NoReturn:
    shown = value if len(value) <= 60 else value[:57] + "..."
    # Written in ASCII: what cannot be shown on a terminal may be the very reason for the refusal.
    raise Refused(f"Cannot use {field} = {shown!a}: {reason}.\nTry: {suggestion}")
