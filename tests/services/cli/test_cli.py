"""The command line against real servers: what it asks, what it prints, how it leaves."""

import io
import json
import subprocess
import sys
import zipfile
from email import message_from_bytes

from nanogrid.cli.client import Client
from support.command_line import COMPLETED, FAILED, FUNCTION_ID, PENDING
from support.waiting import WATCHDOG_S


def form_of(request):
    """The fields of a multipart body: name to (filename, content)."""
    head = b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
    parts = message_from_bytes(head + request.body).get_payload()
    return {
        part.get_param("name", header="content-disposition"): (part.get_filename(), part.get_payload(decode=True))
        for part in parts
    }


def test_a_result_goes_to_stdout_and_everything_else_to_stderr(api, nanogrid):
    api.on("POST /run", 200, COMPLETED)

    code, out, err = nanogrid("run", FUNCTION_ID, '{"a": 1}')

    assert code == 0
    assert json.loads(out) == {"인사": "안녕"}
    assert "printed" in err
    assert "output: http://files/resized.png" in err
    assert json.loads(api.asked[0].body) == {"function_id": FUNCTION_ID, "payload": {"a": 1}}
    assert "x-async" not in api.asked[0].headers


def test_json_prints_the_whole_answer(api, nanogrid):
    api.on("POST /run", 200, COMPLETED)

    assert json.loads(nanogrid("run", FUNCTION_ID, "-o", "json")[1]) == COMPLETED


def test_a_function_that_fails_leaves_with_one_and_says_how(api, nanogrid):
    api.on("POST /run", 200, FAILED)

    code, out, err = nanogrid("run", FUNCTION_ID)

    assert (code, out) == (1, "")
    assert "HandlerError: ZeroDivisionError: division by zero\nline 2" in err


def test_a_function_is_found_by_its_name(api, nanogrid):
    api.on("GET /functions?limit=1&name=hello", 200, {"functions": [{"function_id": FUNCTION_ID}], "next_cursor": None})
    api.on("POST /run", 200, COMPLETED)

    assert nanogrid("run", "hello")[0] == 0
    assert json.loads(api.asked[-1].body)["function_id"] == FUNCTION_ID


def test_an_id_that_was_given_by_hand_wins_over_a_function_of_that_name(api, nanogrid):
    api.on("GET /functions/hello", 200, {"function_id": "hello"})
    api.on("GET /functions?limit=1&name=hello", 200, {"functions": [{"function_id": FUNCTION_ID}], "next_cursor": None})
    api.on("POST /run", 200, COMPLETED)

    assert nanogrid("run", "hello")[0] == 0
    assert json.loads(api.asked[-1].body)["function_id"] == "hello"


def test_a_name_that_nobody_has_is_not_found(api, nanogrid):
    api.on("GET /functions?limit=1&name=hello", 200, {"functions": [], "next_cursor": None})

    code, _, err = nanogrid("run", "hello")

    assert code == 3
    assert "'hello'" in err


def test_an_asynchronous_run_prints_the_job_and_does_not_wait(api, nanogrid):
    api.on("POST /run", 202, PENDING, Retry_After="1")

    code, out, _ = nanogrid("run", FUNCTION_ID, "--async")

    assert (code, out) == (0, "job-1\n")
    assert api.asked[0].headers["x-async"] == "true"
    assert len(api.asked) == 1


def test_an_asynchronous_run_may_wait_for_its_end(api, nanogrid):
    api.on("POST /run", 202, PENDING, Retry_After="0")
    api.on("GET /status/job-1", 200, PENDING | {"status": "running"}, Retry_After="0")
    api.on("GET /status/job-1", 200, FAILED)

    code, _, err = nanogrid("run", FUNCTION_ID, "--async", "--wait")

    assert code == 1
    assert "HandlerError" in err
    assert [request.path for request in api.asked] == ["/run", "/status/job-1", "/status/job-1"]


def test_a_call_that_outlasts_the_gateways_wait_is_followed_to_its_end(api, nanogrid):
    api.on("POST /run", 202, PENDING, Retry_After="0")
    api.on("GET /status/job-1", 200, COMPLETED)

    code, out, _ = nanogrid("run", FUNCTION_ID)

    assert code == 0
    assert json.loads(out) == COMPLETED["result"]


def test_polling_pauses_for_as_long_as_the_answer_says(api):
    import httpx  # noqa: PLC0415 - the only test that builds a client by hand

    api.on("GET /status/job-1", 200, PENDING, Retry_After="7")
    api.on("GET /status/job-1", 200, PENDING)
    api.on("GET /status/job-1", 200, COMPLETED)
    pauses = []

    with httpx.Client(base_url=api.url, timeout=WATCHDOG_S) as http:
        Client(http, pauses.append).follow(PENDING, 0.5)

    assert pauses == [0.5, 7.0, 1.0]


