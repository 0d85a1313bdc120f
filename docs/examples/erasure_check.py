#!/usr/bin/env python3
"""Looks into the files of a Steward installation from outside: which texts can be read in them, and by which keys.

Nothing of Steward's code is used, and nothing beside Python's standard library: this is what somebody who took the disk
AND the master key could read. It reads every file as bytes, finds wrapped data keys and sealed content in them, and opens
what opens.

    python3 erasure_check.py DATA --master DATA/master.key --text 'Ana Example' --text ana@example.com

prints JSON: `plain` (texts that stand somewhere in the clear, with the file), `keys` (owners whose data key opens),
`opened` (texts that stand in content that opens). After an erasure all of these must be without what was erased; before it
`opened` must not be, or the check looks in the wrong place.
"""

import argparse
import json
import pathlib
import re
import struct
import sys

MASK = 0xFFFFFFFF


def quarter(state, a, b, c, d):
    for first, second, third, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[first] = (state[first] + state[second]) & MASK
        mixed = state[third] ^ state[first]
        state[third] = ((mixed << turn) | (mixed >> (32 - turn))) & MASK


def rounds(state):
    for _ in range(10):
        for at in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                   (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(state, *at)
    return state


def first_state(key: bytes, rest: bytes):
    return list(struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<8I", key) + struct.unpack("<4I", rest))


def block(key: bytes, counter: int, nonce: bytes) -> bytes:
    state = first_state(key, struct.pack("<I", counter) + nonce)
    return struct.pack("<16I", *((x + y) & MASK for x, y in zip(rounds(state[:]), state)))


def poly1305(key: bytes, message: bytes) -> bytes:
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at:at + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((total + int.from_bytes(key[16:], "little")) & ((1 << 128) - 1)).to_bytes(16, "little")


def opened(key: bytes, sealed: bytes, context: bytes) -> bytes | None:
    """XChaCha20-Poly1305: a nonce of 24 bytes, the content, a tag of 16 bytes. None if it does not open."""
    if len(sealed) < 40:
        return None
    nonce, content, tag = sealed[:24], sealed[24:-16], sealed[-16:]
    state = rounds(first_state(key, nonce[:16]))
    key, nonce = struct.pack("<8I", *state[:4], *state[12:]), bytes(4) + nonce[16:]

    def padded(part: bytes) -> bytes:
        return part + bytes(-len(part) % 16)

    said = padded(context) + padded(content) + struct.pack("<QQ", len(context), len(content))
    if poly1305(block(key, 0, nonce)[:32], said) != tag:
        return None
    plain = bytearray()
    for number, at in enumerate(range(0, len(content), 64), 1):
        plain += bytes(x ^ y for x, y in zip(content[at:at + 64], block(key, number, nonce)))
    return bytes(plain)


# A wrapped key is a nonce, 32 bytes and a tag.
WRAPPED = 72
# Sealed content is a map of the owner and the bytes, in MessagePack: {"owner": ..., "sealed": bin}.
SEALED = re.compile(rb"\xa6sealed(?:\xc4(.)|\xc5(..)|\xc6(....))", re.DOTALL)
NAMES_AT = re.compile(rb"[A-Za-z0-9_.-]{1,200}")
KEPT = re.compile(rb"kept\.[A-Za-z0-9_.-]+")


def data_keys(files, master: bytes) -> dict[str, bytes]:
    """The data keys that the master key opens, wherever they stand in the files of the bus."""
    found = {}
    for content in files.values():
        for match in re.finditer(rb"\$KV\.KEYS\.", content):
            # The record says how long its subject is, in the two bytes before it.
            length = int.from_bytes(content[match.start() - 2:match.start()], "little")
            name = content[match.end():match.start() + length]
            if not name or name in found or not NAMES_AT.fullmatch(name):
                continue
            after = match.start() + length
            # Headers may stand between: their length comes first.
            for begin in {after, after + 4 + int.from_bytes(content[after:after + 4], "little")}:
                key = opened(master, content[begin:begin + WRAPPED], name)
                if key and len(key) == 32:
                    found[name.decode()] = key
    return found


def sealed_contents(files):
    for content in files.values():
        for match in SEALED.finditer(content):
            length = next(int.from_bytes(group, "big") for group in match.groups() if group is not None)
            if match.end() + length <= len(content):
                yield content[match.end():match.end() + length]


def kept_contents(files):
    """Contents beside the log: the subject, then headers, then the sealed bytes up to a checksum of 8 bytes."""
    for content in files.values():
        for match in KEPT.finditer(content):
            at = match.start()
            length = int.from_bytes(content[at - 2:at], "little")
            record = int.from_bytes(content[at - 22:at - 18], "little")
            if at < 22 or not record >> 31:
                continue
            record &= 0x7FFFFFFF
            headers = int.from_bytes(content[at + length:at + length + 4], "little")
            begin, end = at + length + 4 + headers, at - 22 + record - 8
            if begin < end <= len(content):
                yield content[at + 5:at + length], content[begin:end]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    parser.add_argument("--master", type=pathlib.Path, required=True)
    parser.add_argument("--text", action="append", default=[])
    typed = parser.parse_args()
    master = bytes.fromhex(typed.master.read_text().strip())
    texts = [text.encode() for text in typed.text]
    paths = [path for folder in typed.folders for path in folder.rglob("*") if path.is_file()]
    files = {path: path.read_bytes() for path in paths}
    plain = [{"text": text.decode(), "file": str(path)} for path, content in files.items() for text in texts if text in content]
    keys, contents = data_keys(files, master), set()
    all_sealed = set(sealed_contents(files))
    for sealed in all_sealed:
        for owner, key in keys.items():
            content = opened(key, sealed, owner.encode())
            if content is not None:
                contents.add(content)
                break
    # What is kept beside the log has keys of its own, sealed like other content: 64 hex digits.
    of_kept = [bytes.fromhex(match.decode()) for content in contents for match in re.findall(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", content)]
    for name, sealed in set(kept_contents(files)):
        for key in of_kept:
            content = opened(key, sealed, b"steward contents " + name)
            if content is not None:
                contents.add(content)
                break
    found = sorted({text.decode() for text in texts for content in contents if text in content})
    json.dump({"files": len(files), "plain": plain, "keys": sorted(keys), "sealed": len(all_sealed), "opened": found}, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
