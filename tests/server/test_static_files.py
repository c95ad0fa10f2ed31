"""Styles and scripts arrive compressed, and are asked for again only when they change."""

import gzip
import re
from pathlib import Path

import pytest
from django.templatetags.static import static

from config.static_files import KEPT

# No database decides.
pytestmark = [pytest.mark.django_db, pytest.mark.first_database]
SHEET = "admit/tables.css"
CONTENT = Path("config/static/admit/tables.css").read_bytes()
GZIP = {"accept-encoding": "gzip, deflate"}


def content(answer) -> bytes:
    whole = b"".join(answer.streaming_content)
    answer.close()
    return whole


def test_an_address_names_the_content_of_its_file():
    assert re.fullmatch(r"/static/admit/tables\.css\?[0-9a-f]{8}", static(SHEET))
    assert static(SHEET).partition("?")[2] != static("admit/admit.css").partition("?")[2]


def test_a_file_that_is_not_there_has_an_address_without_a_fingerprint():
    assert static("admit/no-such-file.css") == "/static/admit/no-such-file.css"


def test_a_file_is_sent_compressed_to_who_reads_that(client):
    answer = client.get(static(SHEET), headers=GZIP)
    assert answer["Content-Encoding"] == "gzip"
    assert answer["Vary"] == "Accept-Encoding"
    sent = content(answer)
    assert gzip.decompress(sent) == CONTENT
    assert len(sent) < len(CONTENT) / 3


def test_a_file_is_sent_as_it_is_to_who_does_not(client):
    answer = client.get(static(SHEET))
    assert "Content-Encoding" not in answer
    assert content(answer) == CONTENT


def test_a_browser_keeps_what_it_got_by_the_fingerprint(client):
    answer = client.get(static(SHEET), headers=GZIP)
    answer.close()
    assert answer["Cache-Control"] == KEPT


@pytest.mark.parametrize(
    "address", ["/static/admit/tables.css", "/static/admit/tables.css?0a1b2c3d"]
)
def test_what_was_asked_for_by_another_address_is_looked_up_again(client, address):
    answer = client.get(address, headers=GZIP)
    assert answer["Cache-Control"] == "max-age=60, public"
    assert gzip.decompress(content(answer)) == CONTENT


def test_a_file_that_did_not_change_is_not_sent_again(client):
    first = client.get("/static/admit/tables.css", headers=GZIP)
    first.close()
    since = {"if-modified-since": first["Last-Modified"]}
    if "ETag" in first:
        since["if-none-match"] = first["ETag"]
    again = client.get("/static/admit/tables.css", headers=GZIP | since)
    assert again.status_code == 304
    assert "Content-Encoding" not in again
    assert content(again) == b""


def test_a_part_of_a_file_is_a_part_of_it_as_it_is(client):
    answer = client.get(static(SHEET), headers=GZIP | {"range": "bytes=0-99"})
    assert answer.status_code == 206
    assert "Content-Encoding" not in answer
    assert content(answer) == CONTENT[:100]


def test_the_head_of_a_file_has_no_body(client):
    answer = client.head(static(SHEET), headers=GZIP)
    assert answer.status_code == 200
    assert content(answer) == b""
    assert answer["Content-Length"] == str(len(CONTENT))


def test_no_file_is_under_an_unknown_name(client):
    assert client.get("/static/admit/no-such-file.css?00000000", headers=GZIP).status_code == 404