def test_a_file_is_uploaded_with_what_was_chosen(api, nanogrid, tmp_path):
    (tmp_path / "greet.py").write_text("def handler(event, context): ...")
    api.on("POST /upload", 201, {"function_id": FUNCTION_ID})

    code, out, _ = nanogrid(
        *("upload", tmp_path / "greet.py", "--handler", "greet.hi", "--timeout", 0, "--memory", 128),
        *("--env", "A=1", "--env", "B=x=y", "--mode", "fresh"),
    )

    form = form_of(api.asked[0])
    assert (code, out) == (0, f"{FUNCTION_ID}\n")
    assert form.pop("file") == ("greet.py", b"def handler(event, context): ...")
    assert form.pop("env")[1] == b'{"A": "1", "B": "x=y"}'
    assert {name: content for name, (_, content) in form.items()} == {
        "function_name": b"greet",
        "runtime": b"python",
        "handler": b"greet.hi",
        "timeout": b"0",
        "memory_mb": b"128",
        "mode": b"fresh",
    }


def test_a_folder_is_uploaded_as_a_zip_of_its_files(api, nanogrid, tmp_path):
    (tmp_path / "resize" / "lib").mkdir(parents=True)
    (tmp_path / "resize" / "main.py").write_text("")
    (tmp_path / "resize" / "lib" / "a.py").write_text("")
    api.on("POST /upload", 201, {"function_id": FUNCTION_ID})

    nanogrid("upload", tmp_path / "resize")

    form = form_of(api.asked[0])
    assert form["file"][0] == "resize.zip"
    assert sorted(zipfile.ZipFile(io.BytesIO(form["file"][1])).namelist()) == ["lib/a.py", "main.py"]
    assert form["function_name"][1] == b"resize"
    assert "timeout" not in form


def test_a_list_is_read_page_by_page_up_to_the_limit(api, nanogrid):
    def page(names, cursor):
        functions = [{"function_id": FUNCTION_ID, "function_name": name} for name in names]
        return {"functions": functions, "next_cursor": cursor}

    api.on("GET /functions?limit=3", 200, page(["a", "b"], "c2"))
    api.on("GET /functions?limit=1&cursor=c2", 200, page(["c"], "c3"))

    code, out, _ = nanogrid("functions", "list", "--limit", 3, "-o", "json")

    assert code == 0
    assert [one["function_name"] for one in json.loads(out)["functions"]] == ["a", "b", "c"]


def test_a_table_has_the_names_that_look_like_markup(api, nanogrid):
    api.on("GET /functions?limit=50", 200, {"functions": [{"function_name": "[bold]x[/bold]"}], "next_cursor": None})

    assert "[bold]x[/bold]" in nanogrid("functions", "list")[1]


def test_a_narrow_terminal_does_not_cut_ids(api, nanogrid, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    function = {"function_id": FUNCTION_ID, "function_name": "n" * 60}
    api.on("GET /functions?limit=50", 200, {"functions": [function], "next_cursor": None})

    out = nanogrid("functions", "list")[1]

    assert FUNCTION_ID in out
    assert "n" * 60 in out


def test_a_function_is_shown_and_deleted(api, nanogrid):
    api.on(f"GET /functions/{FUNCTION_ID}", 200, {"function_id": FUNCTION_ID, "runtime": "python3.11"})
    api.on(f"DELETE /functions/{FUNCTION_ID}", 204, None)

    assert "runtime: python3.11" in nanogrid("functions", "get", FUNCTION_ID)[1]
    assert nanogrid("functions", "delete", FUNCTION_ID)[:2] == (0, f"deleted {FUNCTION_ID}\n")


def test_a_jobs_status_is_shown_whatever_it_is(api, nanogrid):
    api.on("GET /status/job-1", 200, FAILED)

    code, out, _ = nanogrid("status", "job-1")

    assert code == 0
    assert "status: failed" in out


def test_the_key_is_sent_as_a_bearer_token(api, nanogrid, monkeypatch):
    monkeypatch.setenv("NANOGRID_API_KEY", "ng_k_s")
    api.on("GET /status/job-1", 200, COMPLETED)

    nanogrid("status", "job-1")
    nanogrid("status", "job-1", "--api-key", "ng_other")

    assert [request.headers["authorization"] for request in api.asked] == ["Bearer ng_k_s", "Bearer ng_other"]


def test_the_command_is_installed_and_explains_itself():
    said = subprocess.run(
        [sys.executable, "-c", "from nanogrid.cli import main; main()", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert "Exit codes" in said
