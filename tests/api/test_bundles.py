"""Audit bundles: exported by HTTP, verified with nothing but them and the public key."""

from __future__ import annotations

import asyncio
import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner, Result

from coscribe.cli import app
from coscribe.documents.bundle_audit import BundleAudit, BundleReport, audit_bundle
from coscribe.documents.proofs import read_checkpoint
from coscribe.persistence.signing import SigningKey, has_signed
from tests.api.test_audits import keep, typed
from tests.api.test_content import put
from tests.api.test_documents import invite
from tests.api.test_retention import pruned
from tests.api.test_retention import typed as typed_alone
from tests.api.town import Person, Town, open_town
from tests.forging import rewrite

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("COSCRIBE_SEED", "1"))


class Made(NamedTuple):
    """Bundles of a document and of a tree, of which each has every kind of line; and what was kept."""

    folder: Path
    document_id: str
    document: bytes
    tree: bytes
    pruned: bytes
    key: str
    kept: dict[str, Any]


async def bundle_of(person: Person, document: str, query: str = "") -> bytes:
    answer = await person.ask("GET", f"/documents/{document}/audit{query}")
    assert answer.status_code == 200, answer.text
    return answer.content


async def _make(folder: Path) -> Made:
    async with open_town(folder) as town:
        ben, cleo = await town.person("ben"), await town.person("cleo")
        key = (await town.nobody().get("/audit/key"))["publicKey"]
        document = await ben.document("Plan")
        await typed(ben, document, 0, 110)
        await invite(ben, document, cleo, "viewer")
        kept = await ben.post(f"/documents/{document}/checkpoints", status=201)
        await town.ada.post("/admin/audit-keys", status=201)
        await typed(ben, document, 110, 120)
        workspace = await ben.workspace("Tree", one="1\n", two="2\N{LINE SEPARATOR}\U0001f600")
        fs = f"/workspace/{workspace}/fs"
        await ben.post(f"{fs}/mkdir", {"path": "folder"})
        await ben.post(f"{fs}/rename", {"source": "one", "target": "folder/uno"})
        await ben.post(f"{fs}/delete", {"path": "two"})
        await ben.write(workspace, "folder/uno", "1 and more", 1)
        short = await ben.document("Short")
        await typed_alone(ben, short, 6)
        await pruned(town, short)
        return Made(
            folder,
            document,
            await bundle_of(ben, document),
            await bundle_of(ben, workspace),
            await bundle_of(ben, short),
            key,
            kept,
        )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return asyncio.run(_make(tmp_path_factory.mktemp("bundles") / "data"))


def audit(bundle: bytes, key: str, *kept: dict[str, Any]) -> BundleReport:
    state = BundleAudit(bytes.fromhex(key), has_signed)
    for found in kept:
        state.hold(read_checkpoint(json.dumps(found)), "the kept one")
    return audit_bundle(state, io.BytesIO(bundle))


def verify(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["verify", *map(str, arguments)])


def kinds(bundle: bytes) -> list[str]:
    return [json.loads(line)["type"] for line in bundle.splitlines()]


def said(report: BundleReport) -> str:
    return "\n".join(f"line {found.line}, sequence {found.sequence}: {found.detail}" for found in report.findings)


def test_it_has_everything_and_proves_itself(made: Made) -> None:
    report = audit(made.document, made.key, made.kept)
    assert said(report) == ""
    assert (report.entries, report.sequence, report.checkpoints) == (120, 120, 2)
    assert report.events > 2
    assert report.states > 0
    report = audit(made.tree, made.key)
    assert said(report) == ""
    assert (report.files, report.pruned) == (3, 0)
    report = audit(made.pruned, made.key)
    assert said(report) == ""
    assert (report.entries, report.pruned) == (1, 5)
    assert {"keyChange", "begin", "checkpoint", "event", "entry", "state", "end"} < set(kinds(made.pruned))
    # Lines end where JSON says: nothing in a text is taken for an end.
    assert kinds(made.tree)[0] == "head"


