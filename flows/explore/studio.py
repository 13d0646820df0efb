"""The explorer's `Studio`: pictures of trained models, made together for all who look."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from cachetools import LRUCache
from pydantic import ValidationError

from flows.explore.catalogue import find_run, find_snapshot, key_of, model_told, models_told
from flows.explore.lately import Lately
from flows.explore.models import Loaded, Models
from flows.explore.projecting import Projecting
from flows.settings import DatasetConfig
from flows.trainings.launch import source_of
from review_ui.errors import BusyError, NotFoundError, WrongInputError
from review_ui.explore.studio import Form, Which
from review_ui.explore.told import (
    ModelsTold,
    ModelTold,
    NearestTold,
    NeighbourTold,
    ProjectionTold,
)
from training.data.processes import usable_processors
from training.errors import SetupError, TrainingError
from training.latent.batcher import Batcher, TooManyError
from training.latent.encode import encode
from training.latent.looks import Between
from training.latent.nearby import RealPictures
from training.latent.sampler import Pixels
from training.trained_on import open_run

_THUMB: Final = 320  # px that the longer side of a small picture has at most
_QUALITY: Final = 90  # of JPEGs
_KEPT_BYTES: Final = 128 << 20  # of encoded pictures
_REALS: Final = 2  # runs whose real pictures are kept encoded


_Key = tuple[str, str, str, str]
"""Run, contents of the snapshot, look, form."""


class ModelStudio:
    """Makes pictures of a dataset's runs; see `review_ui.explore.studio.Studio`.

    Parameters
    ----------
    config : DatasetConfig
    device : torch.device

    Attributes
    ----------
    batcher : Batcher
        Makes the pictures.
    """

    def __init__(self, config: DatasetConfig, device: torch.device) -> None:
        self._config, self._device = config, device
        self._models = Models(device)
        self.batcher = Batcher()
        self._encoders = ThreadPoolExecutor(usable_processors(), "encode")
        self._known: LRUCache[_Key, bytes] = LRUCache(_KEPT_BYTES, len)
        self._lock = threading.Lock()  # of what is known
        self._reals: Lately[Path, RealPictures] = Lately(_REALS, _is_at_rest, RealPictures.close)
        self._projecting = Projecting(self._loaded)

    def models(self) -> ModelsTold:
        """Tell what can be looked into."""
        return models_told(self._config)

    def model(self, run: str, snapshot: str) -> ModelTold:
        """Tell what can be done with a snapshot."""
        with _told():
            return model_told(self._loaded(run, snapshot))

    def key(self, run: str, snapshot: str) -> str:
        """Give what stands for the contents of a snapshot."""
        folder = find_run(self._config, run)
        return key_of(folder, find_snapshot(folder, snapshot))

    def picture(
        self, run: str, snapshot: str, look: str, form: Form, *, rush: bool
    ) -> Future[bytes]:
        """Begin to make a picture."""
        with _told():
            loaded, wanted = self._loaded(run, snapshot), _parse(look)
            key = (run, loaded.key, wanted.model_dump_json(), form)
            with self._lock:
                known = self._known.get(key)
            if known is not None:
                ready: Future[bytes] = Future()
                ready.set_result(known)
                return ready
            made = self.batcher.submit(loaded.bench, wanted, urgent=rush)
        return _chained(
            made, self._encoders, lambda pixels: self._encoded(key, loaded, wanted, pixels, form)
        )

    def nearest(self, run: str, snapshot: str, look: str) -> NearestTold:
        """Find the real pictures nearest to a look."""
        with _told():
            loaded, wanted = self._loaded(run, snapshot), _parse(look)
            reals = self._real_pictures(loaded.run)
            if not reals.is_ready and not reals.problem:
                return NearestTold(state="working", done=reals.done, total=reals.total)
            picture = self.batcher.submit(loaded.bench, wanted, urgent=True).result()
            near = reals.near(picture)
        found = zip(near.numbers, near.distances, strict=True)
        return NearestTold(
            state="done",
            done=reals.total,
            total=reals.total,
            between=near.between,
            encoder=reals.encoder,
            neighbours=tuple(
                NeighbourTold(url=f"/explore/{run}/real/{number}", distance=distance)
                for number, distance in found
            ),
        )

    def real(self, run: str, number: int) -> bytes:
        """Give a real picture."""
        folder = find_run(self._config, run)
        with _told():
            reals = self._real_pictures(folder)
            if number >= reals.total:
                raise NotFoundError(f"there is no real picture {number}")
            return encode(reals.picture(number), "jpeg", {}, quality=_QUALITY)

    def projections(self, run: str) -> Sequence[ProjectionTold]:
        """Tell which pictures were projected, or are being."""
        return self._projecting.told(find_run(self._config, run))

    def project(self, run: str, snapshot: str, name: str, data: bytes) -> ProjectionTold:
        """Begin to project a picture from outside."""
        with _told():
            folder = find_run(self._config, run)
            return self._projecting.begin(folder, find_snapshot(folder, snapshot), name, data)

    def stop_projecting(self, run: str, name: str) -> None:
        """End a projection that is under way."""
        self._projecting.stop(find_run(self._config, run), name)

    def projection_picture(self, run: str, name: str, which: Which) -> bytes:
        """Give a picture of a projection."""
        with _told():
            return self._projecting.picture(find_run(self._config, run), name, which)

    def close(self) -> None:
        """End what is under way."""
        self._projecting.close()
        self.batcher.close()
        self._encoders.shutdown(cancel_futures=True)
        self._reals.clear()

    def _loaded(self, run: str, snapshot: str) -> Loaded:
        folder = find_run(self._config, run)
        name = find_snapshot(folder, snapshot)
        return self._models.get(folder, name, key_of(folder, name))

    def _real_pictures(self, run: Path) -> RealPictures:
        return self._reals.get(run, lambda: self._open_real_pictures(run))

    def _open_real_pictures(self, run: Path) -> RealPictures:
        return RealPictures(open_run(run, source_of(self._config, run)))

    def _encoded(
        self, key: _Key, loaded: Loaded, look: Between, pixels: Pixels, form: Form
    ) -> bytes:
        model = loaded.model
        facts = {
            "run": loaded.run.name,
            "snapshot": model.name,
            "version_hash": model.version_hash,
            **look.model_dump(mode="json", exclude_none=True),
        }
        data = encode(
            pixels,
            "png" if form == "png" else "jpeg",
            facts,
            quality=_QUALITY,
            longer=_THUMB if form == "thumb" else None,
        )
        if form != "png":  # nobody downloads one twice
            with self._lock:
                self._known[key] = data
        return data


def _is_at_rest(reals: RealPictures) -> bool:
    """Tell whether nobody waits for them: else users of several runs would undo each other's."""
    return reals.is_ready or bool(reals.problem)


