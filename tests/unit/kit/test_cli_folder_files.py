"""Collects the files of a folder to upload: links, ignored files, and the packages of Node's package managers."""

import os
import stat
import zipfile
from pathlib import Path

import pytest

from nanogrid.cli.bundle import prepare
from nanogrid.cli.exits import CliError
from nanogrid.cli.folder_files import FolderFiles


def made(root: Path, files: dict[str, str]) -> Path:
    """Make files, and where a content begins with `-> ` links."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("-> "):
            path.symlink_to(content.removeprefix("-> "))
        else:
            path.write_text(content)
    return root


def contents(folder: Path) -> dict[str, str]:
    return {
        name: file.decode() if isinstance(file, bytes) else file.read_text()
        for name, file in FolderFiles(folder).files.items()
    }


def test_links_inside_the_folder_are_followed(tmp_path: Path) -> None:
    made(tmp_path, {"lib/a.py": "1", "main.py": "-> lib/a.py", "copy": "-> lib", "again": "-> copy"})

    assert contents(tmp_path) == dict.fromkeys(("lib/a.py", "main.py", "copy/a.py", "again/a.py"), "1")


def test_a_folder_that_is_a_link_itself_is_uploaded(tmp_path: Path) -> None:
    made(tmp_path, {"real/main.py": "1", "real/b.py": "-> main.py", "link": "-> real"})

    assert contents(tmp_path / "link") == {"main.py": "1", "b.py": "1"}


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("/etc/hostname", "leaves the folder, to /etc/hostname"),
        ("../beside.py", "leaves the folder, to .*/beside.py"),
        ("../folder/../beside.py", "leaves the folder"),
        ("missing.py", "leads to missing.py, which is not there"),
        ("a.py", "is not there"),  # to itself
        (".", "leads back to the folder that it lies in"),
        ("..", "leaves the folder"),
    ],
)
def test_a_link_that_cannot_be_followed_is_refused_by_name(tmp_path: Path, link: str, why: str) -> None:
    folder = made(tmp_path, {"beside.py": "", "folder/main.py": "", "folder/a.py": f"-> {link}"}) / "folder"

    with pytest.raises(CliError, match=f"a.py is a link that .*{why}.*; put the file itself there"):
        FolderFiles(folder)


def test_two_folders_that_lead_to_each_other_are_refused_by_name(tmp_path: Path) -> None:
    made(tmp_path, {"a/main.py": "", "a/b": "-> ../b", "b/a": "-> ../a"})

    with pytest.raises(CliError, match="a/b/a is a link that leads back"):
        FolderFiles(tmp_path)


def test_what_a_folder_leaves_out_is_gitignores_to_say_and_is_named(tmp_path: Path) -> None:
    files = dict.fromkeys(
        ("main.py", ".env", "a/.env", ".git/HEAD", "a/.DS_Store", "a/__pycache__/x.pyc", "b.log", "keep.log"), "x"
    )
    more = dict.fromkeys(("build/x", "src/build/x", "docs/a/b.md", "docs/c.txt", "한글.tmp"), "x")
    rules = "# mine\n\n*.log\n!keep.log\n/build/\ndocs/**/*.md\n*.tmp\n"
    made(tmp_path, files | more | {".nanogridignore": rules, "out.py": "-> /etc/hostname", "gone.log": "-> nowhere"})
    (tmp_path / ".nanogridignore").write_text(f"{rules}out.py\n")

    found = FolderFiles(tmp_path)

    assert sorted(found.files) == ["docs/c.txt", "keep.log", "main.py", "src/build/x"]
    left_out = [".env", ".git", ".nanogridignore", "a/.DS_Store", "a/.env", "a/__pycache__", "b.log", "build"]
    assert sorted(found.left_out) == sorted([*left_out, "docs/a/b.md", "gone.log", "out.py", "한글.tmp"])


def test_what_is_left_out_by_default_can_be_taken_back(tmp_path: Path) -> None:
    made(tmp_path, {"main.py": "", ".env": "A=1", ".nanogridignore": "\ufeff!.env\r\n"})

    assert ".env" in FolderFiles(tmp_path).files


def test_it_is_told_once_what_was_left_out(tmp_path: Path) -> None:
    made(tmp_path, {"main.py": "", ".nanogridignore": "*.log\n"} | {f"{number:02}.log": "" for number in range(12)})
    told: list[str] = []

    with prepare(tmp_path, told.append):
        pass

    [sentence] = told
    assert sentence.startswith("left out: .nanogridignore, 00.log")
    assert "and 3 more" in sentence


def test_a_program_of_npm_becomes_a_script_that_may_be_run(tmp_path: Path) -> None:
    folder = made(tmp_path / "app", {"main.js": "", "node_modules/a b/cli.js": "run", "node_modules/a b/lib.js": ""})
    (folder / "node_modules/a b/cli.js").chmod(0o755)
    made(folder, {"node_modules/.bin/run": "-> ../a b/cli.js"})

    with prepare(folder) as bundle, zipfile.ZipFile(bundle) as archive:
        modes = {one.filename: stat.S_IMODE(one.external_attr >> 16) for one in archive.infolist()}
        script = archive.read("node_modules/.bin/run").decode()

    assert modes["node_modules/.bin/run"] == modes["node_modules/a b/cli.js"] == 0o755
    assert script == '#!/bin/sh\nexec "$(dirname "$0")"/\'../a b/cli.js\' "$@"\n'


def test_the_packages_of_a_store_are_placed_where_node_finds_them(tmp_path: Path) -> None:
    store = "node_modules/.pnpm"
    made(
        tmp_path,
        {
            "main.js": "",
            f"{store}/a@1/node_modules/a/index.js": "a1",
            f"{store}/a@1/node_modules/b": "-> ../../b@2/node_modules/b",
            f"{store}/a@1/node_modules/@s/c": "-> ../../../@s+c@1/node_modules/@s/c",
            f"{store}/b@1/node_modules/b/index.js": "b1",
            f"{store}/b@2/node_modules/b/index.js": "b2",
            f"{store}/b@2/node_modules/a": "-> ../../a@1/node_modules/a",  # they need each other
            f"{store}/@s+c@1/node_modules/@s/c/index.js": "c1",
            f"{store}/node_modules/@s/c": "-> ../../@s+c@1/node_modules/@s/c",
            f"{store}/node_modules/b": "-> ../b@2/node_modules/b",
            f"{store}/lock.yaml": "",
            "node_modules/a": "-> .pnpm/a@1/node_modules/a",
            "node_modules/b": "-> .pnpm/b@1/node_modules/b",
            "node_modules/.modules.yaml": "",
        },
    )

    assert contents(tmp_path) == {
        "main.js": "",
        "node_modules/.modules.yaml": "",
        "node_modules/@s/c/index.js": "c1",
        "node_modules/a/index.js": "a1",
        "node_modules/a/node_modules/b/index.js": "b2",
        "node_modules/b/index.js": "b1",
    }


def test_packages_that_need_each_others_versions_without_end_are_refused(tmp_path: Path) -> None:
    made(
        tmp_path,
        {f"node_modules/.pnpm/{name}/node_modules/{name[0]}/i.js": "" for name in ("x@1", "x@2", "y@1", "y@2")},
    )
    for name, needed in (("x@1", "y@1"), ("y@1", "x@2"), ("x@2", "y@2"), ("y@2", "x@1")):
        link = f"node_modules/.pnpm/{name}/node_modules/{needed[0]}"
        made(tmp_path, {link: f"-> ../../{needed}/node_modules/{needed[0]}"})
    made(tmp_path, {"node_modules/x": "-> .pnpm/x@1/node_modules/x"})

    with pytest.raises(CliError, match="need each other without end; install them with npm"):
        FolderFiles(tmp_path)


def test_a_workspaces_package_outside_the_folder_is_refused_by_name(tmp_path: Path) -> None:
    folder = (
        made(tmp_path, {"shared/index.js": "", "app/main.js": "", "app/node_modules/shared": "-> ../../shared"}) / "app"
    )

    with pytest.raises(CliError, match="node_modules/shared is a link that leaves the folder"):
        FolderFiles(folder)


def test_names_and_files_that_no_zip_takes_are_said(tmp_path: Path) -> None:
    made(tmp_path / "fifo", {"main.py": ""})
    os.mkfifo(tmp_path / "fifo" / "pipe")
    (tmp_path / "name").mkdir()
    Path(os.fsdecode(bytes(tmp_path / "name") + b"/\xff.py")).touch()

    assert FolderFiles(tmp_path / "fifo").left_out == ["pipe"]
    with pytest.raises(CliError, match="is not UTF-8; rename it"), prepare(tmp_path / "name"):
        pass
