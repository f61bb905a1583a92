"""The rules of functions."""

import unicodedata
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanogrid.defaults import fill_defaults
from nanogrid.errors import ConflictError, InvalidFieldError, NotFoundError
from nanogrid.limits import MAX_ENV_BYTES
from nanogrid.v1.resources_pb2 import SandboxMode
from services.registry.catalog import Catalog, check
from services.registry.store import open_store
from support.callers import calling
from support.functions import a_function


@pytest.fixture
async def catalog(tmp_path):
    async with open_store(f"sqlite://{tmp_path}/registry.db") as store:
        yield Catalog(store)


def refused(**fields):
    with pytest.raises(InvalidFieldError) as caught:
        check(fill_defaults(a_function(**fields)))
    return caught.value


def test_defaults_fill_what_was_not_chosen():
    function = fill_defaults(a_function())

    assert (function.timeout_s, function.memory_mb, function.mode) == (300, 512, SandboxMode.SANDBOX_MODE_REUSE)


def test_a_timeout_of_zero_is_a_choice():
    assert fill_defaults(a_function(timeout_s=0)).timeout_s == 0


async def test_defaults_leave_the_request_alone(catalog):
    wanted = a_function()

    await catalog.create(wanted)

    assert not wanted.HasField("timeout_s")


BAD = [
    ("function_id", "", "1 to 128 characters"),
    ("function_id", "..", "1 to 128 characters"),
    ("function_id", "a/b", "1 to 128 characters"),
    ("function_id", "upload#x", "1 to 128 characters"),
    ("function_id", "안녕", "1 to 128 characters"),
    ("function_id", "x" * 129, "1 to 128 characters"),
    ("function_id", "{123e4567-e89b-42d3-a456-426614174000}", "1 to 128 characters"),
    ("function_id", "123E4567-E89B-42D3-A456-426614174000", "canonical form 123e4567-e89b"),
    ("function_id", "123e4567e89b42d3a456426614174000", "canonical form 123e4567-e89b"),
    ("function_name", "", "1 to 128"),
    ("function_name", "x" * 129, "129"),
    ("function_name", "a\nb", "control"),
    ("function_name", "a\0b", "control"),
    ("function_name", " hello", "blank"),
    ("runtime", "", "python3.11"),
    ("runtime", "cobol", "python3.11"),
    ("runtime", "python", "python3.11"),
    ("handler", "", "module.function"),
    ("handler", "handler", "module.function"),
    ("handler", "../etc/passwd.handler", "module.function"),
    ("handler", "/etc/passwd.handler", "module.function"),
    ("handler", "a//b.handler", "module.function"),
    ("handler", "main.handler\n", "module.function"),
    ("handler", "main.1x", "module.function"),
    ("handler", "main..handler", "module.function"),
    ("handler", "x" * 300 + ".handler", "308"),
    ("s3_key", "", "1 to 1024"),
    ("s3_key", "/x", "leading /"),
    ("s3_key", "a/../b", ".."),
    ("s3_key", "a//b", "//"),
    ("s3_key", "a\\..\\b", "relative key"),
    ("s3_key", "가" * 400, "1200 bytes"),
    ("code_sha256", "abc", "64"),
    ("code_size_bytes", -1, "negative"),
    ("timeout_s", -1, "0 to 604800 (7 days"),
    ("timeout_s", 604_801, "604801"),
    ("memory_mb", 63, "64 to 10240"),
    ("memory_mb", 10_241, "10241"),
    ("memory_mb", -512, "64 to 10240"),
    ("max_concurrency", -1, "0 to 1000"),
    ("max_concurrency", 1001, "1001"),
    ("mode", 17, "REUSE or FRESH"),
    ("egress", True, "egress is not offered by this grid"),
    ("env", {"1A": "x"}, "no digit first"),
    ("env", {"A B": "x"}, "letters, digits and _"),
    ("env", {"": "x"}, "letters, digits and _"),
    ("env", {"Ä": "x"}, "letters, digits and _"),
    ("env", {"HANDLER": "x"}, "set by NanoGrid"),
    ("env", {"PAYLOAD_FILE": "x"}, "set by NanoGrid"),
    ("env", {"A": "x\0y"}, "NUL"),
]


