"""Everything that Steward answers, as its own OpenAPI document says, with a valid body for each operation.

A new command or query is in the document as soon as it is in its table, so whatever is made from here knows it."""

import contextlib
import dataclasses
import http.client
import json
import subprocess
import urllib.parse

from steward_testkit.running import BINARY, Steward


@dataclasses.dataclass(frozen=True)
class Operation:
    """One row: how it is asked, and a body that is valid but for the rights of who sends it."""

    method: str
    path: str
    body: dict | None
    """For GET it is sent as the query string."""
    name: str
    """`key.issue`, `cost.report`; a face has its path."""
    is_command: bool
    is_face: bool
    is_form: bool = False

    def __str__(self):
        return f"{self.method} {self.name}"


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: dict
    text: str

    def json(self):
        return json.loads(self.text)


def document() -> dict:
    return json.loads(subprocess.run([BINARY, "docs", "openapi"], capture_output=True, check=True).stdout)


def operations(document: dict, values: dict) -> list[Operation]:
    """All of them. `values` gives what properties and path parameters of a name hold, where the schema cannot know: of all
    operations, as `role`, or of one, as `role.define role`; in its path only, as `role.define {tenant}`."""
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method not in ("get", "post", "put", "delete", "patch"):
                continue
            name = operation.get("operationId", path)
            own = {key.split(" ", 1)[1]: value for key, value in values.items() if key.startswith(f"{name.removesuffix('.get')} ")}
            held, place = values | own, path
            for part, value in held.items():
                in_path = held.get(f"{{{part}}}", value)
                place = place.replace(f"{{{part}}}", in_path) if isinstance(in_path, str) else place
            content = operation.get("requestBody", {}).get("content", {})
            form = content.get("multipart/form-data", {}).get("schema")
            schema = form or content.get("application/json", {}).get("schema")
            body = example(document, schema, held) if schema else asked(document, operation, held)
            if schema:
                body |= {field: value for field, value in own.items() if not field.startswith("{")}
            command = any(parameter.get("name") == "Idempotency-Key" for parameter in operation.get("parameters", []))
            found.append(Operation(method.upper(), place, body, name, command, not path.startswith("/api/"), form is not None))
    return found


def asked(document: dict, operation: dict, values: dict) -> dict:
    """The query parameters that are required."""
    parameters = [p for p in operation.get("parameters", []) if p.get("in") == "query" and p.get("required")]

    def value(parameter: dict):
        name, content = parameter["name"], parameter.get("content", {}).get("application/json")
        held = values.get(name) or example(document, (content or parameter)["schema"], values)
        return json.dumps(held) if content else held

    return {parameter["name"]: value(parameter) for parameter in parameters}


def example(document: dict, schema: dict, values: dict, name: str = ""):
    """The smallest value that the schema takes."""
    while "$ref" in schema:
        schema = {**document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], **{k: v for k, v in schema.items() if k != "$ref"}}
    if name in values:
        return values[name]
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return example(document, schema[choice][0], values)
    if schema.get("examples"):
        return schema["examples"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        return {field: example(document, properties.get(field, {}), values, field) for field in schema.get("required", [])}
    return {"array": [], "integer": schema.get("minimum", 0), "number": 0, "boolean": False}.get(kind, "x")


def form(fields: dict) -> tuple[str, str]:
    """A form with these fields, and its type. The field `file` is a file."""
    named = {name: f'"{name}"; filename="x"' if name == "file" else f'"{name}"' for name in fields}
    parts = [f"--red\r\ncontent-disposition: form-data; name={named[name]}\r\n\r\n{value}\r\n" for name, value in fields.items()]
    return "".join(parts) + "--red--\r\n", "multipart/form-data; boundary=red"


def send(steward: Steward, operation: Operation, key: str | None, source: str = "127.0.0.1") -> Answer:
    """Sends one from the address `source`, and returns whatever was answered."""
    path, content, headers = operation.path, None, {}
    if operation.method == "GET":
        path += "?" + urllib.parse.urlencode(operation.body) if operation.body else ""
    elif operation.is_form:
        content, headers["content-type"] = form(operation.body)
    elif operation.body is not None:
        content, headers["content-type"] = json.dumps(operation.body), "application/json"
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", steward.gateway_port, 30, source_address=(source, 0))) as client:
        client.request(operation.method, path, content, headers)
        reply = client.getresponse()
        return Answer(reply.status, dict(reply.headers), reply.read().decode())
