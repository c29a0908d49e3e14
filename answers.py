"""Checks and normalises the answers before a single file exists.

Cookiecutter loads this as a Jinja extension (`_extensions` in cookiecutter.json), because that is
the only place where an answer can be refused kindly: a failing hook prints a traceback, and any
other error leaves half a project behind. The check runs at two moments:

1. as the last private question, `__checked`, so that no refused answer is kept for `--replay`;
2. when the folder is named, so that a record edited by hand is held to the same rules.

What can be derived from a title is derived; only what cannot be is refused, with a suggestion.
"""

import json
import keyword
import re
import sys
import unicodedata
from collections.abc import MutableMapping
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
}
MAY_BE_BLANK = {"description", "author_email"}

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

PORTS = {f"{port}{number}" for port in ("com", "lpt") for number in range(10)}
WINDOWS_DEVICES = {"con", "prn", "aux", "nul"} | PORTS
PARTS = set("configs dataloader evaluation executor main model notebooks ops tests utils".split())
DEPENDENCIES = set(
    """
    fsspec ipykernel keras matplotlib mypy nbclient nbformat numpy pil pillow pip pre_commit
    pydantic pytest pyyaml rich ruff s3fs safetensors scikit_learn scipy setuptools sklearn
    tensorboard tensorflow torch torchvision wheel yaml
    """.split()
)

# Cookiecutter renders this text to name the project's folder, on every way into it, before the
# folder exists.
FOLDER = "{{cookiecutter.project_slug}}"
CHECKED_FOLDER = "{{ cookiecutter | checked and cookiecutter.project_slug }}"


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
    """Adds the filters `slug`, `quoted`, `escaped` and `checked` to the template."""

    def __init__(self, environment: Environment) -> None:
        """Register the filters, and leave no trace of this version of the module behind."""
        super().__init__(environment)
        environment.filters.update(slug=slug, quoted=quoted, escaped=escaped, checked=checked)
        # `cruft update` renders an old and a new version of the template in one process. Were this
        # module kept, the new templates would meet the old filters.
        sys.modules.pop(__name__, None)

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Check again when the folder is named: `--replay` asks nothing, and skips `__checked`."""
        return CHECKED_FOLDER if source == FOLDER else source


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
    """Trim the answers in place, then refuse the first one that cannot become a working project.

    Answers that are not there are passed over: replaying an old record asks only what is new since.

    Raises:
        Refused: with the field, the value, the reason and a suggestion.
    """
    for field in LONGEST:
        if field in answers:
            answers[field] = str(answers[field]).strip()
            _check_text(field, str(answers[field]))
    if "project_slug" in answers:
        _check_slug(str(answers["project_slug"]))
    if answers.get("author_email"):
        _check_email(str(answers["author_email"]))
    _check_choices(answers)
    return "yes"


def owner_of(name: str) -> str:
    """Say what a folder name already means, or return the empty string if it is free."""
    module = name.replace("-", "_")
    if keyword.iskeyword(module) or keyword.issoftkeyword(module):
        return "a word of the Python language"
    if module in sys.stdlib_module_names:
        return "a module of Python's standard library"
    if module in DEPENDENCIES:
        return "a package that projects like this import"
    if module in PARTS:
        return "a part of the generated project"
    if module in WINDOWS_DEVICES:
        return "a device on Windows"
    return ""


def _check_text(field: str, text: str) -> None:
    if not text and field not in MAY_BE_BLANK:
        if field == "project_slug":
            _refuse(
                field, text, "no name could be derived from the title", "project_slug=my_project"
            )
        _refuse(field, text, "it is blank", "type a few words")
    for character in text:
        if unicodedata.category(character) in FORBIDDEN_CATEGORIES or character in FORBIDDEN:
            code = f"U+{ord(character):04X}"
            reason = f"it holds the invisible character {code}"
            _refuse(field, text, reason, "type it again, as one plain line")
    if len(text) > LONGEST[field]:
        _refuse(field, text, f"it has {len(text)} characters", f"at most {LONGEST[field]}")


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


def _check_choices(answers: MutableMapping[str, object]) -> None:
    # Cookiecutter checks choices itself, but not those of a replayed record.
    questions = Path(__file__).with_name("cookiecutter.json").read_text(encoding="utf-8")
    for field, choices in json.loads(questions).items():
        is_choice = isinstance(choices, list) and not field.startswith("_")
        if is_choice and field in answers and answers[field] not in choices:
            _refuse(field, str(answers[field]), "it is not offered", f"one of {', '.join(choices)}")


def _refuse(field: str, value: str, reason: str, suggestion: str) -> NoReturn:
    shown = value if len(value) <= 60 else value[:57] + "..."
    # Written in ASCII: what cannot be shown on a terminal may be the very reason for the refusal.
    raise Refused(f"Cannot use {field} = {shown!a}: {reason}.\nTry: {suggestion}")
