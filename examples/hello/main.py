"""The smallest function: `nanogrid upload examples/hello`, then `nanogrid run hello '{"name": "NanoGrid"}'`."""


def handler(event, context):
    name = event.get("name", "NanoGrid")
    return {"statusCode": 200, "body": f"Hello, {name}!"}
