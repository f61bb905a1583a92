"""Zips as people's tools make them: uploaded, run, and refused only with a reason."""

import io
import zipfile

import pytest

from support.archives import Member, archive, folder
from support.grid import Grid

pytestmark = pytest.mark.backends("embedded")  # the gate is the same for all backends

HANDLER = b"import tools\ndef handler(event, context): return tools.greet(event)\n"
TOOLS = b"def greet(event): return 'hello, ' + event['name']\n"


def test_a_zip_of_the_current_folder_through_a_pipe_runs(grid: Grid) -> None:
    members = (folder("./"), Member("./main.py", HANDLER, deflate=True), Member("./tools.py", TOOLS))
    data = archive(*members)
    padded = data + bytes(-len(data) % 10_240)  # as bsdtar fills up its last block

    for one in (data, padded):
        job = grid.run(grid.upload(one, "code.zip"), {"name": "나노"})
        assert job["result"] == "hello, 나노", job


def test_a_zip_that_was_never_sought_in_runs(grid: Grid) -> None:
    stream = io.BytesIO()
    stream.seekable = lambda: False  # type: ignore[method-assign]
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as packer:
        for name, content in (("main.py", HANDLER), ("tools.py", TOOLS)):
            with packer.open(name, "w", force_zip64=True) as target:
                target.write(content)

    assert grid.run(grid.upload(stream.getvalue(), "code.zip"), {"name": "you"})["result"] == "hello, you"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (archive(Member("../main.py", HANDLER)), "'..' as a part of its path"),
        (archive(Member("./../main.py", HANDLER)), "'..' as a part of its path"),
        (archive(Member("main.py", HANDLER), Member("./main.py", TOOLS)), "twice"),
        (archive(Member("main.py", HANDLER)) + b"\0" * 100 + b"hidden", "is not a whole zip file"),
        (archive(Member("main.py", HANDLER)) + archive(Member("main.py", TOOLS)), "belong to no entry"),
    ],
    ids=["outside", "outside from the root", "twice", "hidden", "two zips"],
)
def test_what_could_be_read_in_two_ways_is_refused_with_the_reason(grid: Grid, data: bytes, reason: str) -> None:
    answer = grid.try_upload(data, "code.zip")

    assert answer.status_code == 400, answer.text
    assert reason in answer.json()["detail"]
