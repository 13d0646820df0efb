"""The published encoders, from files that the user has: none is downloaded, none is shipped.

`find_inception` looks where other programs leave the Inception weights of 2015-12-05, which FID is
defined by; `load_inception` takes either of the two kinds of file in use, and `load_lpips` the
VGG-16 whose squared feature distance is LPIPS, which the perceptual path length is defined by.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.encoder import Encoder, area_resize, checked, exact
from training.errors import SetupError

_FEATURES = 2048  # of Inception, after its last pooling
_LPIPS_SIDE = 256  # px; pictures are brought down to it, as the path length was published
_WITHOUT = (
    "give the file with --inception FILE (a TorchScript file, inception-2015-12-05.pt, or weights, "
    "pt_inception-2015-12-05-6726825d.pth), or ask for fd_own, kid_own, pr_own, which need none"
)
_LPIPS = (
    "give a TorchScript file of VGG-16 that returns LPIPS features (vgg16.pt, called with "
    "return_lpips=True) with --lpips FILE, or ask for ppl_own, which needs none"
)


class FileEncoder(Encoder):
    """An encoder read from a file; its name tells which.

    Parameters
    ----------
    name : str
    call : callable
        From pictures, uint8 or floating point in [0, 255], to features.
    num_features : int
    module : Module
        What `call` runs, so that it moves with the encoder.
    """

    suffix = ""

    def __init__(
        self,
        name: str,
        call: Callable[[Tensor], Tensor],
        num_features: int,
        module: torch.nn.Module,
    ) -> None:
        super().__init__()
        self.name = name
        self.num_features = num_features
        self.module = module.eval()
        self._call = call

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        """Encode pictures; see `Encoder.forward`."""
        pixels = checked(pixels)
        with exact(pixels.device):
            return self._call(pixels).flatten(1).float()


def find_inception() -> Path | None:
    """Return the Inception file that another program left in the user's cache, if there is one."""
    home = Path.home() / ".cache"
    folders = [Path(torch.hub.get_dir()) / "checkpoints", home / "dnnlib" / "downloads"]
    found = [
        path
        for folder in folders
        for ending in ("pt", "pth")
        for path in sorted(folder.glob(f"*inception-2015-12-05*.{ending}"))
    ]
    return found[0] if found else None


def load_inception(path: Path | None = None) -> Encoder:
    """Load the encoder that FID, KID, precision and recall are taken with.

    Parameters
    ----------
    path : Path, optional
        TorchScript that returns 2,048 features when called with `return_features=True`, or weights
        for torch-fidelity. Searched in the user's cache by default.

    Raises
    ------
    SetupError
        If there is no such file, it cannot be read, or it is not that network.
    """
    path = path or find_inception()
    if path is None:
        raise SetupError(f"FID, KID and PR need the weights of Inception, none found; {_WITHOUT}")
    if not path.is_file():
        raise SetupError(f"the weights of Inception must be a file, {path} is none; {_WITHOUT}")
    module = _script(path)
    if module is None:
        module, call = _fidelity(path), lambda pixels: module(pixels)[0]
    else:
        call = lambda pixels: module(pixels, return_features=True)  # noqa: E731
    encoder = FileEncoder(f"inception-{_digest(path)}", call, _FEATURES, module)
    _probe(encoder, path, _WITHOUT)
    return encoder


def load_lpips(path: Path | None) -> Encoder:
    """Load the encoder whose squared distance is LPIPS, for the perceptual path length.

    Parameters
    ----------
    path : Path or None
        TorchScript of VGG-16, called with `resize_images=False, return_lpips=True`.

    Raises
    ------
    SetupError
        If there is no such file, it cannot be read, or it is not that network.
    """
    if path is None:
        raise SetupError(f"PPL is defined by LPIPS, whose weights were not given; {_LPIPS}")
    module = _script(path) if path.is_file() else None
    if module is None:
        raise SetupError(f"{path} must be a TorchScript file and is none; {_LPIPS}")

    def call(pixels: Tensor) -> Tensor:
        pixels = _at_most(pixels.float(), _LPIPS_SIDE)
        return _tensor(module(pixels, resize_images=False, return_lpips=True))

    encoder = FileEncoder(f"lpips-{_digest(path)}", call, 0, module)
    encoder.num_features = _probe(encoder, path, _LPIPS)
    return encoder


def _script(path: Path) -> Any | None:
    """TorchScript of a file; None if it holds something else."""
    try:
        with warnings.catch_warnings():
            # torch asks to move to torch.export; the published files are what they are
            warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
            return torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    except RuntimeError:
        return None


def _fidelity(path: Path) -> Any:
    """Build torch-fidelity's Inception on weights from a file."""
    try:
        module = import_module("torch_fidelity.feature_extractor_inceptionv3")
    except ImportError:
        raise SetupError(
            f"{path} is no TorchScript file; weights alone need the package torch-fidelity, which "
            f"is not installed: `pip install torch-fidelity`, or {_WITHOUT}"
        ) from None
    try:
        return module.FeatureExtractorInceptionV3(
            "inception-v3-compat", [str(_FEATURES)], feature_extractor_weights_path=str(path)
        )
    except Exception as error:  # whatever unpickling or fitting foreign weights leads to
        raise SetupError(f"{path} holds no weights of Inception: {error}; {_WITHOUT}") from error


def _probe(encoder: Encoder, path: Path, remedy: str) -> int:
    """Encode two pictures; return how many features they have."""
    pixels = torch.arange(2 * 3 * 64 * 64).reshape(2, 3, 64, 64).remainder(251).to(torch.uint8)
    try:
        features = encoder(pixels)
    except Exception as error:  # a network of another kind fails in its own ways
        raise SetupError(f"{path} cannot encode pictures: {error}; {remedy}") from error
    shape: tuple[int, ...] = tuple(features.shape)
    if shape[0] != 2 or encoder.num_features not in (0, shape[1]) or not features.isfinite().all():
        wanted = encoder.num_features or "any number of"
        raise SetupError(f"{path} must give {wanted} features a picture, gave {shape}; {remedy}")
    return shape[1]


def _tensor(value: object) -> Tensor:
    assert isinstance(value, Tensor), type(value)
    return value


def _at_most(pixels: Tensor, side: int) -> Tensor:
    """Bring pictures down by areas until their longer side fits; smaller ones stay as they are."""
    height, width = pixels.shape[-2:]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    return area_resize(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))


def _digest(path: Path) -> str:
    """First letters of the SHA-256 of a file: two files give figures of two names."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:8]
