"""Builds requests to the gateway, and checks its refusals."""

CODE = b"def handler(event, context):\n    return event\n"
FIELDS = {"function_name": "hello", "runtime": "python3.11"}
MULTIPART = {"content-type": "multipart/form-data; boundary=B"}


def upload(grid, fields=None, file=("hello.py", CODE), **more):
    """POST /upload as an HTTP client does."""
    return grid.http.post("/upload", data=FIELDS if fields is None else fields, files={"file": file}, **more)


def by_hand(*parts, end=b"--B--\r\n"):
    """Return a multipart body, byte for byte."""
    return b"".join(b"--B\r\n" + head + b"\r\n\r\n" + body + b"\r\n" for head, body in parts) + end


def field_part(name, value):
    """Return a text field for `by_hand`."""
    return f'Content-Disposition: form-data; name="{name}"'.encode(), value


def file_part(body=CODE, filename=b"hello.py"):
    """Return the file for `by_hand`."""
    return b'Content-Disposition: form-data; name="file"; filename="' + filename + b'"', body


def refused(answer, status, field):
    """Check that the answer is a problem with this field, or none. Return its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body.get("field") == field, body
    assert (field or "") in body["detail"]
    return body
