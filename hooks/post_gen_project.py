"""Lays the folders of `_parts/` that the answers ask for over the project, and removes `_parts/`.

A folder's name says when it is laid: `framework=pytorch`, `part=slurm`, `part=kubernetes+slurm` (one
of the two is enough), or several such conditions with commas between them, which must all hold. No
path is in two folders that can be laid together.

Cookiecutter runs this in the new project's folder, and `cruft update` runs it on both sides of
every update, so it is pure and quick: no git, no network, no questions, no imports that take longer
than the work. Hooks are rendered before they run, which would turn an answer written into one into
code. So this one holds no Jinja, and reads the answers from files that were rendered.
"""

import os


def main(project: str) -> None:
    """Turn the rendered tree into the project that the answers describe."""
    parts = os.path.join(project, "_parts")
    answers = dict(line.split("=", 1) for line in read(parts, "answers.txt").splitlines())
    folders = [name for name in os.listdir(parts) if "=" in name]
    for name in folders:
        if not is_wanted(name, answers):
            remove_copies(os.path.join(parts, name), project)
    for name in folders:
        if is_wanted(name, answers):
            move(os.path.join(parts, name), project)
    if answers["license"] == "none":
        os.remove(os.path.join(project, "LICENSE"))
    print(read(parts, "next_steps.txt"), end="")
    remove(parts)


def is_wanted(name: str, answers: dict[str, str]) -> bool:
    """Return whether all conditions of a folder's name hold.

    The answer to `part` is a list of words with commas between them.
    """
    conditions = (condition.split("=") for condition in name.split(","))
    return all(
        set(values.split("+")) & set(answers[question].split(",")) for question, values in conditions
    )


def move(tree: str, place: str) -> None:
    """Move what a folder holds to another place; a folder that is not there yet goes as a whole."""
    for name in os.listdir(tree):
        source, target = os.path.join(tree, name), os.path.join(place, name)
        if os.path.isdir(source) and os.path.isdir(target):
            move(source, target)
        else:
            os.replace(source, target)


def remove_copies(tree: str, place: str) -> None:
    """Remove what a project that was generated before has from a folder, unless edited since."""
    for name in os.listdir(tree):
        source, target = os.path.join(tree, name), os.path.join(place, name)
        if os.path.isdir(source) and os.path.isdir(target):
            remove_copies(source, target)
        elif os.path.isfile(source) and os.path.isfile(target):
            with open(source, "rb") as ours, open(target, "rb") as theirs:
                is_copy = ours.read() == theirs.read()
            if is_copy:
                os.remove(target)


def remove(tree: str) -> None:
    """Remove a folder with all that it holds."""
    for folder, folders, files in os.walk(tree, topdown=False):
        for name in files:
            os.remove(os.path.join(folder, name))
        for name in folders:
            os.rmdir(os.path.join(folder, name))
    os.rmdir(tree)


def read(folder: str, name: str) -> str:
    """Return the text of a file."""
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read()


if __name__ == "__main__":
    main(os.getcwd())
