"""``kernelfield apply``: a learned or designed filter on one picture or many."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from json import dumps
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

import kernelfield as kf
from kernelfield.cli.console import output, status
from kernelfield.cli.messages import STREAM, UsageError, fail, note, why_failed
from kernelfield.cli.paths import Job, check_jobs, find_jobs, folder_of
from kernelfield.cli.pictures import (
    channel_axis_of,
    check_channels,
    only_one_stream,
    read_picture,
    say,
    shown,
    standard_output,
)
from kernelfield.cli.stores import filter_store, is_for_tiles, one_scheduler
from kernelfield.errors import ArgumentError, DataError, FileError

if TYPE_CHECKING:
    import numpy as np

    from kernelfield.cli.filters import Filters
    from kernelfield.images import Picture

Dtype = Literal["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"]


def apply(
    filter: Path,
    /,
    *pictures: Annotated[str | Path, Parameter(name="PICTURES RESULT")],
    json: bool = False,
    boundary: Literal["constant", "nearest", "reflect", "mirror", "wrap", "copy", "renormalised"] | None = None,
    dtype: Dtype | None = None,
    page: int | None = None,
    channel_axis: str = "auto",
    format: str | None = None,
    overwrite: bool = False,
    max_pixels: int | None = None,
    untrusted: bool = False,
    then: list[Path] | None = None,
    resume: bool = False,
    level: int | None = None,
    pyramid: bool = False,
    compression: Literal["none", "zstd"] | None = None,
    scheduler: str | None = None,
    local: int | None = None,
) -> None:
    """Apply a learned or designed filter to a picture, or to many.

    All pages are filtered; transparency, colour profile, EXIF, resolution and descriptions are kept. Zarr stores
    (in.zarr, an address such as s3://bucket/in.zarr) and large NPY and TIFF files are filtered tile by tile.

    Parameters
    ----------
    filter
        A filter that learn or design saved, a kernel as NPY, CSV, text or JSON, or a name as gaussian:sigma=2.
    pictures
        The pictures, and last the file to write; of several pictures, or of "photos/*.jpg", a folder. - is a stream.
    json
        Print what was written as JSON, and nothing else.
    boundary
        Rule for pixels beyond the border. By default that of the filter; copy leaves border pixels as they are,
        renormalised drops the weights outside and rescales the rest.
    dtype
        Type of the numbers written; by default that of the picture. Integers are rounded and saturated.
    page
        Filter this page only, counted from 0. By default every page.
    channel_axis
        Axis of the channels in NPY and NPZ; none for a stack of images (N, H, W). auto takes a last axis of up to 4.
    format
        Format to write, as png or tif, to stdout or to a folder. By default that of the picture.
    overwrite
        Replace files in the folder. By default nothing is replaced there.
    max_pixels
        Refuse pictures of more pixels before decoding them (500 million by default). Not for stores.
    untrusted
        Read in a process of its own, with 4 GiB of address space and ten minutes: for files of unknown origin.
    then
        A filter that follows, with nothing stored in between; again for more. For stores and large files, as the rest:
    resume
        Go on with a result that was interrupted.
    level
        Level of an OME-Zarr image, 0 for the finest.
    pyramid
        Write the coarser levels of an OME-Zarr image too.
    compression
        Of the chunks of a store. By default that of the store read, else zstd.
    scheduler
        Address of a Dask scheduler whose workers filter, as tcp://host:8786; they read and write the same paths.
    local
        Start so many processes here and filter with these.
    """
    from kernelfield.cli.filters import filters_of

    if len(pictures) < 2:
        raise UsageError("apply: expected pictures and the file to write; received too few names.")
    # They are text, of which Path would lose the / at the end; the type Path makes shells complete names of files.
    *sources, target = map(str, pictures)
    only_one_stream([str(filter), *sources])
    if json and target == STREAM:
        raise UsageError("--json: expected a file to write; received -, and the picture goes to stdout.")
    if len(sources) == 1 and is_for_tiles(sources[0], target):
        if format is not None or max_pixels is not None:
            raise UsageError(f"{'--format' if format else '--max-pixels'}: expected none with a store; leave it out.")
        filter_store(
            [_one_filter(str(one)) for one in (filter, *(then or []))],
            sources[0],
            target,
            json,
            boundary=boundary,
            dtype=dtype,
            page=page or 0,
            channel_axis=channel_axis_of(channel_axis),
            overwrite=overwrite,
            resume=resume,
            level=level or 0,
            pyramid=pyramid,
            compression=compression,
            scheduler=one_scheduler(scheduler, local),
        )
        return
    of_stores = {
        "--then": then,
        "--resume": resume,
        "--level": level,
        "--pyramid": pyramid,
        "--compression": compression,
        "--scheduler": scheduler,
        "--local": local,
    }
    for option in [name for name, value in of_stores.items() if value not in (None, False)]:
        raise UsageError(f"{option}: expected a Zarr store, or a large NPY or TIFF file; received {sources[0]}.")
    jobs, folder = find_jobs(sources, target, format), folder_of(sources, target)
    _check_formats(jobs, folder, format, dtype)
    filters = filters_of(str(filter))
    check_jobs(jobs, folder, overwrite)
    how = _How(filters, boundary, dtype, page, channel_axis_of(channel_axis), format, max_pixels)
    _note_doubts(shown(str(filter)), filters, boundary)
    if folder is not None:
        _apply_to_many(jobs, how, folder, json)
        return
    written = how.run(jobs[0])
    _note_saturated(written.saturated, written.size, written.dtype, shown(jobs[0].target, "stdout"))
    if json:
        record: dict[str, Any] = {"written": written.written, "shape": written.shape, "dtype": written.dtype}
        record |= {"pages": written.pages} if written.pages > 1 else {}
        record |= {"saturated": written.saturated} if written.saturated else {}
        sys.stdout.write(dumps(record) + "\n")


def _one_filter(name: str) -> kf.Fit:
    """Return a filter for all channels of a store, after telling its doubts."""
    from kernelfield.cli.filters import filters_of

    found = filters_of(name)
    if not isinstance(found, kf.Fit):
        raise ArgumentError(f"{name!r}: expected one filter for all channels of a store; received {len(found)}")
    _note_doubts(shown(name), found, None)
    return found


def _check_formats(jobs: Sequence[Job], folder: str | None, format: str | None, dtype: str | None) -> None:
    """Raise, before any work, for a format that is not known or does not hold the numbers asked for.

    In a folder that is left to each picture.
    """
    from kernelfield.images.formats import FORMATS, of_name

    listed = ", ".join(form.suffixes[0] for form in FORMATS)
    if format is not None and of_name(f"a.{format.lstrip('.')}") is None:
        raise UsageError(f"--format: expected one of {listed}; received {format!r}.")
    if folder is not None and format is None:
        return
    target = jobs[0].target
    if folder is None and os.path.isdir(target):
        raise FileError(f"{target!r}: is a folder; expected a file; end the name in / to write into the folder")
    form = of_name(target if format is None else f"a.{format.lstrip('.')}")
    if form is None and not _is_nameless(target):
        raise ArgumentError(f"{target!r}: expected a name that ends in one of {listed}; or give --format; rename it")
    if form is not None and dtype is not None and form.dtypes and dtype not in form.dtypes:
        others = [other.suffixes[0] for other in FORMATS if not other.dtypes or dtype in other.dtypes]
        raise ArgumentError(
            f"--dtype: expected one of {', '.join(form.dtypes)} for {form.suffixes[0]}; received {dtype}; write "
            f"{' or '.join(others)}"
        )


def _is_nameless(target: str) -> bool:
    """Return whether the target is a stream, device or FIFO with no known ending: it gets the format of the picture."""
    from kernelfield.images.formats import of_name

    if target == STREAM:
        return True
    return of_name(target) is None and os.path.exists(target) and not os.path.isfile(target)


@dataclass(frozen=True)
class _Written:
    """A file that was written: shape and dtype of its first page, and the pixels of all pages that were cut off."""

    picture: str
    written: str
    shape: list[int]
    dtype: str
    pages: int
    saturated: int
    size: int


@dataclass(frozen=True)
class _How:
    """The filter and the options of a run."""

    filters: Filters
    boundary: str | None
    dtype: str | None
    page: int | None
    channel_axis: int | str | None
    format: str | None
    max_pixels: int | None
    tell: Callable[[str, str], None] = say
    step: Callable[[str], AbstractContextManager[None]] = status

    def run(self, job: Job) -> _Written:
        """Filter one picture and write the result."""
        with self.step("reading"):
            pages, picture = self._read(job)
        with self.step("filtering"):
            results = _Results(pages, self, picture, shown(job.source))
            # What cannot be filtered is refused before the file is begun.
            first = results[0]
        with self.step("writing"), _warnings_told(shown(job.target, "stdout"), self.tell):
            self._write(job.target, results, picture)
        return _Written(
            shown(job.source),
            "-" if job.target == STREAM else job.target,
            list(first.shape),
            str(first.dtype),
            len(results),
            sum(results.saturated.values()),
            sum(results.sizes.values()),
        )

    def _read(self, job: Job) -> tuple[Sequence[np.ndarray], Picture]:
        """Return the pages of a picture, all or the one that is chosen, and the picture."""
        picture = read_picture(job.source, self.max_pixels, self.page, self.tell, self.channel_axis)
        check_channels(picture, job.source, self.channel_axis)
        return (picture.pages if self.page is None else [picture.pixels]), picture

    def _write(self, target: str, results: _Results, picture: Picture) -> None:
        import numpy as np

        from kernelfield.images import write

        pages: Any = results
        form = self.format
        if form is None and _is_nameless(target):
            form = suffix_of(picture)
        kind = (form or PurePath(target).suffix).lower().removeprefix(".")
        # Axes of arrays stay where they are.
        if kind in ("npy", "npz") and isinstance(self.channel_axis, int):
            axis = self.channel_axis
            pages = [np.moveaxis(one if one.ndim == 3 else one[..., None], -1, axis) for one in results]
        elif kind == "npy" and self.channel_axis is None and self.page is None and len(results) > 1:
            pages = np.stack(list(results))
        write(standard_output() if target == STREAM else target, pages, like=picture, format=form)


class _Results(Sequence["np.ndarray"]):
    """The filtered pages, each computed when it is asked for; the last one is kept."""

    def __init__(self, pages: Sequence[np.ndarray], how: _How, picture: Picture, name: str) -> None:
        self._pages, self._how, self._picture, self._name = pages, how, picture, name
        self._last: tuple[int, np.ndarray] | None = None
        self.saturated: dict[int, int] = {}
        self.sizes: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._pages)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        if self._last is None or self._last[0] != index:
            self._last = None
            self._last = index, self._filter(index)
        return self._last[1]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def _filter(self, index: int) -> np.ndarray:
        """Return a page filtered, its transparency as it was."""
        import numpy as np

        pixels = self._pages[index]
        names = self._names(index)
        alpha = names.index("alpha") if "alpha" in names else None
        colours = pixels if alpha is None else np.delete(pixels, alpha, axis=2)
        names = tuple(name for name in names if name != "alpha")
        if colours.ndim == 3 and colours.shape[2] == 1:
            colours = colours[..., 0]
        result, saturated = _filtered(self._how, colours, names, self._name)
        expected = result.dtype == pixels.dtype and _saturates(self._how.filters)
        self.saturated[index], self.sizes[index] = 0 if expected else int(saturated.sum()), saturated.size
        if alpha is None:
            return result
        planes = list(np.moveaxis(result if result.ndim == 3 else result[..., None], 2, 0))
        planes.insert(alpha, pixels[..., alpha].astype(result.dtype))
        return np.stack(planes, axis=2)

    def _names(self, index: int) -> tuple[str, ...]:
        """Return the names of the channels of a page."""
        return self._picture.pages.channels(self._picture.page if self._how.page is not None else index)


def _saturates(filters: Filters) -> bool:
    """Return whether the producer that was learned rounds and saturates too: then results are cut off as its own."""
    fits = [filters] if isinstance(filters, kf.Fit) else list(filters.values())
    return all(fit.samples > 0 and fit.verdict == "exact" and fit.rounding is not None for fit in fits)


def suffix_of(picture: Picture) -> str:
    """Return the suffix, without its point, of the format that a picture was read from."""
    from kernelfield.images.formats import FORMATS

    return next(form.suffixes[0] for form in FORMATS if form.name == picture.metadata.format).lstrip(".")


def _filtered(how: _How, pixels: np.ndarray, names: tuple[str, ...], path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a page with every channel filtered, and where it was saturated."""
    import numpy as np

    from kernelfield.learning.filtering import apply as run

    filters = how.filters
    if isinstance(filters, kf.Fit):
        done = run(filters, pixels, how.boundary, how.dtype)
        return done.pixels, done.saturated
    if set(filters) != set(names):
        raise ArgumentError(
            f"{path!r}: expected the channels {', '.join(filters)}, one for each filter; received "
            f"{', '.join(names)}; learn without --per-channel"
        )
    planes = [pixels] if pixels.ndim == 2 else list(np.moveaxis(pixels, 2, 0))
    each = [run(filters[name], plane, how.boundary, how.dtype) for name, plane in zip(names, planes)]
    if pixels.ndim == 2:
        return each[0].pixels, each[0].saturated
    return np.stack([one.pixels for one in each], axis=2), np.logical_or.reduce([one.saturated for one in each])


def _apply_to_many(jobs: Sequence[Job], how: _How, folder: str, json: bool) -> None:
    """Filter every picture; one that fails does not stop the others, and is an error at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    written: list[_Written] = []
    failed: dict[str, str] = {}
    remarks: dict[str, list[str]] = {}
    how = replace(how, tell=lambda name, text: remarks.setdefault(text, []).append(name), step=lambda _: nullcontext())
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(file=sys.stderr), disable=not sys.stderr.isatty(), transient=True) as bar:
        for job in bar.track(jobs, description="filtering"):
            try:
                written.append(how.run(job))
            except Exception as error:
                failed[shown(job.source)] = text = why_failed(error)
                fail(text if shown(job.source) in text else f"{shown(job.source)}: {text}", 1)
    for text, names in remarks.items():
        say(f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0], text)
    for dtype in dict.fromkeys(one.dtype for one in written):
        alike = [one for one in written if one.dtype == dtype]
        _note_saturated(sum(one.saturated for one in alike), sum(one.size for one in alike), dtype, folder)
    if json:
        record = {
            "written": [{key: value for key, value in asdict(one).items() if key != "size"} for one in written],
            "failed": [{"picture": name, "error": text} for name, text in failed.items()],
        }
        sys.stdout.write(dumps(record) + "\n")
    else:
        lost = f"; {len(failed)} failed" if failed else ""
        output().print(f"{len(written)} of {len(jobs)} pictures written to {folder}{lost}", markup=False)
    if failed:
        raise DataError(f"{len(failed)} of {len(jobs)} pictures failed; expected pictures that can be filtered")


def _note_doubts(name: str, filters: Filters, boundary: str | None) -> None:
    """Print the reasons for which the result may not be the expected one."""
    for channel, fit in {"": filters}.items() if isinstance(filters, kf.Fit) else filters.items():
        where = f"{name}: channel {channel}" if channel else name
        if fit.verdict != "exact":
            note(f"{where}: learned as {fit.verdict}: {fit.explanation}")
        if fit.boundary is None and boundary is None and fit.size != (1, 1):
            note(f"{where}: the border rule is not known; reflect is used; --boundary chooses another")


def _note_saturated(count: int, size: int, dtype: str, where: str) -> None:
    """Print how many pixels have results beyond the range of the dtype."""
    import numpy as np

    if not count:
        return
    share = 100 * count / size
    percent = f"{share:.1f}" if share >= 0.05 else f"{share:.2g}"
    limits: Any = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
    note(
        f"{where}: {count:,} of {size:,} pixels ({percent} %) are cut off (saturated): {dtype} holds no results below "
        f"{limits.min:g} or above {limits.max:g}; --dtype float32 keeps them"
    )


@contextmanager
def _warnings_told(name: str, tell: Callable[[str, str], None]) -> Iterator[None]:
    """Tell the warnings of the block as remarks about a file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", kf.errors.KernelfieldWarning)
        yield
    for warning in caught:
        tell(name, str(warning.message))
