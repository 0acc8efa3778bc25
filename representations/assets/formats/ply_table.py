"""The elements of a PLY file (Turk 1994) as columns of numbers, from text or binary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from representations.geometry.mesh import Integers

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_MOST_HEADER = 2**16


class PlyError(ValueError):
    """A PLY file that cannot be read; the message says why."""


@dataclass(frozen=True)
class Property:
    """A column. `count` is the type of the number that says how many values follow, for lists; else empty."""

    name: str
    kind: str
    count: str = ""


@dataclass
class Element:
    """A kind of row: how many there are, and their columns."""

    name: str
    count: int
    properties: list[Property] = field(default_factory=list)


@dataclass(frozen=True)
class Lists:
    """(sum of sizes,) values of the rows' lists one after the other, and (N,) how many each row has."""

    values: np.ndarray
    sizes: Integers


@dataclass(frozen=True)
class Header:
    """What a file says about itself: its order of bytes ("" for text), elements, textures and where its rows begin."""

    order: str
    elements: list[Element]
    textures: list[str]
    end: int


Columns = dict[str, np.ndarray | Lists]


def read_table(content: bytes) -> tuple[Header, dict[str, Columns]]:
    """The header, and the columns of each element by name.

    Raises:
        PlyError: if the file is damaged, or holds less than it says.
    """
    header = _header(content)
    found: dict[str, Columns] = {}
    if not header.order:
        lines = content[header.end :].decode("latin-1").replace("\r\n", "\n").replace("\r", "\n").split("\n")
        rows = [words for line in lines if (words := line.split())]
        start = 0
        for element in header.elements:
            if element.count > len(rows) - start:
                raise PlyError(f"it ends before its {element.count:,} rows of {element.name[:30]}; it was cut off")
            found[element.name] = _text_columns(rows[start : start + element.count], element)
            start += element.count
        return header, found
    place = header.end
    for element in header.elements:
        found[element.name], place = _binary_columns(content, place, element, header.order)
    return header, found


def _header(content: bytes) -> Header:
    ends = [
        (content.find(mark, 0, _MOST_HEADER), len(mark))
        for mark in (b"end_header\r\n", b"end_header\n", b"end_header\r")
    ]
    places = [(start, length) for start, length in ends if start >= 0]
    if not places:
        raise PlyError("its header does not end")
    start, length = min(places, key=lambda place: (place[0], -place[1]))
    order, elements, textures = None, [], []
    for line in content[:start].decode("latin-1").replace("\r", "\n").split("\n"):
        words = line.split()
        if words[:1] == ["format"] and len(words) > 1:
            order = _ORDERS.get(words[1])
        elif words[:1] == ["comment"] and len(words) > 2 and words[1].lower() == "texturefile":
            textures.append(line.split(None, 2)[2].strip())
        elif words[:1] == ["element"]:
            if len(words) < 3 or not words[2].isascii() or not words[2].isdigit() or len(words[2]) > 15:
                raise PlyError(f"it has the element '{line.strip()[:60]}'")
            elements.append(Element(words[1], int(words[2])))
        elif words[:1] == ["property"]:
            if not elements:
                raise PlyError("a property stands before all elements")
            elements[-1].properties.append(_property(words))
    if order is None:
        raise PlyError("its format is none that PLY has")
    return Header(order, elements, textures, start + length)


def _property(words: list[str]) -> Property:
    if len(words) == 5 and words[1] == "list" and words[2] in _TYPES and words[3] in _TYPES:
        if _TYPES[words[2]][0] == "f":
            raise PlyError("a list is counted by a fraction")
        return Property(words[4], _TYPES[words[3]], _TYPES[words[2]])
    if len(words) == 3 and words[1] in _TYPES:
        return Property(words[2], _TYPES[words[1]])
    raise PlyError(f"it has the property '{' '.join(words)[:60]}'")


