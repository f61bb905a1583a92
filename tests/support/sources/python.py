"""Functions of the sandbox suite in Python. The tests say how each must behave."""

MAIN = "main.py"

VERSION = "import platform\ndef handler(event, context): return platform.python_version()\n"

IDENTITY = "def handler(event, context):\n    return event\n"

ECHO = "def handler(event, context):\n    return {'event': event, 'job': context.job_id}\n"

KOREAN = "def handler(event, context):\n    print(event['이름'])\n    return '안녕, ' + event['이름']\n"

ASYNC = """
import asyncio
async def handler(event, context):
    await asyncio.sleep(0.001)
    return event
"""

ENVIRONMENT = """
import os, subprocess
def handler(event, context):
    names = ["HANDLER", "JOB_ID", "PAYLOAD", "COLOUR", "AI_ENDPOINT"]
    child = subprocess.run(["sh", "-c", "printf %s,%s $JOB_ID $PAYLOAD"], capture_output=True, text=True).stdout
    with open(os.environ["PAYLOAD_FILE"]) as file:
        payload_file = file.read()
    return {"env": {name: os.environ[name] for name in names}, "file": payload_file, "child": child}
"""

LARGE_PAYLOAD = """
import os
def handler(event, context):
    return [len(event), os.environ["PAYLOAD"], os.path.getsize(os.environ["PAYLOAD_FILE"])]
"""

RAISES = "def deeper():\n    raise ValueError('no such colour')\ndef handler(event, context):\n    deeper()\n"
RAISED = "ValueError: no such colour"
RAISED_AT = 'File "/code/main.py", line 4, in handler'

RECURSES = "def handler(event, context):\n    return handler(event, context)\n"
RECURSED = "RecursionError"

ENDS = """
import os, sys
def handler(event, context):
    way, code = event
    {"exit": sys.exit, "at once": os._exit, "signal": lambda number: os.kill(os.getpid(), number)}[way](code)
"""

HANGS = """
import subprocess, time
def handler(event, context):
    subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], start_new_session=True)
    print("begun", flush=True)
    time.sleep(3600)
"""

REMAINING = "def handler(event, context):\n    return context.get_remaining_time_in_millis()\n"

INVALID = r"""
cyclic = []
cyclic.append(cyclic)
deep = []
for _ in range(5000):
    deep = [deep]
values = {
    "not a number": float("nan"), "infinite inside": {"a": [float("-inf")]}, "cyclic": cyclic, "too deep": deep,
    "half a character": "\ud800", "no type of JSON": object(), "no type of JSON inside": [b"bytes", {1, 2}],
}
def handler(event, context):
    return values[event]
"""

LONG = "def handler(event, context):\n    return 'x' * event\n"

PRINTS = """
def handler(event, context):
    for number in range(event):
        print(f"{number:062d}")
"""

STREAMS = """
import subprocess, sys
def handler(event, context):
    print("to out")
    print("to err", file=sys.stderr)
    subprocess.run(["sh", "-c", "echo child out; echo child err >&2"])
    sys.stdout.write("unfinished line")
"""

PRINTS_AND_EXITS = "import sys\ndef handler(event, context):\n    print('x' * event)\n    sys.exit(0)\n"

LOADING_PRINTS = "print('loading')\ndef handler(event, context): pass\n"

COUNTS = "count = 0\ndef handler(event, context):\n    global count\n    count += 1\n    return count\n"

RANDOM = "import random, uuid\ndef handler(event, context):\n    return [random.random(), str(uuid.uuid4())]\n"

LEAVES_A_CHILD = """
import os, subprocess
def handler(event, context):
    subprocess.Popen(["sleep", "3600"], start_new_session=True)
    return sorted(int(pid) for pid in os.listdir("/proc") if pid.isdigit())
"""

JUNK = """
import os, socket, stat
def handler(event, context):
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                socket.socket(fileno=os.dup(fd)).sendall(bytes(event))
        except OSError:
            pass
    return "done"
"""

CLOSES_EVERYTHING = "import os\ndef handler(event, context):\n    os.closerange(0, 100)\n    return 1\n"

DIES_LATER = """
import os, threading
def handler(event, context):
    threading.Timer(0.05, os._exit, [0]).start()
"""

LITTERS = """
import subprocess
def handler(event, context):
    open("/tmp/a", "w").write("x")
    open("/output/a", "w").write("x")
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
"""

