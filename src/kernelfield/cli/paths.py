"""The pictures that a command names, by patterns too, and the file that each result is written to."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from kernelfield.cli.messages import STREAM, UsageError
from kernelfield.errors import FileError
from kernelfield.files import check_writable

_SEPARATORS = tuple(filter(None, (os.sep, os.altsep)))


@dataclass(frozen=True)
class Job:
    """A picture and the file for its result."""

    source: str
    target: str


def paired(before: str, after: str) -> list[tuple[str, str]]:
    """Return the pairs that two names or patterns of names stand for, matched in the order of their names.

    Raises
    ------
    FileError
        If a pattern matches no file, or the two match different numbers of files.
    """
    befores, afters = matches(before), matches(after)
    if len(befores) != len(afters):
        raise FileError(
            f"{after!r}: expected a file for each of the {len(befores)} of {before!r}; received {len(afters)}; name "
            "those that belong together alike"
        )
    return list(zip(befores, afters))


def folder_of(sources: Sequence[str], target: str) -> str | None:
    """Return the folder for results: the target, if it ends in /, or there are several pictures or a pattern of them.

    Examples
    --------
    >>> folder_of(["a.png"], "b.png"), folder_of(["a.png"], "out/"), folder_of(["a.png", "b.png"], "out")
    (None, 'out/', 'out')
    """
    if len(sources) > 1 or target.endswith(_SEPARATORS) or any(_is_pattern(source) for source in sources):
        return target
    return None


def find_jobs(sources: Sequence[str], target: str, format: str | None) -> list[Job]:
    """Return a job for each picture; raise for patterns that match none, and for results of one name."""
    folder = folder_of(sources, target)
    if folder is None:
        return [Job(sources[0], target)]
    if STREAM in (*sources, target):
        raise UsageError("-: expected one picture and one result with stdin or stdout; received several.")
    jobs: dict[str, Job] = {}
    for path in dict.fromkeys(path for source in sources for path in matches(source)):
        name = os.path.basename(path)
        if format is not None:
            name = f"{PurePath(name).stem}.{format.lstrip('.')}"
        place = os.path.join(folder, name)
        # A file system may take both cases of a letter for the same.
        other = jobs.setdefault(place.casefold(), Job(path, place))
        if other.source != path:
            raise FileError(
                f"{place!r}: expected one picture for each result; received {other.source!r} and {path!r}; write "
                "them to different folders"
            )
    return list(jobs.values())


def check_jobs(jobs: Sequence[Job], folder: str | None, overwrite: bool) -> None:
    """Raise, before any work, for what cannot be written or must not be replaced; then make the folder."""
    if folder is None:
        if jobs[0].target != STREAM:
            check_writable(jobs[0].target)
        return
    there = os.path.isdir(folder)
    if not there and os.path.lexists(folder):
        raise FileError(f"{folder!r}: is a file; expected a folder for the results; name one, ending in /")
    if not there and not folder.endswith(_SEPARATORS) and PurePath(folder).suffix:
        raise FileError(f"{folder!r}: is no folder yet; expected one for the results; make it, or end the name in /")
    present = [job for job in jobs if os.path.lexists(job.target)]
    for job in present:
        if os.path.exists(job.source) and os.path.exists(job.target) and os.path.samefile(job.source, job.target):
            raise FileError(f"{job.target!r}: is the picture itself; expected another folder for the results; name one")
    if present and not overwrite:
        more = f" and {len(present) - 1} more are" if len(present) > 1 else " is"
        raise FileError(f"{present[0].target!r}{more} there already; expected new names; --overwrite replaces them")
    if not there:
        try:
            os.mkdir(folder)
        except OSError as error:
            raise FileError(
                f"{folder!r}: the folder cannot be made ({error.strerror}); expected one to write to; make it first"
            ) from None
    for job in jobs:
        check_writable(job.target)


def _is_pattern(source: str) -> bool:
    """Return whether a name is a pattern of names; a file of that name goes before."""
    return glob.has_magic(source) and not os.path.lexists(source)


def matches(source: str) -> list[str]:
    """Return the files that a name or pattern stands for, in order."""
    if not _is_pattern(source):
        return [source]
    found = sorted(path for path in glob.glob(source, recursive=True) if not os.path.isdir(path))
    if not found:
        raise FileError(f"{source!r}: no file matches; expected pictures; check the folder, or whether it can be read")
    return found
