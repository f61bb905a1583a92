"""Python code written for AWS Lambda has its root logger and its context, as AWS's own library expects them."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from support.sandboxes import Bench, Called

LOG = "import logging\n"
NAMED = "logger = logging.getLogger('app')\n"
INFO = "logging.getLogger().setLevel(logging.INFO)\n"
SAYS = "def handler(event, context): logging.{}\n"
LAMBDA_LINE = re.compile(r"\[([A-Z]+)\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t(\S*)\t(.*)\n")


@pytest.mark.parametrize("fresh", [False, True])
async def test_a_line_of_the_root_logger_has_lambdas_form_and_its_jobs_id(script_bench: Bench, *, fresh: bool) -> None:
    loaded = await script_bench.load(
        LOG + INFO + "logging.info('loading')\n" + SAYS.format("info('n is %d', event)"), fresh=fresh
    )

    printed = [(await loaded.call(number, job_id=f"job-{number}")).printed.err for number in (1, 2)]

    assert LAMBDA_LINE.fullmatch(loaded.printed.err).groups() == ("INFO", "", "loading")
    assert LAMBDA_LINE.fullmatch(printed[0]).groups() == ("INFO", "job-1", "n is 1")
    assert LAMBDA_LINE.fullmatch(printed[1]).groups() == ("INFO", "job-2", "n is 2")


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        (SAYS.format("info('x')"), 0),  # WARNING is the root logger's level, there and here
        (SAYS.format("warning('x')"), 1),
        (SAYS.format("exception('x')"), 2),
        (INFO + SAYS.format("info('x')"), 1),
        (INFO + SAYS.format("getLogger('any').info('x')"), 1),
        (INFO + SAYS.format("debug('x')"), 0),
        (NAMED + "logger.setLevel('DEBUG')\n" + SAYS.format("getLogger('app.part').debug('x')"), 1),
        (NAMED + "logger.addHandler(logging.NullHandler())\n" + SAYS.format("getLogger('app').error('x')"), 1),
        ("logging.getLogger().handlers[0].setFormatter(logging.Formatter('%(aws_request_id)s'))\n"
         + SAYS.format("error('x')"), 1),
    ],
)  # fmt: skip
async def test_what_is_logged_without_any_set_up_is_printed(script_bench: Bench, code: str, lines: int) -> None:
    called = await (await script_bench.load(LOG + code)).call()

    assert called.result.error is None
    assert len(called.printed.err.splitlines()) == lines


BASIC = "logging.basicConfig(level='INFO', format='mine %(message)s'{})"
STREAM = "h = logging.StreamHandler()\n"
TO_ROOT = "logging.root.addHandler(h)\nlogging.root.setLevel('INFO')"
OF_LOGGER = "logger.addHandler(h)\nlogger.setLevel('INFO')"
CONFIG = """
import logging.config
logging.config.dictConfig({{
    "version": 1, "formatters": {{"f": {{"format": "mine %(message)s"}}}},
    "handlers": {{"h": {{"class": "logging.StreamHandler", "formatter": "f"}}}},
    {}: {{"handlers": ["h"], "level": "INFO"}}{}
}})
"""
QUEUE = """
import logging.handlers, queue
lines, h = queue.SimpleQueue(), logging.StreamHandler()
listener = logging.handlers.QueueListener(lines, h)
listener.start()
logging.root.addHandler(logging.handlers.QueueHandler(lines))
logging.root.setLevel("INFO")
"""
OWN = """
class Mine(logging.Handler):
    def emit(self, record): print("mine", record.getMessage())
