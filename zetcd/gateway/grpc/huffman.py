"""Responsible for HPACK's Huffman code (RFC 7541 §5.2 and Appendix B), octet by octet.

The code is canonical: the lengths of its words say everything. Decoding walks a table with one row
for each inner node of the code's tree and one column for each octet; a row is made when it is first
needed, since text needs a few dozen of the 256.
"""

from __future__ import annotations

from typing import Final

from zetcd.gateway.grpc.codes import ConnectionFault, ErrorCode

_END_OF_STRING: Final = 256
#: Length in bits → the symbols whose code words have it, in the order of their code words.
_SYMBOLS: Final[dict[int, tuple[int, ...]]] = {
    5: tuple(b"012aceiost"),
    6: tuple(b" %-./3456789=A_bdfghlmnpru"),
    7: tuple(b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    8: tuple(b"&*,;XZ"),
    10: tuple(b'!"()?'),
    11: tuple(b"'+|"),
    12: tuple(b"#>"),
    13: tuple(b"\0$@[]~"),
    14: tuple(b"^}"),
    15: tuple(b"<`{"),
    19: (92, 195, 208),
    20: (128, 130, 131, 162, 184, 194, 224, 226),
    21: (153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230),
    22: (
        *(129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186),
        *(187, 189, 190, 196, 198, 228, 232, 233),
    ),
    23: (
        *(1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166),
        *(168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239),
    ),
    24: (9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237),
    25: (199, 207, 234, 235),
    26: (192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255),
    27: (
        *(203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253),
        254,
    ),
    28: (
        *(2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29),
        *(30, 31, 127, 220, 249),
    ),
    30: (10, 13, 22, _END_OF_STRING),
}

_LEAF: Final = -2
#: State after an octet that no code word can hold; nothing leads out of it.
_FAILED: Final = 256


def _grow_tree() -> list[list[int]]:
    """Return the inner nodes as pairs of children; a leaf of symbol s is ``_LEAF - s``."""
    tree = [[-1, -1]]
    word, length_before = 0, 0
    for length, symbols in _SYMBOLS.items():
        word <<= length - length_before
        length_before = length
        for symbol in symbols:
            node = 0
            for position in range(length - 1, 0, -1):
                bit = word >> position & 1
                if tree[node][bit] == -1:
                    tree.append([-1, -1])
                    tree[node][bit] = len(tree) - 1
                node = tree[node][bit]
            tree[node][word & 1] = _LEAF - symbol
            word += 1
    assert len(tree) == _FAILED
    return tree


def _padded_ends(tree: list[list[int]]) -> frozenset[int]:
    """Return the nodes at which a string may end: up to seven bits of ones after a symbol."""
    ends, node = [0], 0
    for _ in range(7):
        node = tree[node][1]
        ends.append(node)
    return frozenset(ends)


_Row = list[tuple[int, bytes]]

_TREE: Final = _grow_tree()
_ENDS: Final = _padded_ends(_TREE)
_ROWS: Final[list[_Row | None]] = [None] * _FAILED + [[(_FAILED, b"")] * 256]


def _make_row(state: int) -> _Row:
    """Return, for each octet, the state it leads to and the symbols it completes."""
    row: _Row = []
    for octet in range(256):
        node, completed = state, bytearray()
        for position in range(7, -1, -1):
            node = _TREE[node][octet >> position & 1]
            if node <= _LEAF:
                symbol = _LEAF - node
                if symbol == _END_OF_STRING:
                    node = _FAILED
                    break
                completed.append(symbol)
                node = 0
        row.append((node, bytes(completed)))
    _ROWS[state] = row
    return row


def decode_huffman(coded: bytes) -> bytes:
    """Return the string that ``coded`` stands for.

    Raises:
        ConnectionFault: COMPRESSION_ERROR; end-of-string or wrong padding.
    """
    state = 0
    parts: list[bytes] = []
    for octet in coded:
        state, completed = (_ROWS[state] or _make_row(state))[octet]
        parts.append(completed)
    if state not in _ENDS:
        raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, "wrong end of a Huffman string")
    return b"".join(parts)
