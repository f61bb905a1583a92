"""Tells the jobs apart that may share sandboxes: the same owner's, of the same code, prepared in the same way."""

import hashlib

from nanogrid.v1.resources_pb2 import Function


def identify(function: Function, inline_code: bytes = b"") -> str:
    """Digest all that a sandbox is specialised with, and whose it is.

    Two functions of one id, the first of which was deleted, differ here. So does a message put on the queue by hand
    that asks for other code. Neither may leave its code in a sandbox that the other's next call finds warm.
    """
    same = Function(
        function_id=function.function_id,
        owner=function.owner,
        runtime=function.runtime,
        handler=function.handler,
        s3_key=function.s3_key,
        code_sha256=function.code_sha256,
        env=function.env,
        mode=function.mode,
        egress=function.egress,
    )
    digest = hashlib.sha256(same.SerializeToString(deterministic=True))
    digest.update(inline_code)
    return digest.hexdigest()