@pytest.mark.parametrize(
    ("runtime", "handler"),
    [
        ("cpp", "main.run"),
        ("cpp", "main.go"),
        ("cpp", ".cpp"),
        ("cpp", "../main.cpp"),
        ("cpp", "/main.cpp"),
        ("cpp", "a b.cpp"),
        ("cpp", "main.cpp\n"),
        ("go", "main.cpp"),
        ("go", "go"),
    ],
)
def test_the_handler_of_a_compiled_runtime_is_its_source_file(runtime, handler):
    refusal = refused(runtime=runtime, handler=handler)

    assert refusal.metadata["field"] == "handler"
    assert f"main.{runtime}" in refusal.message


@pytest.mark.parametrize(("field", "value", "cure"), BAD)
def test_a_field_that_will_not_do_is_named_with_the_cure(field, value, cure):
    # The id is spelt out because the helper would replace an empty one.
    function = a_function()
    if isinstance(value, dict):
        function.env.update(value)
    else:
        setattr(function, field, value)

    with pytest.raises(InvalidFieldError) as caught:
        check(fill_defaults(function))

    assert caught.value.metadata["field"] == field
    assert cure in caught.value.message


@pytest.mark.parametrize(
    "fields",
    [
        {"function_id": "hello-python"},
        {"function_id": "Team_1:hello.v2"},
        {"function_name": "안녕하세요 함수"},
        {"function_name": "x" * 128},
        {"handler": "folder/sub-folder/app.handler"},
        {"handler": "package.module.function"},
        {"handler": "my-app.main"},
        {"runtime": "cpp", "handler": "main.cpp"},
        {"runtime": "cpp", "handler": "src/my-tool.test.cpp"},
        {"runtime": "go", "handler": "인사.go"},
        {"handler": "모듈.함수"},
        {"timeout_s": 604_800},
        {"memory_mb": 64},
        {"memory_mb": 10_240},
        {"s3_key": "shared/코드.zip"},
        {"env": {"_A1": "", "B": "줄\n바꿈"}},
        {"max_concurrency": 1000, "mode": SandboxMode.SANDBOX_MODE_FRESH, "auto_memory": True},
    ],
)
def test_what_is_allowed_passes(fields):
    check(fill_defaults(a_function(**fields)))


def test_an_environment_at_the_limit_passes_and_one_byte_more_is_refused_with_both_numbers():
    check(fill_defaults(a_function(env={"A": "x" * (MAX_ENV_BYTES - 3)})))

    error = refused(env={"A": "x" * (MAX_ENV_BYTES - 2)})

    assert str(MAX_ENV_BYTES) in error.message
    assert str(MAX_ENV_BYTES + 1) in error.message


@given(st.uuids())
def test_every_canonical_uuid_is_an_id(function_id: uuid.UUID):
    check(fill_defaults(a_function(function_id=str(function_id))))


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=42))  # composed, one may become three
def test_names_of_any_script_are_names(name):
    check(fill_defaults(a_function(function_name=name)))


@given(st.text(max_size=40))
def test_any_handler_either_passes_or_is_refused_by_name_and_never_leaves_the_bundle(handler):
    named = ""
    try:
        check(fill_defaults(a_function(handler=handler)))
    except InvalidFieldError as error:
        named = error.metadata["field"]

    folders = handler.rpartition(".")[0].split("/")
    assert named == "handler" or (all(folders) and ".." not in handler)


async def test_the_creator_owns_the_function_whatever_the_request_says(catalog):
    with calling("kim"):
        created = await catalog.create(a_function(owner="lee"))

    assert created.owner == "kim"
    assert created.HasField("created_at")


