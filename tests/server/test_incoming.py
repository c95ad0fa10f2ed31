"""Finds where a request ends from its bytes as they arrive."""

import pytest

from config.server.incoming_request import LONGEST_HEAD, IncomingRequest

MOST = 1000
HEAD = b"POST /x HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

COMPLETE = {
    "no body": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no body, HTTP/1.0": b"POST / HTTP/1.0\r\n\r\n",
    "a body by its length": HEAD + b"Content-Length: 3\r\n\r\nabc",
    "an empty body": HEAD + b"content-length: 0\r\n\r\n",
    "chunks": CHUNKED + b"3\r\nabc\r\n2;name=value\r\nde\r\n0\r\n\r\n",
    "chunks that hold what ends chunks": CHUNKED + b"5\r\n0\r\n\r\n\r\n0\r\n\r\n",
    "chunks with trailers": CHUNKED + b"1\r\na\r\n0\r\nA: b\r\nC: d\r\n\r\n",
    "no chunk but the last": CHUNKED + b"0\r\n\r\n",
}
# A body in chunks is handed on by its length.
PLAIN = {
    "chunks": HEAD + b"Content-Length: 5\r\n\r\nabcde",
    "chunks that hold what ends chunks": HEAD + b"Content-Length: 5\r\n\r\n0\r\n\r\n",
    "chunks with trailers": HEAD + b"Content-Length: 1\r\n\r\na",
    "no chunk but the last": HEAD + b"Content-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("step", [1, 2, 7, 10_000])
def test_a_request_is_complete_with_its_last_byte_and_not_before(name: str, step: int):
    request_ = COMPLETE[name]
    incoming = IncomingRequest(MOST)
    for at in range(0, len(request_) - 1, step):
        incoming.add(request_[at : min(at + step, len(request_) - 1)])
        assert not incoming.complete
        assert not incoming.all_read
    incoming.add(request_[-1:])
    assert incoming.complete
    assert incoming.all_read
    assert bytes(incoming.data) == PLAIN.get(name, request_)


# The parser or the view refuses them; what matters is that nobody waits for more.
REFUSED = {
    "a head without an end": b"GET / HTTP/1.1\r\nX: " + b"a" * LONGEST_HEAD,
    "a length that is no number": HEAD + b"Content-Length: two\r\n\r\n",
    "a length that is signed": HEAD + b"Content-Length: -2\r\n\r\n",
    "a length of many digits": HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 9\r\nContent-Length: 8\r\n\r\n",
    "a length beside chunks": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 8\r\n\r\n",
    "a body too large by its length": HEAD + b"Content-Length: 1001\r\n\r\n",
    "chunks of another encoding": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks said twice": CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks with a space before the colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n",
    "a chunk that is no number": CHUNKED + b"zz\r\n",
    "a chunk with a sign before its size": CHUNKED + b"+1\r\na\r\n0\r\n\r\n",
    "a chunk with an underscore in its size": CHUNKED + b"1_0\r\n" + b"a" * 16 + b"\r\n0\r\n\r\n",
    "a chunk that is longer than it says": CHUNKED + b"1\r\naa\r\n0\r\n\r\n",
    "a chunk of negative size": CHUNKED + b"-5\r\n",
    "too much in one chunk": CHUNKED + b"fffff\r\n" + b"a" * 1001,
    "too much in many chunks": CHUNKED + b"200\r\n" + b"a" * 512 + b"\r\n200\r\n" + b"a" * 512,
    "nothing but framing": CHUNKED + b"1;" + b"a" * (2 * LONGEST_HEAD),
    "trailers without an end": CHUNKED + b"0\r\nA: " + b"a" * 2 * LONGEST_HEAD,
}


@pytest.mark.parametrize("request_", REFUSED.values(), ids=REFUSED)
def test_what_will_be_refused_is_waited_for_no_longer(request_: bytes):
    incoming = IncomingRequest(MOST)
    incoming.add(request_)
    assert incoming.complete
    assert not incoming.all_read


@pytest.mark.parametrize("first", ["a body by its length", "chunks"])
def test_a_second_request_behind_the_first_is_seen(first: str):
    incoming = IncomingRequest(MOST)
    incoming.add(COMPLETE[first] + b"GET / HTTP/1.1\r\n")
    assert incoming.complete
    assert not incoming.all_read


@pytest.mark.parametrize("end", [b"zz\r\n", b"1\r\naa\r\n", b"1\r", b""])
def test_of_many_small_chunks_none_is_left_to_a_parser_that_copies_the_rest_for_each(end: bytes):
    incoming = IncomingRequest(MOST)
    incoming.add(CHUNKED + b"1\r\na\r\n" * 300 + end)
    incoming.break_off()
    assert bytes(incoming.data) == CHUNKED + end


def test_chunks_that_are_too_much_are_refused_by_a_length_alone():
    incoming = IncomingRequest(MOST)
    incoming.add(CHUNKED + b"1\r\na\r\n" * (MOST + 1))
    assert bytes(incoming.data) == HEAD + b"Content-Length: 1001\r\n\r\n"


def test_a_sender_that_waits_for_a_word_is_seen_and_its_header_is_taken_out():
    incoming = IncomingRequest(MOST)
    incoming.add(HEAD + b"Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
    assert (incoming.awaits_continue, incoming.complete) == (True, False)
    incoming.add(b"ab")
    assert (incoming.complete, incoming.all_read) == (True, True)
    assert bytes(incoming.data) == HEAD + b"Content-Length: 2\r\n\r\nab"


def test_the_request_line_is_known_before_the_rest():
    incoming = IncomingRequest(MOST)
    incoming.add(b"GET /admin/ HT")
    assert incoming.request_line == b""
    incoming.add(b"TP/1.1\r\nHo")
    assert incoming.request_line == b"GET /admin/ HTTP/1.1"