h = Mine()
"""
# Every way to set logging up: `h` is a handler that still wants its format.
SET_UP = {
    "basicConfig": BASIC.format(""),
    "basicConfig, imported": "from logging import basicConfig\n" + BASIC.format("")[len("logging.") :],
    "basicConfig to stdout": "import sys\n" + BASIC.format(", stream=sys.stdout"),
    "basicConfig, forced": BASIC.format(", force=True"),
    "basicConfig, handlers": STREAM + BASIC.format(", handlers=[h]"),
    "a handler of the root": STREAM + TO_ROOT,
    "the root emptied": "logging.root.handlers.clear()\n" + STREAM + TO_ROOT,
    "a handler of the logger": NAMED + STREAM + OF_LOGGER,
    "not propagating": NAMED + STREAM + OF_LOGGER + "\nlogger.propagate = False",
    "to stdout": "import sys\nh = logging.StreamHandler(sys.stdout)\n" + TO_ROOT,
    "to /dev/stderr": "h = logging.FileHandler('/dev/stderr')\n" + TO_ROOT,
    "one of its own": OWN + TO_ROOT,
    "dictConfig": CONFIG.format("'loggers': {'app'", "}"),
    "dictConfig of the root": CONFIG.format("'root'", ""),
    "a queue": QUEUE,
    "a buffer": STREAM
    + "import logging.handlers\nm = logging.handlers.MemoryHandler(1, target=h)\n"
    + TO_ROOT.replace("(h)", "(m)"),
}


@pytest.mark.parametrize("way", SET_UP)
async def test_a_function_that_sets_logging_up_has_its_way_and_every_line_once(script_bench: Bench, way: str) -> None:
    code = f"""
import logging
{SET_UP[way]}
if "h" in globals():
    h.setFormatter(logging.Formatter("mine %(message)s"))
def handler(event, context):
    logging.getLogger("app.part").info("x")
    if "listener" in globals():
        listener.stop()
"""
    called = await (await script_bench.load(code)).call()

    assert called.result.error is None, called.result.error
    assert called.printed.out + called.printed.err == "mine x\n"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "logging.NullHandler()",
        "logging.FileHandler('/tmp/log')",
        "logging.StreamHandler(io.StringIO())",
        "logging.StreamHandler(open('/tmp/log', 'w'))",
        "logging.handlers.SysLogHandler(('127.0.0.1', 514))",
    ],
)
async def test_a_handler_that_writes_elsewhere_takes_no_line_away(script_bench: Bench, elsewhere: str) -> None:
    code = f"import io, logging, logging.handlers\nlogging.getLogger().addHandler({elsewhere})\n"

    called = await (await script_bench.load(code + SAYS.format("warning('x')"))).call()

    assert LAMBDA_LINE.fullmatch(called.printed.err)


async def test_the_level_of_the_root_logger_is_lambdas_variable(script_bench: Bench) -> None:
    loaded = await script_bench.load(LOG + SAYS.format("debug('x')"), env={"AWS_LAMBDA_LOG_LEVEL": "DEBUG"})

    assert LAMBDA_LINE.fullmatch((await loaded.call()).printed.err)


async def test_a_program_logs_as_any_script_does(script_bench: Bench) -> None:
    loaded = await script_bench.load("import logging\nlogging.warning('a')\nlogging.getLogger('x').error('b')\n")

    assert (await loaded.call()).printed.err == "WARNING:root:a\nERROR:x:b\n"


async def test_a_module_called_logging_is_the_functions_own(script_bench: Bench) -> None:
    files = {
        "logging.py": "def info(text): return text\n",
        "main.py": LOG + "def handler(e, c): return logging.info(e)\n",
    }

    assert (await (await script_bench.load(files)).call("mine")).value == "mine"


CONTEXT = """
def handler(event, context):
    arn = context.invoked_function_arn.split(":")
    return {
        "name": context.function_name, "version": context.function_version, "arn": arn, "id": context.aws_request_id,
        "memory": context.memory_limit_in_mb, "group": context.log_group_name, "stream": context.log_stream_name,
        "identity": [context.identity.cognito_identity_id, context.identity.cognito_identity_pool_id],
        "client": context.client_context, "tenant": context.tenant_id,
        "left": context.get_remaining_time_in_millis(), "log": context.log("logged\\n"),
    }
"""


@pytest.mark.parametrize("fresh", [False, True])
async def test_the_context_has_what_lambdas_has(script_bench: Bench, *, fresh: bool) -> None:
    loaded = await script_bench.load(CONTEXT, memory_mb=192, fresh=fresh, env={"AWS_REGION": "eu-west-1"})

    called = await loaded.call(timeout_s=30, job_id="job-5")
    value = called.value

    assert 20_000 < value.pop("left") <= 30_000
    assert value == {
        "name": "function-1",
        "version": "$LATEST",
        "arn": ["arn", "aws", "lambda", "eu-west-1", "000000000000", "function", "function-1"],
        "id": "job-5",
        "memory": 192,
        "group": "/nanogrid/functions/function-1",
        "stream": "job-5",
        "identity": [None, None],
        "client": None,
        "tenant": None,
        "log": None,
    }
    assert called.printed.out == "logged\n"


POWERTOOLS = """
from aws_lambda_powertools import Logger, Metrics, Tracer, single_metric
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes import event_source, SQSEvent
from aws_lambda_powertools.utilities.typing import LambdaContext

