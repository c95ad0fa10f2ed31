"""Load the configuration file as plain data: YAML without its surprises, and with line numbers.

Every value stays the text that a person wrote, so `no`, `0123` and `2024-01-01` are not
converted. Anchors are refused because they can blow up a small file, tags because they mean
something only in Python.
"""

import re

import yaml

from rules.configuration.faults import Faults, Faulty

LARGEST = 1024 * 1024  # bytes
_TAGS = "tag:yaml.org,2002:"
# The types that YAML may see in a plain value. Here all of them stay text.
_KINDS = frozenset(
    f"{_TAGS}{kind}"
    for kind in ("str", "null", "bool", "int", "float", "timestamp", "merge", "value", "map", "seq")
)
_QUOTED = re.compile(r" *'[^']{2,}'")


class Entry(dict[str, "Value"]):
    """A mapping of the file, with the line where it begins."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


Value = None | str | list["Value"] | Entry


def load(raw: bytes) -> Entry:
    """Return the file's content. Raises Faulty with the lines of its faults.

    The sentences quote no value, because it may be a secret.
    """
    if len(raw) > LARGEST:
        raise Faulty(["The file is larger than 1 MiB."])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Faulty([f"Line {line}: this is not UTF-8 text. Save the file as UTF-8."]) from None
    faults = Faults()
    try:
        node = _compose(text)
        content = None if node is None else _plain(node, set(), faults)
    except RecursionError:
        raise Faulty(["The file is nested too deeply to be a configuration."]) from None
    if sentences := faults.sentences():
        raise Faulty(sentences)
    if not content:
        raise Faulty(["The file is empty. It has marketplaces, integrations and rules."])
    if not isinstance(content, Entry):
        raise Faulty(["The file must begin with `marketplaces:`, `integrations:` or `rules:`."])
    return content


def _compose(text: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        # PyYAML's message quotes words of the file, and one of them may be part of a secret.
        problem = _QUOTED.sub("", error.problem or error.context or "unreadable")
        raise Faulty([f"Line {line}: this is not valid YAML ({problem})."]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Faulty([f"Line {line}: there is a character that YAML does not allow."]) from None
    return node


def _plain(node: yaml.Node, seen: set[int], faults: Faults) -> Value:
    """Return the node as plain data. An alias is found because its node was seen before."""
    line = node.start_mark.line + 1
    if id(node) in seen:
        faults.add(line, "anchors (&) and aliases (*) are not supported. Write the value out.")
        return None
    seen.add(id(node))
    if node.tag not in _KINDS:
        faults.add(line, "tags (!) are not supported. Put the value into quotes.")
        return None
    if isinstance(node, yaml.MappingNode):
        return _entry(node, seen, faults)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(each, seen, faults) for each in node.value]
    return None if node.tag == f"{_TAGS}null" else str(node.value)


def _entry(node: yaml.MappingNode, seen: set[int], faults: Faults) -> Entry:
    entry = Entry(node.start_mark.line + 1)
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        key = _plain(key_node, seen, faults)
        if not isinstance(key, str):
            faults.add(line, "a key must be one word, such as `name:`.")
        elif key in entry:
            faults.add(line, f"`{key}` stands here a second time.")
        else:
            entry[key] = _plain(value_node, seen, faults)
    return entry
