"""A history with its proof: signed, exported, checked without a bus; and whatever is done to the export is found."""

import hashlib
import json
import shutil
import struct

import openai
import pytest

from steward_testkit.company import apply_company
from steward_testkit.running import Steward, wait_for

FIRST_LINE = b"steward-commits-1\n"


def call(steward, times):
    """Calls of the company's agent."""
    key = steward.key("support-bot", "acme", "--on", "acme/support")
    bot = openai.OpenAI(base_url=f"{steward.url}/v1", api_key=key, max_retries=0)
    for _ in range(times):
        bot.chat.completions.create(model="small", max_tokens=5, messages=[{"role": "user", "content": "Say hello."}])


def read_commits(folder):
    """The records of an export: (position, subject, bytes)."""
    data = (folder / "commits").read_bytes()
    assert data.startswith(FIRST_LINE)
    at, records = len(FIRST_LINE), []
    while at < len(data):
        position, length = struct.unpack_from(">QH", data, at)
        subject = data[at + 10 : at + 10 + length]
        at += 10 + length
        (length,) = struct.unpack_from(">I", data, at)
        records.append((position, subject, data[at + 4 : at + 4 + length]))
        at += 4 + length
    return records


def write_commits(folder, records):
    parts = [FIRST_LINE]
    for position, subject, commit in records:
        parts += [struct.pack(">QH", position, len(subject)), subject, struct.pack(">I", len(commit)), commit]
    (folder / "commits").write_bytes(b"".join(parts))