logger, tracer = Logger(service="orders"), Tracer(service="orders")
metrics = Metrics(namespace="Orders", service="orders")
app = APIGatewayRestResolver()
processor = BatchProcessor(event_type=EventType.SQS)

@app.get("/orders/<number>")
@tracer.capture_method
def get_order(number: str):
    metrics.add_metric(name="Read", unit=MetricUnit.Count, value=1)
    logger.info("reading", extra={"number": number})
    return {"number": number, "remaining": app.lambda_context.get_remaining_time_in_millis() > 0}

def take(record):
    if record.body == "bad":
        raise ValueError("bad")

@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_REST, log_event=True)
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event: dict, context: LambdaContext) -> dict:
    if "Records" in event:
        return process_partial_response(event=event, record_handler=take, processor=processor, context=context)
    return app.resolve(event, context)
"""
REQUEST = {
    "httpMethod": "GET", "path": "/orders/7", "resource": "/orders/{number}", "headers": {}, "body": None,
    "queryStringParameters": None, "multiValueQueryStringParameters": None, "multiValueHeaders": {},
    "requestContext": {"requestId": "request-1", "resourcePath": "/orders/{number}", "httpMethod": "GET"},
}  # fmt: skip


@pytest.fixture(scope="module")
def powertools() -> dict[str, str | bytes]:
    """AWS's library and its dependencies, as pip puts them beside a function."""
    names = ("aws_lambda_powertools", "aws_xray_sdk", "jmespath", "typing_extensions", "wrapt")
    found = [importlib.util.find_spec(name) for name in names]
    files: dict[str, str | bytes] = {"main.py": POWERTOOLS}
    for origin in [Path(spec.origin) for spec in found if spec is not None and spec.origin is not None]:
        is_package = origin.name == "__init__.py"
        for file in origin.parent.rglob("*") if is_package else [origin]:
            if file.suffix in {".py", ".json"}:
                files[str(file.relative_to(origin.parents[is_package]))] = file.read_bytes()
    return files


def log_lines(called: Called) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (called.printed.out + called.printed.err).splitlines()]


@pytest.mark.parametrize("fresh", [False, True])
async def test_powertools_for_lambda_run_unchanged(
    docker_bench: Bench, powertools: dict[str, str | bytes], *, fresh: bool
) -> None:
    loaded = await docker_bench.load(powertools, fresh=fresh)

    first, second = [await loaded.call(REQUEST, job_id=f"job-{number}") for number in (1, 2)]

    for called in (first, second):
        assert called.value["statusCode"] == 200
        assert json.loads(called.value["body"]) == {"number": "7", "remaining": True}
    [event, reading, *metrics] = log_lines(first)
    assert event["message"] == REQUEST
    assert (reading["message"], reading["number"], reading["correlation_id"]) == ("reading", "7", "request-1")
    assert (reading["function_request_id"], reading["function_name"]) == ("job-1", "function-1")
    assert reading["function_arn"] == "arn:aws:lambda:us-east-1:000000000000:function:function-1"
    assert {name for one in metrics for name in one} >= {"ColdStart", "Read", "_aws"}
    assert [line["cold_start"] for line in log_lines(second) if "cold_start" in line] == [fresh, fresh]


async def test_powertools_process_a_batch_in_parts(docker_bench: Bench, powertools: dict[str, str | bytes]) -> None:
    records = [{"messageId": str(n), "body": body, "eventSource": "aws:sqs"} for n, body in enumerate(["a", "bad"])]
    loaded = await docker_bench.load(powertools)

    called = await loaded.call({"Records": records})

    assert called.value == {"batchItemFailures": [{"itemIdentifier": "1"}]}
