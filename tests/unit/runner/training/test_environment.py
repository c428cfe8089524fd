"""What an entry keeps of the working tree that it was made in."""

import hashlib
import multiprocessing
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runner.config.schema import Run
from runner.training import environment
from runner.workers.executors import Processes

IDENTITY = {
    f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}
SECRET = "password=sesame\n"


def git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **IDENTITY},
    )
    return done.stdout


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A commit, a change of it in two folders, and files that git knows nothing of; the current
    folder is one within.
    """
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    for name in ("own.py", "sub/own.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("one\ntwo\nthree\n")
    (tmp_path / ".gitignore").write_text("ignored\n")
    git("add", "-A")
    git("commit", "-qm", "x")
    for name in ("own.py", "sub/own.py"):
        (tmp_path / name).write_text("one\ntwo\n3\n")
    monkeypatch.chdir(tmp_path / "sub")
    environment.git.cache_clear()
    return tmp_path


def test_untracked_files_are_named_and_never_copied(tree: Path) -> None:
    """One may be a secret that nobody thought of ignoring: name, size and hash tell whether it was
    the same. What is ignored, and what we write ourselves, is not told.
    """
    (tree / ".env").write_text(SECRET)
    (tree / "sub" / "a\nb").write_text("")
    (tree / "sub" / "large.bin").write_bytes(bytes(environment.HASHED + 1))
    (tree / "sub" / "link").symlink_to("/etc/passwd")
    (tree / "sub" / "pipe").symlink_to(tree)
    (tree / "ignored").write_text(SECRET)
    (tree / "results" / "entries").mkdir(parents=True)
    (tree / "results" / "entries" / "ours.json").write_text("{}")
    found = environment.uncommitted(tree / "results") or ""
    head = found.partition("diff --git")[0].splitlines()
    hashed = hashlib.sha256(SECRET.encode()).hexdigest()
    assert sorted(head) == [
        f"untracked: '../.env', {len(SECRET)} bytes, SHA-256 {hashed}",
        f"untracked: 'a\\nb', 0 bytes, SHA-256 {hashlib.sha256(b'').hexdigest()}",
        f"untracked: 'large.bin', {environment.HASHED + 1} bytes",
    ]
    assert "sesame" not in found


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"diff.noprefix": "true", "color.ui": "always", "diff.context": "0"},
        {"diff.mnemonicPrefix": "true", "diff.relative": "true", "diff.external": "/bin/true"},
        {"diff.upper.textconv": "tr a-z A-Z <"},
    ],
)
def test_the_diff_applies_whatever_the_users_settings_of_git_are(
    tree: Path, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the whole repository, byte for byte what it is without any; with a list before it."""
    (tree / ".git" / "info" / "attributes").write_text("*.py diff=upper\n")
    plain = environment.uncommitted(tree / "results")
    environment.git.cache_clear()
    for key, value in settings.items():
        git("config", key, value)
    (tree / "new.py").write_text("")
    found = environment.uncommitted(tree / "results") or ""
    assert found.partition("\n")[2] == plain
    (tree / "changes.diff").write_text(found)
    for name in ("own.py", "sub/own.py"):
        assert f"--- a/{name}" in found
        shutil.copy(tree / name, tree / f"{name}.kept")
    monkeypatch.chdir(tree)
    git("checkout", "-q", ".")
    git("apply", "changes.diff")
    assert (tree / "own.py").read_text() == (tree / "own.py.kept").read_text()
    assert (tree / "sub" / "own.py").read_text() == (tree / "sub" / "own.py.kept").read_text()


def test_without_a_repository_there_is_nothing_to_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And none is looked for above a folder that is no part of one."""
    monkeypatch.chdir(tmp_path)
    environment.git.cache_clear()
    assert environment.uncommitted(tmp_path) is None


def test_a_run_with_workers_records_the_code_as_it_is_when_it_begins(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They import it anew, as jobs of a sweep do one after the other; a run is one state."""
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    found = []
    for letter in "abc":
        (tree / "own.py").write_text(letter)
        if letter != "c":
            Processes(Run()).shutdown()
        found.append((environment.uncommitted(tree / "results") or "").count(f"+{letter}\n"))
    assert found == [1, 1, 0]
