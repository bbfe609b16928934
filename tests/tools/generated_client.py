"""Does what a device and an operator do, with nothing but the client made of the document.

    python generated_client.py API-ADDRESS DOCUMENT

The generated package `chat_client` is found by PYTHONPATH, the admin key in CHAT_TEST_ADMIN_KEY.
"""

import json
import os
import pathlib
import re
import sys
import time

import chat_client
from chat_client import AuthenticatedClient, Client
from chat_client.api.admin import (
    get_rebuild,
    list_all_chats,
    list_all_messages,
    list_dead_letters,
    replay_dead_letter,
)
from chat_client.api.applications import (
    create_application,
    delete_application,
    get_application,
    list_applications,
    put_application,
    rename_application,
)
from chat_client.api.chats import (
    create_chat,
    delete_chat,
    get_chat,
    list_chats,
    put_chat,
    update_chat,
)
from chat_client.api.health import get_liveness, get_metrics, get_readiness
from chat_client.api.messages import (
    create_message,
    delete_message,
    get_message,
    list_messages,
    put_message,
    update_message,
)
from chat_client.api.search import post_search, search_messages
from chat_client.models import (
    ApplicationChange,
    ChatChange,
    ListMessagesOrder,
    MessageChange,
    NewApplication,
    NewChat,
    NewMessage,
    NewSearch,
    PageHit,
    PageMessage,
    Problem,
)


def every_operation_became_a_function(document):
    package = pathlib.Path(chat_client.__file__).parent
    made = {file.stem for file in package.glob("api/*/*.py") if file.stem != "__init__"}
    wanted = {
        re.sub(r"(?<!^)(?=[A-Z])", "_", operation["operationId"]).lower()
        for path in document["paths"].values()
        for operation in path.values()
    }
    assert made == wanted, made ^ wanted


def a_device_creates(client):
    application = create_application.sync(client=client, body=NewApplication(name="generated"))
    assert application.name == "generated" and application.chats_count == 0, application
    token = application.token

    untitled = create_chat.sync(token, client=client)
    assert (untitled.number, untitled.title) == (1, None), untitled
    chat = create_chat.sync(token, client=client, body=NewChat(title="a chat 🦀"))
    assert (chat.number, chat.title) == (2, "a chat 🦀"), chat

    new = NewMessage(body="hello", sender="ann")
    first = create_message.sync_detailed(token, 2, client=client, body=new, idempotency_key="once")
    again = create_message.sync_detailed(token, 2, client=client, body=new, idempotency_key="once")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.parsed == again.parsed
    assert first.headers["location"] == f"/api/v1/applications/{token}/chats/2/messages/1"
    assert again.headers["idempotency-replayed"] == "true"
    anonymous = create_message.sync(token, 2, client=client, body=NewMessage(body="hello back"))
    assert (anonymous.number, anonymous.sender) == (2, None), anonymous
    assert anonymous.created_at == anonymous.updated_at and anonymous.created_at.tzinfo
    return token, first.parsed, anonymous


def a_device_reads(client, token, first, second):
    page = list_messages.sync(token, 2, client=client, limit=1, order=ListMessagesOrder.DESC)
    assert isinstance(page, PageMessage), page
    assert page.items == [second] and page.next_.startswith("/api/v1/"), page
    page = list_messages.sync(token, 2, client=client, before=2)
    assert page.items == [first] and page.next_ is None, page
    assert get_message.sync(token, 2, 1, client=client) == first
    page = list_chats.sync(token, client=client, after=1)
    assert [(chat.number, chat.messages_count) for chat in page.items] == [(2, 2)], page
    assert get_chat.sync(token, 2, client=client) == page.items[0]
    assert get_application.sync(token, client=client).chats_count == 2


def a_device_searches(client, token):
    everything = search_messages.sync(token, 2, client=client)
    assert isinstance(everything, PageHit), everything
    hits = [(hit.number, hit.matching_score, hit.highlight) for hit in everything.items]
    assert hits == [(1, 0, None), (2, 0, None)], everything
    assert post_search.sync(token, 2, client=client, body=NewSearch(query=" ")) == everything
    assert isinstance(list_messages.sync(token, 2, client=client, query=" "), PageHit)

    # A message is found within two seconds.
    give_up = time.monotonic() + 2
    while True:
        found = search_messages.sync(token, 2, client=client, query="back")
        if found.items or time.monotonic() > give_up:
            break
        time.sleep(0.05)
    assert [hit.number for hit in found.items] == [2], found
    assert found.items[0].matching_score > 0, found
    assert found.items[0].highlight == "hello <em>back</em>", found
    assert list_messages.sync(token, 2, client=client, query="back") == found


