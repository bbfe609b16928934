"""Tells schemathesis what the document cannot: what exists, and what depends on what was asked before."""

import random
import re
from urllib.parse import parse_qsl, urlsplit

import schemathesis
from schemathesis import GenerationMode
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase
from schemathesis.openapi.checks import RejectedPositiveData

# How often a valid request is pointed at something that exists; as generated it seldom is.
REAL = 0.8
# How many of a kind, the oldest, are never deleted on purpose.
KEPT = 5
# A token that no application has.
UNKNOWN = "0" * 32

dice = random.Random(20261121)
# The path parameters of what was created and not deleted since, oldest first, by their names.
living = {}
# The path parameters and the query of the next page of a list, by operation.
next_pages = {}
# How many idempotency keys were made.
keys = 0


@schemathesis.hook
def before_call(context, case, kwargs):
    """Puts what exists into a request that was made to be valid."""
    if case.meta is None:
        return
    stateful = case.meta.phase.name == TestPhase.STATEFUL
    if is_valid(case, ParameterLocation.HEADER) and "Idempotency-Key" in case.headers:
        # A replay answers what may be deleted by now, which would look like a lost creation.
        if stateful or dice.random() < REAL:
            case.headers["Idempotency-Key"] = new_key(case.headers["Idempotency-Key"])
    if stateful:
        # This phase follows the tokens and numbers of its own answers.
        return
    if is_valid(case, ParameterLocation.PATH) and "token" in case.path_parameters:
        there = living.get(frozenset(case.path_parameters), [])
        if case.method == "DELETE":
            there = there[KEPT:]
        if there and dice.random() < REAL:
            case.path_parameters = dice.choice(there)
        elif case.method == "DELETE":
            case.path_parameters = {**case.path_parameters, "token": UNKNOWN}
    if is_valid(case, ParameterLocation.QUERY) and "cursor" in case.query:
        page = next_pages.get(case.operation.label)
        if page and dice.random() < REAL:
            case.path_parameters, query = page
            case.query = {**case.query, **query}
        elif dice.random() < REAL:
            case.query = {name: case.query[name] for name in case.query if name != "cursor"}


@schemathesis.hook
def after_call(context, case, response):
    """Notes what exists."""
    if response.status_code == 201 and "idempotency-replayed" not in response.headers:
        created = parameters(response.headers["location"][0])
        living.setdefault(frozenset(created), []).append(created)
    if response.status_code == 204 and case.method == "DELETE":
        gone = parameters(case.formatted_path).items()
        for names, there in living.items():
            living[names] = [one for one in there if not gone <= one.items()]
    if response.status_code == 200 and case.method == "GET":
        page = response.json() if "json" in response.headers["content-type"][0] else {}
        if address := page.get("next"):
            query = dict(parse_qsl(urlsplit(address).query))
            known = {name: query[name] for name in ("query", "cursor") if name in query}
            next_pages[case.operation.label] = (case.path_parameters, known)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Drops what is no failure, because the contract says so and the document has no words for it."""
    searches_list = case.operation.definition.raw["operationId"] == "listMessages" and (
        "query" in case.query
    )
    if isinstance(failure, RejectedPositiveData) and response.status_code == 422:
        problem = response.json()
        faults = {fault["field"] for fault in problem["errors"]}
        # A made-up cursor is none, and a key is good for one request only.
        allowed = {"cursor"}
        if problem["code"] == "idempotency_key_reused":
            allowed.add("Idempotency-Key")
        # With `query` the list of messages is a search, whose pages have a smaller maximum, …
        if searches_list:
            allowed.add("limit")
        return not faults <= allowed
    if isinstance(failure, AcceptedNegativeData) and searches_list:
        # … and ignores the parameters of lists.
        told = re.search(r"parameters? (.+) in query", failure.message)
        wrong = set(re.findall(r"`([^`]+)`", told[1])) if told else {"something else"}
        return not wrong <= {"after", "before", "order"}
    return True


def parameters(path):
    """Answers what the path parameters are in the path of an application, a chat or a message."""
    names = ("token", "chat", "message")
    values = path.strip("/").split("/")[3::2]
    return {
        name: value if name == "token" else int(value)
        for name, value in zip(names, values, strict=False)
    }


def new_key(key):
    """Makes a key that was not used before."""
    global keys
    keys += 1
    return f"{keys}-{key}"[:255]


def is_valid(case, location):
    """Tells whether a part of the request is there and was made to be valid."""
    part = case.meta.components.get(location)
    return part is not None and part.mode == GenerationMode.POSITIVE