def _text_columns(rows: list[list[str]], element: Element) -> Columns:
    """Each row is a line."""
    scalars = not any(column.count for column in element.properties)
    try:
        if not element.properties:
            return {}
        if scalars:
            width = len(element.properties)
            table = np.array([row[:width] for row in rows], dtype=np.float64).reshape(-1, width)
            return {column.name: table[:, number] for number, column in enumerate(element.properties)}
        flat: dict[str, list[str]] = {column.name: [] for column in element.properties}
        sizes: dict[str, list[int]] = {column.name: [] for column in element.properties}
        for row in rows:
            place = 0
            for column in element.properties:
                count = int(row[place]) if column.count else 1
                place += bool(column.count)
                values = row[place : place + count]
                if count < 0 or len(values) < count:
                    raise PlyError(f"a row of {element.name[:30]} is too short")
                flat[column.name] += values
                sizes[column.name].append(count)
                place += count
        found: Columns = {}
        for column in element.properties:
            numbers = np.array(flat[column.name], dtype=np.float64)
            found[column.name] = Lists(numbers, np.array(sizes[column.name], np.int64)) if column.count else numbers
        return found
    except (ValueError, IndexError) as error:
        if isinstance(error, PlyError):
            raise
        raise PlyError(f"a row of {element.name[:30]} is not as its header says") from None


def _binary_columns(content: bytes, place: int, element: Element, order: str) -> tuple[Columns, int]:
    if not element.count:
        return {
            column.name: Lists(np.zeros(0), np.zeros(0, np.int64)) if column.count else np.zeros(0)
            for column in element.properties
        }, place
    fixed = _fixed_rows(content, place, element, order)
    return fixed if fixed is not None else _varying_rows(content, place, element, order)


def _fixed_rows(content: bytes, place: int, element: Element, order: str) -> tuple[Columns, int] | None:
    """The columns, if every list has as many values as the first row's; else None."""
    fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
    here = place
    for number, column in enumerate(element.properties):
        if column.count:
            kind = np.dtype(order + column.count)
            if here + kind.itemsize > len(content):
                return None
            size = int(np.frombuffer(content, kind, 1, here)[0])
            if not 0 <= size <= 2**20:
                return None
            fields += [(f"{number} size", order + column.count), (f"{number}", order + column.kind, (size,))]
            here += kind.itemsize + size * np.dtype(column.kind).itemsize
        else:
            fields.append((f"{number}", order + column.kind))
            here += np.dtype(column.kind).itemsize
    row = np.dtype(fields)
    if not row.itemsize or place + element.count * row.itemsize > len(content):
        if all(not column.count for column in element.properties):
            raise PlyError(f"it ends before its {element.count:,} rows of {element.name[:30]}; it was cut off")
        return None
    table = np.frombuffer(content, row, element.count, place)
    found: Columns = {}
    for number, column in enumerate(element.properties):
        values = table[f"{number}"]
        if column.count:
            sizes = table[f"{number} size"]
            if (sizes != sizes[0]).any():
                return None
            found[column.name] = Lists(values.reshape(-1), sizes.astype(np.int64))
        else:
            found[column.name] = values
    return found, place + element.count * row.itemsize


def _varying_rows(content: bytes, place: int, element: Element, order: str) -> tuple[Columns, int]:
    columns = [
        (column, np.dtype(order + column.kind), np.dtype(order + column.count) if column.count else None)
        for column in element.properties
    ]
    least = sum((count or kind).itemsize for _, kind, count in columns)
    if not least or element.count * least > len(content) - place:
        raise PlyError(f"it ends before its {element.count:,} rows of {element.name[:30]}; it was cut off")
    parts: dict[str, list[bytes]] = {column.name: [] for column, _, _ in columns}
    sizes: dict[str, list[int]] = {column.name: [] for column, _, _ in columns}
    byte_order: Literal["little", "big"] = "little" if order == "<" else "big"
    for _ in range(element.count):
        for column, kind, count in columns:
            size = 1
            if count is not None:
                size = int.from_bytes(content[place : place + count.itemsize], byte_order, signed=count.kind == "i")
                place += count.itemsize
            length = size * kind.itemsize
            if size < 0 or place + length > len(content):
                raise PlyError(f"a row of {element.name[:30]} ends after the file; it was cut off")
            parts[column.name].append(content[place : place + length])
            sizes[column.name].append(size)
            place += length
    found: Columns = {}
    for column, kind, count in columns:
        values = np.frombuffer(b"".join(parts[column.name]), kind)
        found[column.name] = values if count is None else Lists(values, np.array(sizes[column.name], np.int64))
    return found, place
