"""Bodies that cannot be read, by a short sentence that says what is wrong with each."""

import gzip
import json
import zlib


def _order(**changes: object) -> bytes:
    body: dict[str, object] = {
        "type": "Order",
        "product": {"id": 1048001, "name": "Example Course One"},
        "customer": {"email": "dana@example.com", "customer_id": 21000001},
        "order": {"id": 23300010},
    }
    return json.dumps(body | changes).encode()


UNREADABLE: dict[str, bytes] = {
    # Not text.
    "it is empty": b"",
    "it holds only blanks": b" \r\n\t ",
    "it holds only a byte order mark": b"\xef\xbb\xbf",
    "it is Latin-1": '{"type": "Order", "customer": {"first_name": "Jérôme"}}'.encode("latin-1"),
    "it is invalid UTF-8": b'{"type": "Order\xff"}',
    "it is UTF-8 with an encoded surrogate": b'{"type": "\xed\xa0\x80"}',
    "it is UTF-16 without a mark": _order().decode().encode("utf-16-le"),
    "it is UTF-16 cut in the middle of a character": _order().decode().encode("utf-16")[:-1],
    "it is UTF-32": _order().decode().encode("utf-32"),
    "it holds a raw NUL byte": b'{"type": "Or\0der"}',
    "it is gzip and broken off": gzip.compress(_order())[:-20],
    "it is gzip of more than 1 MiB": gzip.compress(b" " * 5_000_000),
    "it is deflate of more than 1 MiB": zlib.compress(b" " * 5_000_000),
    # Not JSON.
    "it is plain text": b"Thank you for your order",
    "it is HTML": b'<!doctype html><html lang="en"><title>502</title></html>',
    "it is XML": b'<?xml version="1.0"?><order id="1"/>',
    "it is cut off": _order()[:-20],
    "it is cut off inside a text": _order()[:40],
    "it has a comma too many": b'{"type": "Order",}',
    "it has single quotes": b"{'type': 'Order'}",
    "it has two objects in a row": b'{"type": "Order"}{"type": "Order"}',
    "it is multipart": b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n',
    "it holds NaN": b'{"type": "Order", "order": {"total": NaN}}',
    "it holds Infinity": b'{"type": "Order", "order": {"total": -Infinity}}',
    "it holds a number beyond all size": b'{"type": "Order", "order": {"total": 1e999}}',
    "it holds an integer of 5,000 digits": b'{"type": "Order", "x": ' + b"9" * 5_000 + b"}",
    "it holds an integer of 101 digits": b'{"type": "Order", "x": ' + b"9" * 101 + b"}",
    "it is nested 65 deep": b'{"x":' + b"[" * 64 + b"]" * 64 + b"}",
    "it is nested 100,000 deep": b"[" * 100_000 + b"]" * 100_000,
    "it is nested deep and never closed": b'{"x":' * 200_000,
    # Not an object.
    "it is a list of two": b'[{"type": "Order"}, {"type": "Order"}]',
    "it is a list in a list": b'[[{"type": "Order"}]]',
    "it is a text in a text": b'"\\"Order\\""',
    "it is an empty list": b"[]",
    "it is a text": b'"Order"',
    "it is a number": b"42",
    "it is null": b"null",
    "it is true": b"true",
    # Not a meaningful form.
    "it is a form of other fields": b"name=Dana&colour=red",
    "it is a form with broken JSON in its field": b"payload=%7B%22type%22%3A",
    "it is a form of 2,001 fields": b"type=Order" + b"&a=1" * 2_000,
    "it is a form in Latin-1": b"type=Order&customer[first_name]=J%E9r%F4me",
    "it is a form nested 65 deep": b"type" + b"[a]" * 65 + b"=1",
    "it is a form that names the type twice": b"type=Order&type=Refund",
    "it is a form that gives the customer twice": b"customer=1&customer[email]=dana@example.com",
    # Doubled keys.
    "it names the type twice": b'{"type": "Order", "type": "Refund"}',
    "it names the product twice": b'{"product": {"id": 1}, "product": {"id": 2}}',
    "it names the products twice": b'{"products": [{"id": 1}], "products": []}',
    "it names the product id twice": b'{"products": [{"id": 1, "id": 2}]}',
    "it names the customer twice": b'{"customer": {}, "customer": {"email": "a@b.example"}}',
    "it names the e-mail address twice": b'{"customer": {"email": "a@b.test", "email": "c@d.e"}}',
    "it names the order twice": b'{"order": {"id": 1}, "order": {"id": 2}}',
    "it names the order id twice": b'{"order": {"id": 1, "id": 2}}',
    "it names the course twice": b'{"course": {"id": 1}, "course": {"id": 2}}',
    # Parts of a wrong type.
    "its type is a number": _order(type=7),
    "its type is an object": _order(type={"name": "Order"}),
    "its type holds half a character": _order(type="Order\ud800"),
    "its customer is a list": _order(customer=["dana@example.com"]),
    "its customer is a text": _order(customer="dana@example.com"),
    "its order is a number": _order(order=23300010),
    "its product is a number": _order(product=1048001),
    "its product is true": _order(product=True),
    "its products are a text": _order(products="1048001,1048002"),
    "its products hold a text": _order(products=[{"id": 1048001}, "1048002"]),
    "its products hold a list": _order(products=[[{"id": 1048001}]]),
    "its course is a text": _order(course="501"),
    "it has 201 product lines": _order(products=[{"id": n} for n in range(1, 202)]),
    "it joins 201 product ids": _order(product={"id": ",".join(map(str, range(1, 202)))}),
    "it has 300 products on two lines": _order(
        products=[{"id": ",".join(f"{line}{n}" for n in range(100, 250))} for line in "12"]
    ),
    # Invalid IDs.
    "its product id is true": _order(product={"id": True}),
    "its product id is false": _order(product={"id": False}),
    "its product id is negative": _order(product={"id": -1048001}),
    "its product id is a negative number as text": _order(product={"id": "-1048001"}),
    "its product id has a fraction": _order(product={"id": 1048001.5}),
    "its product id has a fraction as text": _order(product={"id": "1048001.5"}),
    "its product id is beyond an exact number": _order(product={"id": 1e17}),
    "its product id is a list": _order(product={"id": [1048001]}),
    "its product id is an object": _order(product={"id": {"value": 1048001}}),
    "its product id has 65 digits": _order(product={"id": int("9" * 65)}),
    "its product id has 65 letters": _order(product={"id": "x" * 65}),
    "its product id is not ASCII": _order(product={"id": "Ü-1"}),
    "its product id is in Arabic digits": _order(product={"id": "١٢٣"}),
    "its product id holds a line break": _order(product={"id": "1\n2"}),
    "its product id holds half a character": _order(product={"id": "1\udc00"}),
    "one of its joined product ids is negative": _order(product={"id": "1048001,-2"}),
    "its order id is true": _order(order={"id": True}),
    "its order id has a fraction": _order(order={"id": 0.5}),
    "its order id is a list": _order(order={"id": [23300010]}),
    "its subscription id is negative": _order(order={"id": 1, "subscription_id": -5}),
    "its course id is true": _order(course={"id": True}),
}