def _chained(
    made: Future[Pixels], pool: ThreadPoolExecutor, encode: Callable[[Pixels], bytes]
) -> Future[bytes]:
    """Give a future of what is encoded; cancelling it cancels what is not begun."""
    encoded: Future[bytes] = Future()

    def finish() -> None:
        if not encoded.set_running_or_notify_cancel():
            return
        try:
            encoded.set_result(encode(made.result()))
        except Exception as error:
            encoded.set_exception(_as_told(error))

    def pass_on(_made: Future[Pixels]) -> None:
        try:
            pool.submit(finish)
        except RuntimeError:  # the server is ending
            encoded.cancel()

    encoded.add_done_callback(lambda done: made.cancel() if done.cancelled() else None)
    made.add_done_callback(pass_on)
    return encoded


def _parse(look: str) -> Between:
    try:
        return Between.model_validate_json(look)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "look"
        raise WrongInputError(f"`{place}`: {first['msg']}") from error


def _as_told(error: Exception) -> Exception:
    if isinstance(error, TooManyError):
        return BusyError(str(error))
    if isinstance(error, SetupError):
        return WrongInputError(str(error))
    if isinstance(error, TrainingError | OSError):
        return NotFoundError(str(error))
    return error


@contextmanager
def _told() -> Iterator[Any]:
    """Say errors of training in the words of the page."""
    try:
        yield
    except Exception as error:
        told = _as_told(error)
        if told is error:
            raise
        raise told from error
