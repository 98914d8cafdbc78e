"""Bytes as text that JSON and HTML can hold unescaped, in 1.23 characters per byte; base64 takes 1.33.

basE91 (J. Henke, 2005) with another alphabet. `service/page/engine/base91.js` reads it.
"""

ALPHABET = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"\\<')
"""The 91 printable ASCII characters that neither end a JSON string, nor begin an escape in it or an HTML tag."""


def encode(data: bytes) -> str:
    """Bytes as text."""
    pairs: list[str] = []
    value = bits = 0
    for byte in data:
        value |= byte << bits
        bits += 8
        if bits > 13:
            taken = (
                13 if value & 8191 > 88 else 14
            )  # two characters have room for 8,281 values: 13 bits, and a few of 14
            part = value & ((1 << taken) - 1)
            value >>= taken
            bits -= taken
            pairs.append(ALPHABET[part % 91] + ALPHABET[part // 91])
    if bits:
        pairs.append(ALPHABET[value % 91])
        if bits > 7 or value > 90:
            pairs.append(ALPHABET[value // 91])
    return "".join(pairs)
