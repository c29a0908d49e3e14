"""Any text at all, in every question at once: a whole project with the text kept, or a refusal.

Forty examples as a rule; `--hypothesis-profile=nightly` tries five hundred.
"""

import string
import tempfile
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import pytest
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from hypothesis import example, given
from hypothesis import strategies as st

from answers import CHOICES, LONGEST, PARTS
from kept import assert_kept, assert_parses

# What means something to YAML, TOML, JSON, Markdown, a shell, Docker, Jinja or a file system.
MARKS = [
    *("'", '"', "'''", '"""', "\\", "\\n", "\\u0041", "`", "```", "$", "${x}", "$(id)", "%PATH%"),
    *("{{", "}}", "{%", "%}", "{#", "#}", "#%", "{% raw %}", "{{ 1 // 0 }}", "{% endif %}"),
    *(":", ": ", "- ", "# ", " #", "&", "*", "!", "|", ">", "@", "%", "[", "]", "](", "---", "..."),
    *("<!--", "-->", "<b>", "<script>", "&amp;", "~~~", "=", "../", "/", "C:\\"),
    *("\x00", "\n", "\t", "\u200d", "\u202e", "\u2028", "\ufeff"),
    *("é", "e\u0301", "漢字", "שלום", "🚀", "null", "1e-3"),
]
PLAIN = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Cf", "Cn"])


def texts(longest: int) -> st.SearchStrategy[str]:
    """Texts of every kind, some too long; most of them fine, or nearly all would be refused."""
    letters = st.text(st.characters(), max_size=longest + 5)
    marks = st.lists(st.sampled_from(MARKS) | st.text(max_size=5), max_size=12).map("".join)
    nasty = st.one_of(letters, marks, st.text(string.printable, max_size=longest + 5))
    return st.sampled_from([fine_texts(longest)] * 3 + [nasty]).flatmap(lambda kind: kind)


def fine_texts(longest: int) -> st.SearchStrategy[str]:
    """Texts that nobody has a reason to refuse."""
    harmless = [mark for mark in MARKS if all(map(is_harmless, mark))]
    marks = st.lists(st.sampled_from(harmless) | st.text(PLAIN, max_size=5), max_size=9)
    either = st.text(PLAIN, max_size=longest) | marks.map("".join)
    return either.map(lambda text: f"x{text}"[:longest].strip())


def is_harmless(character: str) -> bool:
    return unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


SOME_PARTS = st.lists(st.sampled_from(PARTS), min_size=1).map(",".join)
CHOSEN = {field: st.sampled_from(choices) for field, choices in CHOICES.items()}
ANY = st.fixed_dictionaries(
    {field: texts(LONGEST[field]) for field in ("project_name", "description", "author_name")},
    optional={
        "project_slug": st.from_regex(r"[a-z][a-z0-9_-]{0,60}", fullmatch=True) | texts(50),
        "author_email": st.emails() | texts(60),
        **CHOSEN,
        "parts": SOME_PARTS | st.sampled_from(["all", "none"]),
    },
)
FINE = st.fixed_dictionaries(
    {
        "project_slug": st.just("project_of_mine"),
        **{field: fine_texts(LONGEST[field]) for field in ("project_name", "description")},
        "author_name": fine_texts(LONGEST["author_name"]),
        **CHOSEN,
        "parts": st.sampled_from(["all", "none", "slurm,kubernetes", "determined"]),
    }
)


def generated(template: Path, answers: Mapping[str, str], folder: Path) -> Path:
    """Generate in this process, which is several times as fast as starting one for each example."""
    project = cookiecutter(
        str(template),
        no_input=True,
        extra_context=dict(answers),
        output_dir=str(folder / "output"),
        config_file=str(folder / "settings.yaml"),
    )
    return Path(project)


@pytest.fixture
def folder():
    """Make a new folder for each example, with settings that keep a person's own out."""

    def make():
        place = tempfile.TemporaryDirectory()
        folders = (f"{name}: {place.name}/{name}\n" for name in ("replay_dir", "cookiecutters_dir"))
        Path(place.name, "settings.yaml").write_text("".join(folders), encoding="utf-8")
        return place

    return make


@given(answers=ANY)
@example(answers={"project_name": "{{ 1 // 0 }}", "description": "{% raw", "author_name": "#%"})
def test_any_text_gives_a_whole_project_or_a_clean_refusal(template: Path, folder, answers):
    with folder() as place:
        try:
            project = generated(template, answers, Path(place))
        except FailedHookException as refusal:  # each run loads the class `Refused` anew
            message = str(refusal)
            assert message.startswith("Cannot use ")
            assert "\nTry: " in message
            assert len(message.splitlines()) <= 3
            assert message.isascii()
            assert not Path(place, "output").exists()
            assert not Path(place, "replay_dir").exists()
        else:
            assert_parses(project)
            assert_kept(project, answers)


@given(answers=FINE)
def test_text_that_nobody_has_a_reason_to_refuse_is_kept(template: Path, folder, answers):
    with folder() as place:
        project = generated(template, answers, Path(place))
        assert_parses(project)
        assert_kept(project, answers)