def a_device_changes(client, token):
    name = ApplicationChange(name="renamed")
    renamed = rename_application.sync(token, client=client, body=name)
    assert renamed.name == "renamed" and renamed.updated_at > renamed.created_at, renamed
    assert put_application.sync(token, client=client, body=name).name == "renamed"

    assert update_chat.sync(token, 1, client=client, body=ChatChange(title="new")).title == "new"
    assert put_chat.sync(token, 1, client=client, body=ChatChange(title=None)).title is None

    body = MessageChange(body="changed")
    assert update_message.sync(token, 2, 1, client=client, body=body).body == "changed"
    assert put_message.sync(token, 2, 1, client=client, body=body).sender == "ann"
    assert get_message.sync(token, 2, 1, client=client).body == "changed"


def a_problem_is_read(client, token):
    unknown = get_message.sync_detailed(token, 2, 99, client=client)
    problem = unknown.parsed
    assert unknown.status_code == 404 and isinstance(problem, Problem), unknown
    assert (problem.status, problem.code, problem.type_) == (404, "not_found", "about:blank")
    assert problem.request_id == unknown.headers["x-request-id"]

    blank = create_message.sync(token, 2, client=client, body=NewMessage(body=" "))
    assert isinstance(blank, Problem) and blank.code == "invalid", blank
    assert [fault.field for fault in blank.errors] == ["body"], blank


def an_operator_looks_around(client, operator, token):
    page = list_applications.sync(client=operator)
    assert [application.token for application in page.items] == [token], page
    refused = list_applications.sync(client=client)
    assert isinstance(refused, Problem) and refused.code == "unauthorized", refused
    page = list_all_chats.sync(client=operator)
    assert [(chat.application_token, chat.number) for chat in page.items] == [(token, 1), (token, 2)]
    page = list_all_messages.sync(client=operator)
    assert [(message.chat_number, message.number) for message in page.items] == [(2, 1), (2, 2)]
    assert list_dead_letters.sync(client=operator).items == []
    assert replay_dead_letter.sync("none", client=operator).code == "not_found"
    # The first index is built by itself.
    assert get_rebuild.sync(client=operator).state == "done"


def health_is_read(client):
    assert get_liveness.sync(client=client).status == "live"
    readiness = get_readiness.sync(client=client)
    assert readiness.status in ("ready", "degraded"), readiness
    assert readiness.dependencies.repository.status == "up", readiness
    assert get_metrics.sync(client=client).endswith("# EOF\n")


def a_device_deletes(client, token):
    for delete, read, path in [
        (delete_message, get_message, (token, 2, 1)),
        (delete_chat, get_chat, (token, 2)),
        (delete_application, get_application, (token,)),
    ]:
        deleted = delete.sync_detailed(*path, client=client)
        assert deleted.status_code == 204 and deleted.content == b"", deleted
        assert read.sync(*path, client=client).code == "not_found"
        assert delete.sync_detailed(*path, client=client).parsed.code == "not_found"


def main(address, document):
    with open(document, encoding="utf-8") as file:
        every_operation_became_a_function(json.load(file))
    # An answer that the document does not describe raises an error.
    client = Client(base_url=address, raise_on_unexpected_status=True)
    operator = AuthenticatedClient(
        base_url=address,
        token=os.environ["CHAT_TEST_ADMIN_KEY"],
        raise_on_unexpected_status=True,
    )
    token, first, second = a_device_creates(client)
    a_device_reads(client, token, first, second)
    a_device_searches(client, token)
    a_device_changes(client, token)
    a_problem_is_read(client, token)
    an_operator_looks_around(client, operator, token)
    health_is_read(client)
    a_device_deletes(client, token)


if __name__ == "__main__":
    main(*sys.argv[1:])
