"""What the command line makes of its arguments, before it talks to anybody."""

import io
import zipfile

import pytest

from nanogrid.cli.app import hoist
from nanogrid.cli.bundle import guess_runtime, prepare, runtime_of
from nanogrid.cli.exits import CliError, Exit, of_status
from nanogrid.cli.functions import parse_env
from nanogrid.cli.jobs import read_payload
from nanogrid.cli.output import summary


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["functions", "list", "-o", "json"], ["-o", "json", "functions", "list"]),
        (["run", "f", "--url=http://x", "{}"], ["--url=http://x", "run", "f", "{}"]),
        (["status", "--api-key", "k", "j"], ["--api-key", "k", "status", "j"]),
        (["run", "f", "--", "-o"], ["run", "f", "--", "-o"]),
        (["run", "f", "-o"], ["-o", "run", "f"]),
        ([], []),
    ],
)
def test_global_options_may_stand_anywhere(typed, meant):
    assert hoist(typed) == meant


@pytest.mark.parametrize(
    ("http_status", "code"),
    [
        (400, Exit.USAGE),
        (401, Exit.AUTH),
        (403, Exit.AUTH),
        (404, Exit.NOT_FOUND),
        (409, Exit.USAGE),
        (413, Exit.USAGE),
        (429, Exit.UNAVAILABLE),
        (499, Exit.USAGE),
        (500, Exit.INTERNAL),
        (502, Exit.UNAVAILABLE),
        (503, Exit.UNAVAILABLE),
        (599, Exit.INTERNAL),
    ],
)
def test_every_error_status_has_its_exit_code(http_status, code):
    assert of_status(http_status) is code


def test_environment_pairs_keep_what_stands_behind_the_first_equals_sign():
    assert parse_env(["A=1", "B=x=y", "C=", "A=2"]) == {"A": "2", "B": "x=y", "C": ""}


@pytest.mark.parametrize("pair", ["A", "=x", ""])
def test_what_is_no_environment_pair_is_refused(pair):
    with pytest.raises(CliError, match="K=V") as refused:
        parse_env([pair])

    assert refused.value.exit_code is Exit.USAGE


def test_a_payload_is_json_a_file_or_stdin(tmp_path, monkeypatch):
    (tmp_path / "event.json").write_text('{"이름": "그리드"}', encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.StringIO("[1]"))

    assert read_payload('{"a": 1}') == {"a": 1}
    assert read_payload(f"@{tmp_path}/event.json") == {"이름": "그리드"}
    assert read_payload("-") == [1]


@pytest.mark.parametrize("text", ["{", "", "NaN", '{"a": Infinity}', "@/nowhere/event.json", "name=x"])
def test_a_payload_that_is_not_json_is_refused_before_anybody_is_asked(text):
    with pytest.raises(CliError, match="PAYLOAD") as refused:
        read_payload(text)

    assert refused.value.exit_code is Exit.USAGE


@pytest.mark.parametrize(
    ("names", "runtime"),
    [
        (["main.py", "index.js"], "python"),
        (["index.mjs", "lib/x.py"], "nodejs"),
        (["main.go", "go.mod"], "go"),
        (["app.py", "helper.py"], "python"),
        (["app.py", "app.js"], None),
        (["lib/main.py"], None),
        (["README.md"], None),
        ([], None),
    ],
)
def test_a_zips_runtime_is_told_by_its_entry_or_its_only_language(names, runtime):
    assert runtime_of(names) == runtime


def test_a_folder_becomes_a_zip_without_what_tools_leave_behind(tmp_path):
    folder = tmp_path / "resize"
    for name in ("main.py", "lib/deep/a.py", "__pycache__/main.pyc", ".git/HEAD", "lib/__pycache__/a.pyc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)

    with prepare(folder) as bundle:
        assert bundle.name == "resize.zip"
        assert sorted(zipfile.ZipFile(bundle).namelist()) == ["lib/deep/a.py", "main.py"]
        assert guess_runtime(bundle) == "python"
    assert not bundle.exists()


@pytest.mark.parametrize(
    ("name", "runtime"), [("Hello.PY", "python"), ("x.MJS", "nodejs"), ("a.Cpp", "cpp"), ("b.GO", "go")]
)
def test_a_files_runtime_is_told_by_its_ending_in_capitals_too(tmp_path, name, runtime):
    assert guess_runtime(tmp_path / name) == runtime


def test_what_cannot_be_uploaded_is_said(tmp_path):
    with pytest.raises(CliError, match="no such file"), prepare(tmp_path / "missing"):
        pass
    with pytest.raises(CliError, match="no files"), prepare(tmp_path):
        pass
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(CliError, match="--runtime"):
        guess_runtime(tmp_path / "notes.txt")


def test_a_job_is_summed_up_in_a_line():
    job = {
        "job_id": "job-1",
        "status": "completed",
        "execution_time_ms": 1.234,
        "cold_start": True,
        "peak_memory_bytes": 20 * 1024 * 1024,
        "optimization_tip": "64 MB would do",
    }

    assert summary(job) == "job-1 completed · 1.2 ms (cold start) · peak 20.0 MiB · 64 MB would do"
    assert summary({"job_id": "job-1", "status": "pending"}) == "job-1 pending"
