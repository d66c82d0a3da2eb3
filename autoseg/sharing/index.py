"""What is to be had by its name: public datasets and trained models, each with an address and the digest of its file.

The datasets that come with autoseg stand here; an index in JSON adds others, and models:

    {"format": 1, "datasets": [], "models": [{"name": "hippocampus", "about": "...", "input": "T1w MRI of ...",
     "address": "https://...", "digest": "sha256:...", "megabytes": 120, "licence": "CC-BY 4.0"}]}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

from autoseg.errors import ModelError, StorageError
from autoseg.files.records import RecordFormat, decode_record
from autoseg.files.storage import parse_json, read_bytes
from autoseg.sharing.downloading import downloaded, is_url
from autoseg.words import nearest, readable

FORMAT = RecordFormat(number=1, what="an index", error=ModelError)
INDEX_VARIABLE = "AUTOSEG_INDEX"
"""Names an index where nothing else does."""

LARGEST_INDEX = 10 * 2**20
DIGESTS: Mapping[str, int] = {"sha256": 64, "md5": 32}
"""Kinds of digests and their hexadecimal digits; the second one only tells damage, not forgery."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Something to be had.

    Attributes:
        name: By which it is asked for.
        about: What it segments, or holds.
        input: What images a model needs; empty for a dataset.
        address: Of an archive, https:// or http://, or relative to the index.
        digest: "sha256:" or "md5:" and hexadecimal digits.
        megabytes: Of the archive, about.
        number: Of the task that a dataset becomes; None takes its folder's.
    """

    name: str
    about: str
    address: str
    digest: str
    megabytes: float
    licence: str
    input: str = ""
    number: int | None = None

    def __post_init__(self) -> None:
        kind, _, digits = self.digest.partition(":")
        if len(digits) != DIGESTS.get(kind) or not all(digit in "0123456789abcdef" for digit in digits):
            raise ModelError(f"{self.name}: digest: expected sha256: or md5: and its digits, found {self.digest!r:.80}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """All that is to be had."""

    datasets: tuple[Offer, ...] = ()
    models: tuple[Offer, ...] = ()

    def __post_init__(self) -> None:
        for kind, offers in (("datasets", self.datasets), ("models", self.models)):
            if double := [name for name, times in Counter(offer.name for offer in offers).items() if times > 1]:
                raise ModelError(f"{kind}: {readable(double[0])} stands there twice")


DECATHLON = "https://msd-for-monai.s3-us-west-2.amazonaws.com"


def _decathlon(name: str, task: str, about: str, *, digest: str, megabytes: float) -> Offer:
    """One of the Medical Segmentation Decathlon, by its folder's name."""
    return Offer(
        name=name,
        about=f"{about} (Medical Segmentation Decathlon, {task.partition('_')[0]})",
        address=f"{DECATHLON}/{task}.tar",
        digest=digest,
        megabytes=megabytes,
        licence="CC-BY-SA 4.0",
    )


SHIPPED = Index(
    datasets=(
        _decathlon(
            "hippocampus",
            "Task04_Hippocampus",
            "MRI of the hippocampus, anterior and posterior: 260 labelled cases",
            digest="sha256:282d808a3e84e5a52f090d9dd4c0b0057b94a6bd51ad41569aef5ff303287771",
            megabytes=28,
        ),
        _decathlon(
            "heart",
            "Task02_Heart",
            "MRI of the left atrium: 20 labelled cases",
            digest="md5:06ee59366e1e5124267b774dbd654057",
            megabytes=456,
        ),
        _decathlon(
            "prostate",
            "Task05_Prostate",
            "MRI of the prostate, two channels and two zones: 32 labelled cases",
            digest="md5:35138f08b1efaef89d7424d2bcc928db",
            megabytes=240,
        ),
        _decathlon(
            "spleen",
            "Task09_Spleen",
            "CT of the spleen: 41 labelled cases",
            digest="md5:410d4a301da4e5b2f6f86ec3ddba524e",
            megabytes=1610,
        ),
    )
)


def read_index(source: str | None, folder: Path) -> Index:
    """What comes with autoseg and, where an index is named, what that offers, which wins over it.

    Args:
        source: A file or an address; None for none.
        folder: Where the index is put while it is read.

    Raises:
        ModelError: It is none, or of another format.
        StorageError: It cannot be read or fetched.
    """
    if source is None:
        return SHIPPED
    if is_url(source):
        with downloaded(source, folder, limit=LARGEST_INDEX) as path:
            content = read_bytes(path)
    else:
        content = read_bytes(Path(source).expanduser())
    own = _parsed(content, source)
    named = {offer.name for offer in own.datasets}
    shipped = tuple(offer for offer in SHIPPED.datasets if offer.name not in named)
    return Index(datasets=(*own.datasets, *shipped), models=own.models)


def find_offer(offers: Sequence[Offer], name: str, where: str) -> Offer:
    """The offer of a name.

    Raises:
        ModelError: There is none; the known ones are listed.
    """
    known = {offer.name: offer for offer in offers}
    if name not in known:
        listing = ", ".join(map(readable, known)) or "none"
        raise ModelError(f"{readable(name)}: {where} has nothing of that name{nearest(name, known)}; known: {listing}")
    return known[name]


def offers_table(offers: Sequence[Offer]) -> list[list[str]]:
    """A row for each offer, and one of titles before them."""
    rows = [["name", "MB", "licence", "what"]]
    for offer in offers:
        needs = f"; needs {offer.input}" if offer.input else ""
        rows.append([offer.name, f"{offer.megabytes:.0f}", offer.licence, offer.about + needs])
    return rows


def _parsed(content: bytes, source: str) -> Index:
    try:
        parsed = parse_json(content, source)
        plain = {"datasets": [], "models": [], **parsed} if isinstance(parsed, dict) else parsed
        if isinstance(plain, dict):
            for kind in ("datasets", "models"):
                plain[kind] = [_completed(offer, source) for offer in plain[kind]]
        return decode_record(plain, Index, FORMAT, Path(source), where=source)
    except (StorageError, TypeError) as error:
        raise ModelError(f"{error}; correct the index, or name another") from error
    except ModelError as error:
        raise error if source in str(error) else ModelError(f"{source}: {error}") from error


def _completed(offer: object, source: str) -> object:
    """With fields that may be left out, and an address that is relative to the index."""
    if not isinstance(offer, dict):
        return offer
    address = offer.get("address")
    absolute = urljoin(source, address) if isinstance(address, str) and is_url(source) else address
    return {"input": "", "number": None, **offer, "address": absolute}
