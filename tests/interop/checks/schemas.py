"""Sent bodies and configs, validated against `avatar-watch schema` by jsonschema from PyPI.

The folder of the first argument is the one that `record_news.py` and `receivers.py` wrote to.
"""

import json
import sys
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "lib"))
from ground import HERE, claim, command, end
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError


def validator(*arguments):
    printed = command("schema", "event", *arguments)
    schema = json.loads(printed.stdout)
    what = arguments[0] if arguments else "all types"
    try:
        Draft202012Validator.check_schema(schema)
        claim(f"the schema of {what} is one of 2020-12", printed.returncode == 0)
    except SchemaError as error:
        claim(f"the schema of {what} is one of 2020-12", False, error)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def mutants(body):
    """Variants of the body: each field removed, and each replaced by a list."""
    places = [(body, name) for name in body]
    places += [(body["data"], name) for name in body["data"]]
    if "avatar" in body["data"]:
        places += [(body["data"]["avatar"], name) for name in body["data"]["avatar"]]
    for parent, name in places:
        value = parent.pop(name)
        yield name, body
        parent[name] = []
        yield name, body
        parent[name] = value


def check_config():
    """The schema of the config, as an editor would use it."""
    schema = json.loads(command("schema", "config").stdout)
    Draft202012Validator.check_schema(schema)
    config = Draft202012Validator(schema)

    def problems(text):
        return [f"{error.json_path}: {error.message}" for error in config.iter_errors(text)]

    example = (HERE.parent.parent / "config.example.toml").read_text("utf-8")
    found = problems(tomllib.loads(example))
    claim("config.example.toml is valid by `schema config`", not found, found)
    good, bad = (tomllib.loads((HERE / "fixtures" / f"{name}.toml").read_text("utf-8"))
                 for name in ("good", "ten-mistakes"))
    claim("… and so is the valid config", not problems(good), problems(good))
    found = "\n".join(problems(bad))
    seen = all(word in found for word in ("apikey", "timeout", "nevr", "TRAINNG", "avatar.redy"))
    claim("… and it finds the mistakes that a schema can find", seen, found)


record = Path(sys.argv[1])
news = json.loads((record / "news.json").read_text("utf-8"))
texts = [kept["body"] for kept in news["requests"] + news["conditions"]["requests"]]
texts += json.loads((record / "receivers.json").read_text("utf-8"))
bodies = [json.loads(text) for text in texts]
names = command("schema", "event", "--list").stdout.split()
each, whole = {name: validator(name) for name in names}, validator()
kinds = {}
for body in bodies:
    kinds.setdefault(body["type"], []).append(body)
expected = {"avatar.ready", "avatar.training_failed", "avatar.refused", "avatar.status_changed",
            "avatar.missing", "test.ping"}
check_config()
claim("each expected type of event was sent", set(kinds) == expected, sorted(kinds))
for kind, sent in sorted(kinds.items()):
    problems = [f"{error.json_path}: {error.message}" for body in sent
                for error in each[kind].iter_errors(body)]
    claim(f"all {len(sent)} bodies of {kind} are valid by its schema", not problems, problems[:5])
    claim("… and by the schema of all types", all(whole.is_valid(body) for body in sent))
    strangers = [name for name in names if name != kind and each[name].is_valid(sent[0])]
    claim("… and by no other", not strangers, strangers)
    passed = [name for name, mutant in mutants(sent[0]) if each[kind].is_valid(mutant)]
    claim("… and a missing field or another type is found", not passed, passed)
end()
