"""The lab: a page on which people see a kernel work, served by ``kernelfield lab`` or shown in a notebook by `Lab`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernelfield.errors import MissingDependencyError

if TYPE_CHECKING:
    from kernelfield.lab.widget import LabWidget

__all__ = ["Lab"]


def Lab(before: Any = None, after: Any = None, *, kernel: Any = None) -> LabWidget:
    """Return the lab as a widget of JupyterLab and marimo: a page where a kernel slides over an image and is learned.

    The page computes previews by itself; large results and exact learning are computed by the notebook's kernel.

    Parameters
    ----------
    before, after : array_like, PIL image, str or path-like, optional
        Shape (H, W) or (H, W, C); a path is read by `kernelfield.images.read`. Without them the page shows the
        textbook's 6×8 edge image.
    kernel : array_like or Kernel, optional
        The weights that the page begins with, shape (kh, kw).

    Returns
    -------
    LabWidget
        `LabWidget.kernel` is the kernel on the page, `LabWidget.fit` the filter that was learned last.

    Raises
    ------
    ArgumentError
        If an image or the kernel is invalid, or there is an after without a before.
    MissingDependencyError
        If anywidget is not installed.

    Examples
    --------
    >>> import kernelfield as kf
    >>> lab = kf.Lab(kernel=[[1, 0, -1]])
    >>> lab.kernel
    Kernel 1×3
      1 0 -1
    """
    try:
        from kernelfield.lab.widget import LabWidget
    except ImportError as error:
        if isinstance(error, MissingDependencyError) or (error.name or "").partition(".")[0] not in PACKAGES:
            raise
        raise MissingDependencyError(
            f"Lab: {error.name} is not installed; expected it for notebooks; pip install 'kernelfield[lab]'"
        ) from error
    return LabWidget(before, after, kernel=kernel)


#: The packages of the extra ``lab``, and those that come with them.
PACKAGES = frozenset({"anywidget", "h11", "starlette", "traitlets", "uvicorn", "websockets"})