async def test_what_the_grid_itself_creates_is_local(catalog):
    with calling(None):
        assert (await catalog.create(a_function())).owner == "local"


async def test_another_owners_function_does_not_exist(catalog):
    with calling("kim"):
        function = await catalog.create(a_function())

    with calling("eve"):
        for attempt in (catalog.get, catalog.delete):
            with pytest.raises(NotFoundError):
                await attempt(function.function_id)
        with pytest.raises(NotFoundError):
            await catalog.newest("hello")
        assert await catalog.page(0, "") == ([], "")
    with calling("kim"):
        assert await catalog.get(function.function_id) == function


@pytest.mark.parametrize("form", ["NFC", "NFD"])
async def test_a_name_is_found_however_its_letters_are_composed(catalog, form):
    name, handler = (unicodedata.normalize("NFD", text) for text in ("인사 é", "모듈/é.함수"))
    with calling("kim"):
        created = await catalog.create(a_function(function_name=name, handler=handler))

        found = await catalog.newest(unicodedata.normalize(form, name))

    assert found == created
    assert (found.function_name, found.handler) == ("인사 é", "모듈/é.함수")


async def test_the_grid_sees_everybodys_functions(catalog):
    for owner in ("kim", "lee"):
        with calling(owner):
            await catalog.create(a_function())

    with calling(None):
        functions, _ = await catalog.page(0, "")

    assert {one.owner for one in functions} == {"kim", "lee"}


async def test_another_owners_upload_cannot_be_registered_as_ones_own(catalog):
    with calling("kim"):
        victim = await catalog.create(a_function())

    with calling("eve"), pytest.raises(InvalidFieldError, match="s3_key"):
        await catalog.create(a_function(s3_key=victim.s3_key))


async def test_an_upload_of_ones_own_can_be_registered_again(catalog):
    with calling("kim"):
        first = await catalog.create(a_function())
        second = await catalog.create(a_function(s3_key=first.s3_key))

    assert second.s3_key == first.s3_key


async def test_code_in_a_folder_put_there_by_hand_is_its_functions_and_of_its_owners_other_ones(catalog):
    with calling("kim"):
        first = await catalog.create(a_function(function_id="hello", s3_key="functions/hello/v1.zip"))
        second = await catalog.create(a_function(function_id="hello-2", s3_key="functions/hello/v2.zip"))

    assert (first.function_id, second.s3_key) == ("hello", "functions/hello/v2.zip")
    with calling("eve"), pytest.raises(InvalidFieldError, match="s3_key"):
        await catalog.create(a_function(function_id="mine", s3_key="functions/hello/v1.zip"))


async def test_an_id_that_another_has_is_neither_taken_nor_overwritten(catalog):
    with calling("kim"):
        await catalog.create(a_function(function_id="hello", s3_key="functions/hello/v1.zip"))

    with calling("eve"), pytest.raises(ConflictError):
        await catalog.create(a_function(function_id="hello", s3_key="shared/other.zip"))

    with calling("kim"):
        assert (await catalog.get("hello")).s3_key == "functions/hello/v1.zip"


@pytest.mark.parametrize(
    "key",
    [
        "functions/x/code.zip",
        "functions/4f1c2d3e-5a6b-4c7d-8e9f-0a1b2c3d4e5f/code.zip",
        "functions/x.zip",
        "functions/123e4567-e89b-42d3-a456-426614174000/other.zip",
    ],
)
async def test_keys_among_the_uploads_that_are_nobodys_are_refused(catalog, key):
    with calling("kim"), pytest.raises(InvalidFieldError, match="s3_key"):
        await catalog.create(a_function(s3_key=key))


@pytest.mark.parametrize("size", [-1, 101])
async def test_page_sizes_beyond_the_limit_are_refused(catalog, size):
    with pytest.raises(InvalidFieldError, match="1 to 100"):
        await catalog.page(size, "")