async def test_up_to_the_same_checkpoint_it_is_the_same(town: Town) -> None:
    ben, cleo = await town.person("ben"), await town.person("cleo")
    document = await ben.document("Plan", "one")
    first = await bundle_of(ben, document)
    assert await bundle_of(ben, document, "?checkpoint=1") == first
    await put(ben, document, "two", 1)
    assert await bundle_of(town.ada, document, "?checkpoint=1") == first
    assert await bundle_of(ben, document) != first
    await ben.refused("GET", f"/documents/{document}/audit?checkpoint=7", "not_found")
    await invite(ben, document, cleo, "editor")
    await cleo.refused("GET", f"/documents/{document}/audit", "permission_denied")
    events = (await ben.get(f"/documents/{document}/events"))["items"]
    assert [event["detail"]["checkpoint"] for event in events if event["action"] == "audit.exported"] == [2, 1, 1, 1]


def flips(bundle: bytes, count: int) -> Iterator[tuple[int, int]]:
    """Byte and bit: some of every line, and of all of it at random."""
    random_bits = random.Random(SEED)
    start = 0
    for line in bundle.splitlines(keepends=True):
        for offset in {0, len(line) // 3, len(line) - 2, len(line) - 1}:
            yield start + offset, random_bits.randrange(8)
        start += len(line)
    for _ in range(count):
        yield random_bits.randrange(len(bundle)), random_bits.randrange(8)


@pytest.mark.parametrize("which", ["tree", "pruned"])
def test_one_flipped_bit_anywhere_is_found_and_its_line_named(made: Made, which: str) -> None:
    bundle: bytes = getattr(made, which)
    lines = bundle[:-1].count(b"\n") + 1
    for position, bit in flips(bundle, 2_000):
        damaged = bytearray(bundle)
        damaged[position] ^= 1 << bit
        report = audit(bytes(damaged), made.key)
        line = bundle.count(b"\n", 0, position) + 1
        named = {found.line for found in report.findings}
        assert named & {line, min(line + 1, lines)}, f"COSCRIBE_SEED={SEED}: byte {position}, bit {bit}: {said(report)}"


def altered(bundle: bytes, old: bytes, new: bytes) -> bytes:
    assert old in bundle
    return bundle.replace(old, new, 1)


def without(bundle: bytes, *numbers: int) -> bytes:
    lines = bundle.splitlines(keepends=True)
    return b"".join(line for number, line in enumerate(lines, 1) if number not in numbers)


def test_what_was_changed_is_named_by_entry_or_event(made: Made) -> None:
    report = audit(altered(made.document, b"line 57", b"line 75"), made.key)
    assert "sequence 58: it is not what was written: its check does not fit" in said(report)
    assert "sequence 58: its hash does not fit" in said(report)
    report = audit(altered(made.document, b'"action":"invitation', b'"action":"nothing...'), made.key)
    assert "(access event " in said(report)
    assert "does not fit its digest: it is not what was recorded" in said(report)


def test_what_is_missing_or_moved_is_found(made: Made) -> None:
    lines = made.document.splitlines(keepends=True)
    first = kinds(made.document).index("entry") + 1
    assert "the entry 5 before it is missing" in said(audit(without(made.document, first + 4), made.key))
    swapped = [*lines]
    swapped[first], swapped[first + 1] = swapped[first + 1], swapped[first]
    assert not audit(b"".join(swapped), made.key).clean
    assert "its end is missing" in said(audit(without(made.document, len(lines)), made.key))
    assert "its beginning is missing" in said(audit(without(made.document, 1), made.key))
    assert "behind the end" in said(audit(made.document + lines[-2], made.key))
    for number, kind in enumerate(kinds(made.document), 1):
        if kind in ("checkpoint", "event", "keyChange", "state", "end"):
            assert not audit(without(made.document, number), made.key).clean, kind
    assert audit(b"", made.key).total == 1


def test_another_key_is_refused(made: Made) -> None:
    report = audit(made.document, SigningKey(bytes(32)).public.hex)
    assert said(report).count("it was signed with the key") == 3


async def test_a_rewritten_entry_is_named_by_a_kept_checkpoint_and_exactly_by_a_kept_bundle(
    made: Made, tmp_path: Path
) -> None:
    """By an operator who has database and key and signs everything again: each bundle by itself is clean."""
    folder = Path(shutil.copytree(made.folder, tmp_path / "data"))
    rewrite(folder, made.document_id, 100, "LINE 99\n")
    forged = tmp_path / "forged.audit"
    async with open_town_again(folder) as town:
        forged.write_bytes(await bundle_of(town.of_folder(), made.document_id))
    assert verify(forged, "--key", made.key).exit_code == 0
    old, kept = tmp_path / "old.audit", keep(tmp_path, "kept", made.kept)
    old.write_bytes(made.document)
    result = verify(forged, "--key", made.key, "--checkpoint", kept)
    assert result.exit_code == 1
    assert f"the log is another one than the checkpoint 1 in {kept} says: it forks at an entry from 1 to 110" in (
        result.stdout
    )
    result = verify(forged, "--key", made.key, "--checkpoint", old)
    assert f"sequence 100: the log is another one than {old} says: it forks at entry 100" in result.stdout
    result = verify("--data", folder, "--checkpoint", old, "--key", made.key)
    assert result.exit_code == 1
    assert f"sequence 100: the log is another one than {old} says: it forks at entry 100" in result.stdout
    assert verify("--data", made.folder, "--checkpoint", old, "--key", made.key).exit_code == 0


def open_town_again(folder: Path) -> Any:
    """The server of a folder that has its administrator already."""
    from contextlib import asynccontextmanager

    from coscribe.app import Coscribe
    from coscribe.config import Settings
    from tests.api.town import BASE, CHEAP, SECRET, KeepingMailer

    @asynccontextmanager
    async def opened() -> Any:
        settings = Settings(folder=folder, token_secret=SECRET, public_url=BASE, rate_factor=100.0)
        mailer = KeepingMailer()
        coscribe = Coscribe(settings, mailer=mailer, hasher=CHEAP)
        async with coscribe.running():
            yield Town(coscribe, mailer)

    return opened()


def test_the_command_says_what_is_in_it_and_what_is_wrong(made: Made, tmp_path: Path) -> None:
    path = tmp_path / "plan.audit"
    path.write_bytes(made.document)
    result = verify(path, "--key", made.key)
    assert result.exit_code == 0, result.output
    assert f"ok      {made.document_id}  120 entries up to sequence 120, 1 files" in result.stdout
    path.write_bytes(altered(made.document, b"line 57", b"line 75"))
    result = verify(path, "--key", made.key, "--json")
    assert result.exit_code == 1
    verdict = json.loads(result.stdout)
    assert (verdict["clean"], verdict["findings"][0]["sequence"]) == (False, 58)
    assert "--key" in verify(path).stderr
    assert verify(path, "--key", "nonsense").exit_code == 2


def test_it_needs_no_database_and_no_server(made: Made, tmp_path: Path) -> None:
    """What verifies a bundle has not even loaded what reads a database."""
    path = tmp_path / "plan.audit"
    path.write_bytes(made.document)
    program = (
        "import sys; from coscribe.documents.bundle_audit import BundleAudit, audit_bundle;"
        "from coscribe.persistence.signing import has_signed;"
        f"report = audit_bundle(BundleAudit(bytes.fromhex({made.key!r}), has_signed), open({str(path)!r}, 'rb'));"
        "print(report.clean, [name for name in ('sqlite3', 'sqlalchemy', 'asyncio', 'socket') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "True []"