def fit_manifest(folder, records):
    """What somebody would do who does not want to be found."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"commits": len(records), "last": records[-1][0]}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def signed(steward, upstream, tmp_path):
    """A company that has made calls, its export, its key, and an earlier checkpoint kept outside."""
    witness = tmp_path / "witness"
    with steward.config.open("a") as config:
        config.write(f'[transparency]\nname = "steward.example"\nwitnesses = ["{witness}"]\n')
    steward.up()
    apply_company(steward, upstream.url)
    call(steward, 1)
    steward.cli("checkpoint", "request", "--tenant", "acme")
    early = wait_for("the witness", lambda: sorted((witness / "steward.example" / "acme").glob("0*")))[0]
    call(steward, 5)
    folder = tmp_path / "export"
    told = steward.json("audit", "export", "--tenant", "acme", "--out", folder)
    key = steward.cli("audit", "key", "--tenant", "acme").stdout.strip()
    assert told["key"] == key and key.startswith("steward.example/acme+")
    return folder, key, early


def verify(steward, folder, key=None, *more, api_key="none"):
    """Offline: there is no gateway behind this address."""
    words = ["--verifier-key", key] if key else []
    ran = steward.cli("audit", "verify", "--export", folder, *words, *more, "--json", check=False, key=api_key, url="http://127.0.0.1:9")
    report = json.loads(ran.stdout)
    assert (ran.returncode == 0) == report["ok"], ran.stdout
    return report


def kinds(report):
    return {finding["what"] for finding in report["findings"]}


def test_a_history_is_signed_exported_and_proven_offline(steward, signed, tmp_path):
    folder, key, early = signed
    online = wait_for("a signed end", lambda: (found := steward.json("audit", "verify", "--tenant", "acme")).get("checkpoint") and found)
    assert online["broken"] == [] and online["checkpoint"]["key"] == key
    line = steward.cli("audit", "verify", "--tenant", "acme").stdout
    assert "chains whole, checkpoint" in line and line.strip().endswith("signed: ok"), line
    # the tenant steward's own tree holds the signatures of all others, and is signed when asked for like any
    own = tmp_path / "own"
    steward.cli("audit", "export", "--tenant", "steward", "--out", own)
    steward.stop()
    report = verify(steward, own, steward.cli("audit", "key", "--tenant", "steward").stdout.strip())
    assert report["ok"] and report["signed"] > 0, report

    report = verify(steward, folder, key, "--checkpoint", early)
    assert report["ok"] and report["outside"] == 1 and report["keys_demanded"], report
    records = read_commits(folder)
    assert report["commits"] == len(records) == report["signed"] and report["unsigned"] == 0
    human = steward.cli("audit", "verify", "--export", folder, "--verifier-key", key, "--checkpoint", early).stdout
    assert f"checkpoint {len(records)} signed: ok" in human, human

    # by nothing but the published formats: the checkpoint is a C2SP note, each entry an RFC 6962 leaf
    origin, size, _root = (folder / "checkpoint").read_text().split("\n")[:3]
    assert (origin, int(size)) == ("steward.example/acme", len(records))
    assert len(records) < 256, "one tile"
    tile = (folder / f"tile/0/000.p/{size}").read_bytes()
    entries = (folder / f"tile/entries/000.p/{size}").read_bytes()
    for at, (position, _, _) in enumerate(records):
        entry = entries[at * 42 + 2 : at * 42 + 42]
        assert entry[:8] == struct.pack(">Q", position)
        assert tile[at * 32 : at * 32 + 32] == hashlib.sha256(b"\0" + entry).digest()

    # one commit, proven to somebody who has neither the log nor the export
    proof = verify(steward, folder, key, "--commit", records[3][0])["proof"]
    handed_on = tmp_path / "proof.json"
    handed_on.write_text(json.dumps(proof))
    given = steward.cli("audit", "verify", "--proof", handed_on, "--verifier-key", key, key="none", url="http://127.0.0.1:9")
    assert given.stdout.strip().endswith("signed: ok")
    handed_on.write_text(json.dumps(proof | {"position": records[4][0]}))
    assert steward.cli("audit", "verify", "--proof", handed_on, "--verifier-key", key, check=False).returncode != 0


def test_whatever_is_done_to_an_export_is_found(steward, signed, tmp_path):
    folder, key, early = signed
    steward.stop()
    records = read_commits(folder)
    middle = len(records) // 2

    def tampered(name, change, fit=False):
        copy = tmp_path / name
        shutil.copytree(folder, copy)
        write_commits(copy, changed := change(list(records)))
        if fit:
            fit_manifest(copy, changed)
        return verify(steward, copy, key)

    def flip(records):
        position, subject, commit = records[middle]
        commit = bytearray(commit)
        commit[len(commit) // 2] ^= 1
        records[middle] = (position, subject, bytes(commit))
        return records

    def swap(records):
        records[middle], records[middle + 1] = records[middle + 1], records[middle]
        return records

    def swap_contents(records):
        (one, *first), (other, *second) = records[middle], records[middle + 1]
        records[middle : middle + 2] = [(one, *second), (other, *first)]
        return records

    report = tampered("flipped", flip)
    assert {"changed_commit", "not_what_was_signed"} <= kinds(report)
    changed = next(f for f in report["findings"] if f["what"] == "changed_commit")
    assert changed["position"] == records[middle][0] and changed["stream"] and changed["meaning"]
    assert {"cut_off", "wrong_count"} <= kinds(tampered("dropped", lambda r: r[:middle] + r[middle + 1 :]))
    assert "cut_off" in kinds(tampered("dropped-and-fitted", lambda r: r[:middle] + r[middle + 1 :], fit=True))
    assert "order" in kinds(tampered("swapped", swap))
    assert "not_what_was_signed" in kinds(tampered("contents-swapped", swap_contents))
    assert "cut_off" in kinds(tampered("truncated", lambda r: r[:-1], fit=True))
    cut = tmp_path / "cut"
    shutil.copytree(folder, cut)
    data = (cut / "commits").read_bytes()
    (cut / "commits").write_bytes(data[:-7])
    assert {"damaged_file", "cut_off"} <= kinds(verify(steward, cut, key))
    (cut / "commits").write_bytes(FIRST_LINE + b"\xff" * 4096)
    assert "damaged_file" in kinds(verify(steward, cut, key))
    (cut / "manifest.json").write_text("{")
    broken = steward.cli("audit", "verify", "--export", cut, check=False)
    assert broken.returncode != 0 and "manifest.json" in broken.stderr and "panicked" not in broken.stderr
    human = steward.cli("audit", "verify", "--export", tmp_path / "flipped", "--verifier-key", key, check=False)
    assert human.returncode != 0 and "it means:" in human.stdout and human.stdout.strip().splitlines()[-1:] != []


def test_a_rewritten_history_is_found_from_outside(steward, signed, upstream, tmp_path):
    """The same company built anew, honestly, with the same key: whole by itself, and not what was signed before."""
    folder, key, early = signed
    steward.stop()
    other = Steward(tmp_path / "other")
    try:
        with other.config.open("a") as config:
            config.write('[transparency]\nname = "steward.example"\n')
        (tmp_path / "other" / "data").mkdir()
        shutil.copy2(steward.folder / "data" / "transparency.key", tmp_path / "other" / "data" / "transparency.key")
        other.up()
        apply_company(other, upstream.url)
        call(other, 6)
        rewritten = tmp_path / "rewritten"
        told = other.json("audit", "export", "--tenant", "acme", "--out", rewritten)
        assert told["key"] == key, "the same key"
    finally:
        other.stop()
    assert verify(steward, rewritten, key)["ok"], "by itself it is a whole history"
    assert "rewritten" in kinds(verify(steward, rewritten, key, "--checkpoint", early))

    # signed by somebody of the same name: the key tells
    secret = tmp_path / "other" / "data" / "transparency.key"
    secret.write_text("5e" * 32)
    stranger = other.cli("audit", "key", "--tenant", "acme").stdout.strip()
    assert stranger.split("+")[0] == key.split("+")[0] and stranger != key
    assert "wrong_signature" in kinds(verify(steward, folder, stranger))
