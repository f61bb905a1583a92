"""The function that every arm runs: it returns its event. As a program it does the same with its first argument."""


def handler(event, context):  # noqa: ANN001, ANN201, ARG001 - what a newcomer would write
    return event


if __name__ == "__main__":
    import json
    import sys

    print(json.dumps(handler(json.loads(sys.argv[1]), None)))
