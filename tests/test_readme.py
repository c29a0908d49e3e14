"""What the pages say is true: everything they name is there. test_training.py types their lines."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from answers import CHOICES, PARTS
from conftest import FRAMEWORKS, QUESTIONS, TASKS, Ask, Create, Run
from generate import TEMPLATE_FOLDER
from readme import anchors, blocks, links, pages, section, spans

SUFFIXES = "css html ipynb json jsonl md png py safetensors toml txt yaml yml".split()
FILE = re.compile(rf"[\w./-]+\.({'|'.join(SUFFIXES)})|[\w./-]+/")
KEY = re.compile(r"((?:run|data|train|model|executor)(?:\.\w+)+)(?:(?:=|: )(\S+))?")
# By the reader of the pages, or by cruft.
TO_BE_WRITTEN = set(
    """
    .cruft.json cat_mask.png classes.py command.py configs/points.yaml
    dataloader/sources/spots.py dataloader/sources/squares.py dataloader/sources/stripes.py
    evaluation/agreement.py evaluation/area.py evaluation/brier.py evaluation/points.py
    model/tiny.py my_optimizer.py my_schedule.py ops/channels.py ops/focal.py ops/points.py
    tracker.py watch.py
    """.split()
)
COMMANDS = {"train", "evaluate", "predict", "report", "runs", "check", "config", "launch"}
OWN_COMMAND = "classes"
MOST_LINES = 150
MOST_PAGES = 12


@pytest.fixture(scope="module", params=TASKS)
def project(request: pytest.FixtureRequest, create: Create, framework: str) -> Path:
    """The generated project of each task."""
    return create(framework=framework, task=request.param)


@pytest.fixture(scope="module")
def page(project: Path) -> str:
    """The generated project's README."""
    return (project / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(project: Path) -> str:
    """All pages of the generated project, one after the other."""
    return "\n".join([*pages(project).values(), (project / "AGENTS.md").read_text("utf-8")])


@pytest.fixture(scope="module")
def front_page(template: Path) -> str:
    """The template's own README."""
    return (template / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_a_front_door(page: str, project: Path):
    assert len(page.splitlines()) <= MOST_LINES
    task = re.search(r"for one task, \*\*(.+?)\*\*", page[: page.index("## Start")])
    assert task and task[1] in ("semantic segmentation", "image classification")
    docs = {path.name for path in (project / "docs").iterdir()}
    assert len(docs) <= MOST_PAGES
    linked = {link.partition("#")[0] for link in links(page)}
    pages_of_parts = {f"{part}.md" for part in PARTS}  # they come and go with it
    assert {f"docs/{name}" for name in docs - pages_of_parts} <= linked


def test_blank_lines_part_what_the_pages_hold(project: Path):
    # A line statement swallows the blank lines behind it; what stands there then runs together.
    for name, page in pages(project).items():
        is_inside = False
        for before, line in itertools.pairwise(page.splitlines()):
            if before.startswith("```"):
                is_inside = not is_inside
                assert is_inside or line == "", f"{name}: {line}"
            if not is_inside and line.startswith(("#", "```")):
                assert before == "", f"{name}: {line}"


def test_no_page_holds_what_only_the_template_means(text: str):
    assert not re.search(r"{{|{%|#%|cookiecutter\.", text)


def test_the_pages_speak_plainly(text: str, template: Path):
    own = [(template / name).read_text("utf-8") for name in ("README.md", "CONTRIBUTING.md")]
    for page in (text, *own):
        assert not re.search(r"\b(told|tells?|met|ways|mishaps?)\b", page)


def test_every_file_that_the_pages_name_exists(text: str, project: Path):
    left_by_a_run = spans(section(pages(project), "What a run leaves behind"))
    named = {s for s in spans(text) if FILE.fullmatch(s)} - set(left_by_a_run)
    assert len(named) >= 30
    there = {path.relative_to(project).as_posix() for path in project.rglob("*")}
    there |= {path.rpartition("/")[2] for path in there}  # where the line names the folder
    named -= TO_BE_WRITTEN | {"annotations/", "cat/", "dog/", "images/", "masks/"}  # of data
    missing = {name for name in named if name.rstrip("/") not in there}
    assert {name for name in missing if not name.startswith("runs/")} == set()


def test_every_part_has_its_line_in_the_readme_and_in_agents(page: str, project: Path):
    listed = {row.split("|")[1].strip(" `/") for row in page.splitlines() if row.startswith("| `")}
    folders = {path for path in project.iterdir() if path.is_dir() and path.name[0] != "."}
    parts = {path.name for path in folders} - {"__pycache__"}
    rooms = {path.parent.name for path in project.glob("executor/*/__init__.py")}
    assert len(rooms) >= 9
    assert parts | rooms <= listed
    agents = spans((project / "AGENTS.md").read_text(encoding="utf-8"))
    assert {f"executor/{room}/" for room in rooms} <= set(agents)
    assert {f"{part}/" for part in parts - {"executor"}} <= set(agents)


def settings(page: str) -> Iterator[tuple[str, str | None]]:
    """Yield every (key, value or None) of the configuration that a page names."""
    for span in spans(page):
        words = span.split() if "=" in span else [span]
        for word in words:
            if (found := KEY.fullmatch(word)) and not FILE.fullmatch(word):
                yield found[1], found[2]


# Each alone, since some of them exclude each other.
TRY_SETTINGS = """
import json, sys
from configs.loading import load_config
known = load_config(None, []).model_dump()
for word in sys.argv[1:]:
    key, _, value = word.partition("=")
    place = known
    for part in key.split("."):
        if "target" in place:  # what an object takes, which need not be the default one
            break
        assert part in place, f"unknown key {key}"
        place = place[part]
    else:
        if value:
            load_config(None, [word])
print(len(sys.argv))
"""


def test_every_key_that_the_pages_name_exists(text: str, project: Path, ask: Ask):
    named = set(settings(text))
    assert len(named) >= 30
    ask(project, TRY_SETTINGS, *sorted(f"{key}={value or ''}" for key, value in named))


def commands(page: str) -> Iterator[str]:
    """Yield every command line of a page, in its text or to be typed."""
    yield from spans(page)
    for block in blocks(page):
        if block.language == "sh":
            yield from re.split(r"\n|&&", block.text)


def test_every_command_that_the_pages_name_exists(page: str, text: str, project: Path, run: Run):
    used: dict[str, set[str]] = {}
    for line in commands(text):
        if found := re.search(r"\bmain\.py (\w+)(.*)", line):
            used.setdefault(found[1], set()).update(re.findall(r"--[\w-]+", found[2]))
    assert used.keys() - {OWN_COMMAND} == COMMANDS
    rows = re.findall(r"^\| `python main\.py (\w+)", page, re.MULTILINE)
    assert set(rows) == COMMANDS
    for command in COMMANDS:
        result = run(project, "main.py", command, "--help")
        assert result.returncode == 0
        for option in used[command]:
            assert option in result.stdout, f"{command} {option}"


def test_every_tool_that_the_pages_name_is_required(text: str, project: Path):
    texts = [(project / f"requirements{part}.txt").read_text() for part in ("", "-dev")]
    named = {line.split()[0] for line in commands(text) if re.match(r"[a-z-]+ [a-z.]|mypy$", line)}
    named |= set(re.findall(r"python -m (\w+)", text)) - {"pip", "venv"}
    tools = named & {"ruff", "mypy", "pre-commit", "pytest", "tensorboard"}
    assert len(tools) >= 4
    for tool in tools:
        assert any(f"\n{tool}==" in text for text in texts), tool


def test_what_agents_names_in_the_repository_exists(template: Path):
    page = (template / "AGENTS.md").read_text(encoding="utf-8")
    rows = [row.split("|")[1].strip(" `") for row in page.splitlines() if row.startswith("| `")]
    named = {s for s in spans(page) if FILE.fullmatch(s) and "..." not in s} | set(rows)
    assert len(named) >= 12
    for name in named:
        roots = (template, template / TEMPLATE_FOLDER, template / "tests")
        assert any((root / name).exists() for root in roots), name
    folders = {path.name for path in template.iterdir() if path.is_dir() and path.name[0] != "."}
    assert {f"{name}/" for name in folders - {"docs", "hooks"}} <= named
    targets = set(re.findall(r"^(\w+):", (template / "Makefile").read_text(), re.MULTILINE))
    used = {line.split()[1] for line in commands(page) if line.startswith("make ")}
    assert len(used) >= 5
    assert used <= targets


def test_claude_md_points_to_agents_md(template: Path, project: Path):
    for folder in (template, project):
        (line,) = (folder / "CLAUDE.md").read_text(encoding="utf-8").splitlines()
        assert links(line) == ["AGENTS.md"]
        assert (folder / "AGENTS.md").is_file()


def test_the_front_page_names_every_question_with_its_default(front_page: str, project: Path):
    rows = [row.strip("|").split("|") for row in front_page.splitlines() if row.startswith("| `")]
    table = {row[0].strip(" `"): row for row in rows}
    asked = {name: value for name, value in QUESTIONS.items() if not name.startswith("_")}
    assert list(table) == list(asked)
    for name, value in asked.items():
        default = {"project_slug": project.name, "parts": "oxford_pets"}.get(name, value)
        assert table[name][2].strip(" `") == default, name
    for choice in [*FRAMEWORKS, *TASKS, *CHOICES["license"]]:
        assert f"`{choice}`" in front_page
    for part in PARTS:
        assert f"\n| **{part}** |" in front_page


def test_every_file_and_target_of_make_that_the_front_page_names_exists(
    front_page: str, template: Path, project: Path
):
    targets = set(re.findall(r"^(\w+):", (template / "Makefile").read_text(), re.MULTILINE))
    lines = [line.strip() for line in commands(front_page)]
    used = {line.split()[1] for line in lines if re.match(r"make \w", line)}
    assert {"demo", "test"} <= used <= targets
    for name in filter(FILE.fullmatch, spans(front_page)):
        roots = (template, project, template / TEMPLATE_FOLDER)
        assert any((root / name).exists() for root in roots), name


def test_the_tree_on_the_front_page_is_the_generated_one(front_page: str, project: Path):
    (tree,) = [b.text for b in blocks(front_page) if b.text.startswith(project.name)]
    named = re.findall(r"^  (\S+)  ", tree, re.MULTILINE)
    named += tree.splitlines()[-1].replace("...", "").split()
    assert len(named) >= 12
    for name in named:
        assert (project / name).exists(), name


def test_the_message_on_the_front_page_is_the_real_one(
    front_page: str, project: Path, run: Run, tmp_path: Path
):
    (shown,) = [b.text for b in blocks(front_page) if b.text.startswith("error: ")]
    lines = [""] * 9
    for number, key in re.findall(r"mine\.yaml:(\d+): (\S+):", shown):
        section, *middle, last = key.split(".")
        lines[int(number) - 1] = "  " * (1 + len(middle)) + f"{last}: 1"
        above = [section, *middle]
        for depth, name in enumerate(above):
            lines[int(number) - 1 - len(above) + depth] = "  " * depth + f"{name}:"
    (tmp_path / "mine.yaml").write_text("\n".join(lines) + "\n")
    words = [str(project / "main.py"), "train", "--config", "mine.yaml"]
    said = run(tmp_path, *words).stderr.splitlines()
    expected = [line.strip() for line in shown.strip().splitlines()]
    assert len(said) == len(expected)
    for received, line in zip(said, expected, strict=True):
        assert received.strip().startswith(line.removesuffix(" ...")), received


def test_every_link_to_a_file_leads_somewhere(template: Path, project: Path):
    own = [path for path in template.rglob("*.md") if TEMPLATE_FOLDER not in path.parts]
    pages = [path for path in (*own, *project.rglob("*.md")) if ".git" not in path.parts]
    assert len(pages) >= 16
    broken = []
    for path in pages:
        text = path.read_text(encoding="utf-8")
        for link in links(text):
            if re.match(r"https?:|mailto:", link):
                continue
            file, _, anchor = link.partition("#")
            target = path.parent / file if file else path
            if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
                broken.append(f"{path.name}: {link}")
    assert broken == []
