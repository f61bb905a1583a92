"""The handler as functions-framework wants it."""

from handler import handler


def main(request):  # noqa: ANN001, ANN201 - as its documentation has it
    return handler(request.get_json(), None)
