"""Uploads the examples to the grid at the given URL, calls them over REST and prints the answers."""

import base64
import io
import os
import statistics
import struct
import sys
import time
import zipfile
import zlib
from pathlib import Path

import httpx

HERE = Path(__file__).parent
WARM_CALLS = 50


def main(url):
    key = os.environ.get("NANOGRID_API_KEY")
    headers = {"X-API-Key": key} if key else {}
    with httpx.Client(base_url=url, timeout=300, headers=headers, trust_env=False) as api:
        hello(api)
        later(api)
        failing(api)
        image_processor(api)
        summarizer(api)
    print("\nthe demo is done")


def hello(api):
    say("hello: upload, run, result")
    function_id = upload(api, "hello", bundle(HERE / "hello"))
    first_ms, job = run(api, function_id, {})
    check(job["result"]["body"] == "Hello, NanoGrid!", job)
    print(f"  result {job['result']}")
    print(f"  first call {first_ms:.1f} ms over REST, {job['execution_time_ms']:.2f} ms of it in the sandbox")
    times = sorted(run(api, function_id, {"name": "again"})[0] for _ in range(WARM_CALLS))
    print(f"  {WARM_CALLS} warm calls: median {statistics.median(times):.2f} ms, slowest {times[-1]:.2f} ms")


def later(api):
    say("hello, asynchronously: submit, poll")
    function_id = upload(api, "later", bundle(HERE / "hello"))
    began = time.perf_counter()
    answer = api.post(
        "/run", json={"function_id": function_id, "payload": {"name": "later"}}, headers={"X-Async": "true"}
    )
    check(answer.status_code == 202, answer.text)
    job = answer.json()
    print(f"  {job['job_id']} {job['status']} after {passed_ms(began):.1f} ms")
    while job["status"] in ("pending", "running"):
        time.sleep(0.01)
        job = get(api, f"/status/{job['job_id']}")
    check(job["result"]["body"] == "Hello, later!", job)
    print(f"  {job['job_id']} {job['status']} after {passed_ms(began):.1f} ms: {job['result']['body']}")


def failing(api):
    say("a function that fails: its error is data")
    source = "def handler(event, context):\n    return 1 / event['by']\n"
    _, job = run(api, upload(api, "failing", ("failing.py", source.encode())), {"by": 0})
    check(job["status"] == "failed" and job["error"]["type"] == "HandlerError", job)
    print(f"  {job['status']}: {job['error']['type']}: {job['error']['message']}")


def image_processor(api):
    say("image-processor: a picture in, a smaller one out, as a URL")
    picture = sample_png(640, 400)
    function_id = upload(api, "image-processor", bundle(HERE / "image-processor"))
    event = {"image": base64.b64encode(picture).decode(), "width": 160, "height": 100}
    took_ms, job = run(api, function_id, event)
    if job["status"] == "failed" and "PIL" in job["error"]["message"]:
        print(f"  not shown: {job['error']['message']} (sandboxes without images have no pillow)")
        return
    check(job["status"] == "completed", job)
    (url,) = job["output_files"]
    began = time.perf_counter()
    fetched = httpx.get(httpx.URL(str(api.base_url)).join(url), timeout=30, trust_env=False).raise_for_status().content
    print(f"  {job['stdout'].strip()} in {took_ms:.1f} ms, peak {job['peak_memory_bytes'] / 2**20:.0f} MiB")
    print(f"  {url}\n  fetched {len(fetched)} bytes without a key in {passed_ms(began):.1f} ms")
    check(struct.unpack(">II", fetched[16:24]) == (160, 100), "the PNG has another size")
    if tip := job.get("optimization_tip"):
        print(f"  {tip}")


def summarizer(api):
    say("summarizer: asks the AI node")
    if not os.environ.get("AI_ENDPOINT"):
        print("  not shown: AI_ENDPOINT names no AI node (AI_ENDPOINT=http://127.0.0.1:11434 make demo)")
        return
    text = "NanoGrid runs functions on your own machines. You upload code, call it over REST, and get the result back."
    took_ms, job = run(api, upload(api, "summarizer", bundle(HERE / "summarizer")), {"text": text, "sentences": 1})
    if job["status"] == "failed":
        print(f"  not shown: {job['error']['message']}")
        return
    print(f"  {job['result']['model']} in {took_ms:.0f} ms: {job['result']['summary']}")


def upload(api, name, file):
    began = time.perf_counter()
    answer = api.post("/upload", data={"function_name": name, "runtime": "python"}, files={"file": file})
    check(answer.status_code == 201, answer.text)
    print(f"  uploaded {name} in {passed_ms(began):.1f} ms: {answer.json()['function_id']}")
    return answer.json()["function_id"]


def run(api, function_id, payload):
    began = time.perf_counter()
    answer = api.post("/run", json={"function_id": function_id, "payload": payload})
    took_ms = passed_ms(began)
    check(answer.status_code == 200, answer.text)
    return took_ms, answer.json()


def get(api, path):
    answer = api.get(path)
    check(answer.status_code == 200, answer.text)
    return answer.json()


def bundle(folder):
    """Zip a folder for an upload. Return its name and bytes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        for file in sorted(folder.glob("*.py")):
            target.write(file, file.name)
    return f"{folder.name}.zip", packed.getvalue()


def sample_png(width, height):
    """Return a colour gradient as a PNG."""
    rows = b"".join(
        b"\0" + bytes(value for x in range(width) for value in (x * 255 // width, y * 255 // height, 128))
        for y in range(height)
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def passed_ms(began):
    return (time.perf_counter() - began) * 1000


def say(title):
    print(f"\n{title}")


def check(true, what):
    if not true:
        sys.exit(f"demo: not what was expected: {what}")


if __name__ == "__main__":
    main(sys.argv[1])