SLEEPS = "import time\ndef handler(event, context):\n    print('begun')\n    time.sleep(1000)\n"

HOG = """
import subprocess, sys
def handler(event, context):
    if event.get("child"):
        return subprocess.run([sys.executable, "-c", f"bytearray({event['mb']} << 20)"], check=True).returncode
    return len(bytearray(event["mb"] << 20))
"""

HOARDS = "hoard = bytearray(200 << 20)\ndef handler(event, context): pass\n"

FORK_BOMB = """
import subprocess
def handler(event, context):
    children = []
    try:
        for _ in range(100):
            children.append(subprocess.Popen(["sleep", "60"]))
    except BlockingIOError:
        return len(children)
"""

WRITES = """
def attempt(path):
    try:
        with open(path, "w") as file:
            file.write("x")
    except OSError as error:
        return error.strerror
def handler(event, context):
    return {path: attempt(path) for path in event}
"""

FILLS = """
import errno
def handler(event, context):
    written = 0
    try:
        with open(event + "/large", "wb", buffering=0) as file:
            while True:
                written += file.write(bytes(1 << 20))
    except OSError as error:
        return [written >> 20, errno.errorcode[error.errno]]
"""

MESSES_UP = """
import os
def handler(event, context):
    os.symlink(event, "/output/link")
    os.symlink("/", "/output/root")
    os.makedirs("/output/closed/inner")
    os.chmod("/output/closed", 0)
    os.chdir("/output")
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
"""

WHO = "import os\ndef handler(event, context): return [os.getuid(), os.getgid(), os.getgroups()]\n"

TICKS = """
import threading, time
ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        time.sleep(0.001)
threading.Thread(target=tick, daemon=True).start()
def handler(event, context): return ticks
"""

FINDS = """
import subprocess
def handler(event, context):
    return subprocess.run(["find", *event], capture_output=True, text=True).stdout
"""

PROGRAM = """
import json, os, sys
if __name__ == "__main__":
    event = json.load(sys.stdin)
    assert json.loads(os.environ["PAYLOAD"]) == event
    print(os.environ["JOB_ID"], "works on", event)
    print(json.dumps({"doubled": event * 2}))
"""

PROGRAM_ENDS = """
import json, os, sys
print('so far')
way, code = json.load(sys.stdin)
sys.stdout.flush()
if way == "raise":
    raise ValueError("no")
{"exit": sys.exit, "at once": os._exit, "signal": lambda number: os.kill(os.getpid(), number)}[way](code)
"""

PROGRAM_PRINTS = "import json, sys\nprint('x' * json.load(sys.stdin))\nsys.exit(0)\n"

# Faults that a function's author must be told: code, handler, part of the message.
UNLOADABLE = {
    "no such function": ("def handler(e, c): pass", "main.hanlder", "module 'main' has no 'hanlder'"),
    "no such module": ("def handler(e, c): pass", "mian.handler", "no module 'mian'; the code has: main.py"),
    "no module at all": ("def handler(e, c): pass", "handler", "not of the form module.function"),
    "no function": ("handler = 4", "main.handler", "not a function but int"),
    "syntax": ("def handler(e, c)", "main.handler", "SyntaxError"),
    "a program's syntax": ("if:\n", "main.handler", "SyntaxError"),
    "a missing import": ("import nowhere\ndef handler(e, c): pass", "main.handler", "No module named 'nowhere'"),
    "it raises": ("1/0\ndef handler(e, c): pass", "main.handler", "ZeroDivisionError"),
    "it exits": ("import os\nos._exit(3)\ndef handler(e, c): pass", "main.handler", "status 3"),
}

IMPORT_RAISES = "import json\n1/0\ndef handler(e, c): pass\n"
IMPORT_RAISED_AT = 'File "/code/main.py", line 2'

PACKAGE = {
    "app/__init__.py": "",
    "app/views.py": "from app.rest import one\ndef work(event, context): return one()\n",
    "app/rest.py": "def one(): return 1\n",
}

SHADOWS = {
    "wire.py": "def mine(): return 'mine'\n",
    "main.py": "import wire\ndef handler(event, context): return wire.mine()\n",
}

READS = "def handler(event, context): return open('data/words.txt').read()\n"

LOADS_FOREVER = "while True: pass\ndef handler(event, context): pass\n"
