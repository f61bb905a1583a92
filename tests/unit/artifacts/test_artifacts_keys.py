"""Names that uploads and outputs may have, and the paths that keys become."""

from pathlib import PurePosixPath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nanogrid.errors import InvalidFieldError
from services.artifacts import keys
from services.artifacts.blobs import check_object_key, content_type_of
from services.artifacts.blobs.paths import folder_of, path_of

UUID = "1b4e28ba-2fa1-41d2-883f-0016d3cca427"


def test_a_functions_code_has_the_key_of_the_contract() -> None:
    assert keys.code_key(UUID) == f"functions/{UUID}/code.zip"


BAD_UUIDS = ("", UUID.upper(), UUID[:-1], UUID + "0", f"{{{UUID}}}", UUID.replace("-", ""), "../../etc", UUID + "\n")


@pytest.mark.parametrize("function_id", BAD_UUIDS, ids=repr)
def test_an_id_that_is_no_canonical_uuid_is_refused(function_id: str) -> None:
    with pytest.raises(InvalidFieldError, match="function_id"):
        keys.code_key(function_id)


@pytest.mark.parametrize("filename", ["main.py", "index.js", "a.b.mjs", "main.cpp", "main.go", "한글.py", "a b.py"])
def test_source_files_are_told_by_their_ending(filename: str) -> None:
    assert keys.is_single_source(filename)


@pytest.mark.parametrize("filename", ["code.zip", "CODE.ZIP", "a.py.zip"])
def test_zips_are_told_by_their_ending(filename: str) -> None:
    assert not keys.is_single_source(filename)


BAD_FILENAMES = (
    "", "main", ".py", "main.PY", "main.py ", "main.rb", "code.tar.gz", "a/main.py", "/main.py", "..\\main.py",
    "main.py\x00.zip", "ma\nin.py", "x" * 253 + ".py", "main.py/", "..", ".zip",
)  # fmt: skip


@pytest.mark.parametrize("filename", BAD_FILENAMES, ids=[ascii(name[:12]) for name in BAD_FILENAMES])
def test_any_other_filename_is_refused(filename: str) -> None:
    with pytest.raises(InvalidFieldError, match="filename"):
        keys.is_single_source(filename)


@pytest.mark.parametrize("path", ["a.txt", "sub/한글 파일.png", "..a", "a..b", "%2e%2e/a", "~", "a:b", "..."])
def test_an_output_lies_below_its_job(path: str) -> None:
    key = keys.output_key("job-1", path)

    assert key == f"outputs/job-1/{path}"
    assert keys.check_output_key(key) == key


BAD_PATHS = (
    "",
    "/",
    "/a",
    "a/",
    "a//b",
    "..",
    "../a",
    "a/../../b",
    "a/..",
    ".",
    "./a",
    "a\\b",
    "a\x00",
    "a\nb",
    "a\x7f",
)


@pytest.mark.parametrize("path", [*BAD_PATHS, "x" * 1024, "\ud800"], ids=lambda path: ascii(path[:10]))
def test_a_path_that_is_not_plainly_below_is_refused(path: str) -> None:
    with pytest.raises(InvalidFieldError, match="path"):
        keys.output_key("job-1", path)


@pytest.mark.parametrize("job_id", ["", ".", "..", "a/b", "a b", "x" * 129, "job\n", "잡"], ids=ascii)
def test_a_job_id_that_is_no_plain_name_is_refused(job_id: str) -> None:
    with pytest.raises(InvalidFieldError, match="job_id"):
        keys.output_key(job_id, "a.txt")


@pytest.mark.parametrize(
    "key", ["", "outputs", "outputs/job-1", "functions/x/code.zip", "outputs/../a/b", "/outputs/a/b"]
)
def test_what_is_no_output_key_is_refused(key: str) -> None:
    with pytest.raises(InvalidFieldError):
        keys.check_output_key(key)


def test_media_types_follow_the_name() -> None:
    assert content_type_of("a/b.png") == "image/png"
    assert content_type_of("a.json") == "application/json"
    assert content_type_of("notes.txt") == "text/plain; charset=utf-8"
    assert content_type_of("logs.txt.gz") == "application/octet-stream"
    assert content_type_of("a.png/README") == "application/octet-stream"


SPECIAL = st.sampled_from(
    ["%", "%f", "%d", "%~", ".", "..", "%25", "%2E", "a", "A", "\n", "가" * 84, "x" * 253, "x" * 256, "%tmp"]
)
PARTS = (SPECIAL | st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)).filter(lambda part: "/" not in part)


def possible(key: str) -> bool:
    try:
        check_object_key(key)
    except InvalidFieldError:
        return False
    return True


KEYS = (
    st.lists(st.lists(PARTS, min_size=1, max_size=2).map("".join), min_size=1, max_size=4)
    .map("/".join)
    .filter(possible)
)


@settings(max_examples=500)
@given(KEYS)
@example("%tmp/a")
@example("functions/x/code.zip")
def test_a_path_never_leaves_its_root_nor_needs_too_long_a_name(key: str) -> None:
    path = path_of(key)

    assert not path.is_absolute()
    assert not {".", "..", ""} & set(path.parts)
    assert len(path.parts) == key.count("/") + 1
    assert all(len(part.encode()) <= 255 and "\x00" not in part for part in path.parts)
    assert path.parts[0] not in ("%tmp", "%meta")


@settings(max_examples=1000)
@given(KEYS, KEYS)
@example("a", "a/b")
@example("a.b", "a.b/c")
@example("a%f", "a")
@example("a.b%d", "a.b/c")
@example("%41", "A")
@example("x" * 300, "y" * 300)
def test_no_two_keys_share_a_path_nor_does_one_lie_inside_another(one: str, other: str) -> None:
    if one == other:
        return
    first, second = path_of(one), path_of(other)

    assert first != second
    assert first not in second.parents
    assert second not in first.parents


@settings(max_examples=500)
@given(KEYS, KEYS)
def test_a_folder_holds_exactly_the_keys_with_its_prefix(folder: str, key: str) -> None:
    assert (folder_of(folder + "/") in path_of(key).parents) == key.startswith(folder + "/")
    if possible(f"{folder}/{key}"):
        assert folder_of(folder + "/") in path_of(f"{folder}/{key}").parents


def test_an_ordinary_key_is_its_own_path() -> None:
    key = f"functions/{UUID}/code.zip"

    assert path_of(key) == PurePosixPath(key)
