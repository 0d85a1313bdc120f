"""What a load costs in counts, which do not depend on how fast the machine is: writes, wake-ups, segments, commits, bytes.

All of it is what the kernel tells every user of their own processes, and what stands in the log's files."""

import json
import pathlib
import selectors
import socket
import struct

from steward_testkit.running import wait_for

# Where the count of segments with data that came in stands in Linux's `struct tcp_info`.
DATA_SEGMENTS_IN = 152


class Line:
    """One kept connection, cheap enough for a load: it writes prepared bytes and looks for the end of the answer."""

    def __init__(self, port: int, request: bytes):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request, self.got = request, b""

    def send(self):
        self.got = b""
        self.socket.sendall(self.request)

    def read(self) -> bool:
        """Takes what is there; true if the answer is whole."""
        more = self.socket.recv(65_536)
        assert more, "the connection was closed in the middle of an answer"
        self.got += more
        head, found, body = self.got.partition(b"\r\n\r\n")
        if not found:
            return False
        assert head.startswith(b"HTTP/1.1 200"), self.got.decode(errors="replace")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return len(body) >= int(line[15:])
        return body.endswith(b"0\r\n\r\n")

    def segments(self) -> int:
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        return struct.unpack_from("I", info, DATA_SEGMENTS_IN)[0]


def request(port: int, key: str, stream: bool) -> bytes:
    body = {"model": "small", "messages": [{"role": "user", "content": "Say hello to everybody who is here."}], "max_tokens": 40}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    text = json.dumps(body, separators=(",", ":"))
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n{text}"
    ).encode()


def drive(port: int, message: bytes, connections: int, calls: int) -> int:
    """So many calls, one after another on each connection; how many segments with data came back."""
    selector, left = selectors.DefaultSelector(), calls
    lines = [Line(port, message) for _ in range(min(connections, calls))]
    for line in lines:
        selector.register(line.socket, selectors.EVENT_READ, line)
        line.send()
        left -= 1
    open_calls = len(lines)
    while open_calls:
        ready = selector.select(60)
        assert ready, "no answer within a minute"
        for key, _ in ready:
            if not key.data.read():
                continue
            if left:
                key.data.send()
                left -= 1
            else:
                open_calls -= 1
    segments = sum(line.segments() for line in lines)
    for line in lines:
        line.socket.close()
    return segments


def of_process(pid: int) -> dict[str, int]:
    """Writes, bytes written, and how often its threads went to sleep."""
    io = dict(line.split(": ") for line in pathlib.Path(f"/proc/{pid}/io").read_text().splitlines())
    sleeps = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            status = (task / "status").read_text()
        except OSError:
            continue  # the thread ended meanwhile
        sleeps += int(status.split("\nvoluntary_ctxt_switches:")[1].split()[0])
    return {"writes": int(io["syscw"]), "bytes_written": int(io["wchar"]), "sleeps": sleeps}


def log_bytes(data: pathlib.Path) -> int:
    """The bytes of all commits, once what was appended is in the files."""

    def size():
        return sum(block.stat().st_size for block in data.glob("nats/jetstream/**/EVT_*/msgs/*.blk"))

    seen = []

    def settled():
        seen.append(size())
        return len(seen) > 10 and len(set(seen[-10:])) == 1

    wait_for("the log's files to stay as they are", settled)
    return seen[-1]
