"""Where partitions are worked off: the seam between flows and a Dask cluster. Without Prefect.

Workers need this package, the root and the right to read and write there; they know neither
Prefect nor the configuration. They write packs and give back rows; only the driver commits.
"""

from __future__ import annotations

import logging
import math
import multiprocessing
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import pyarrow as pa

from curation.recipe import FEATURES_REVISION
from flows.compute.settings import ComputeConfig, ComputeError

if TYPE_CHECKING:
    from distributed import Client, Future

Part = TypeVar("Part")
Result = TypeVar("Result")

_AHEAD: Final = 2  # parts handed out for each processor: the next is there when one is done
_LOOK_EVERY: Final = 2.0  # seconds
_CONNECT: Final = 3.0
# What results depend on, to the last bit of a pixel.
_PACKAGES: Final = ("nonesuch", "opencv-python-headless", "pillow", "simplejpeg", "numpy")


@dataclass(frozen=True, slots=True)
class _Answer(Generic[Result]):
    """What a worker gives back."""

    result: Result
    worker: str


class Cluster:
    """A Dask cluster that works off parts. Made by `open_cluster`.

    Attributes
    ----------
    done : Counter
        Parts that each worker has done, by its name.
    """

    def __init__(self, client: Client, address: str, wait: float) -> None:
        self.done: Counter[str] = Counter()
        self._client = client
        self._address = address
        self._wait = wait
        self._code = code()
        self._names = (f"nonesuch-{secrets.token_hex(4)}-{number}" for number in count())

    @property
    def processors(self) -> int:
        """Parts that are worked on at a time: threads of all workers that are there now."""
        with self._reachable():
            return int(self._client.scheduler_info(n_workers=0)["total_threads"])

    def await_workers(self) -> None:
        """Wait for a first worker.

        Raises
        ------
        ComputeError
            If there is none for long.
        """
        until = time.monotonic() + self._wait
        while not self.processors:
            if time.monotonic() > until:
                raise self._no_workers()
            time.sleep(0.2)

    def map(
        self,
        function: Callable[[Part], Result],
        parts: Sequence[Part],
        *,
        whole_worker: bool = False,
        split: Callable[[Part], Sequence[Part]] | None = None,
        give_up: Callable[[Part], Result] | None = None,
    ) -> Generator[tuple[Part, Result], None, None]:
        """Apply `function` to parts on the workers; yield each with its result as it is done.

        What a dead worker had is done again by another one: `function` must leave nothing behind
        that counts before its result is committed here. A part that each worker dies of is split
        until the culprit is alone, while nothing else is under way that could be blamed with it.

        Parameters
        ----------
        function : callable
            Importable by name where the workers run, or a `functools.partial` of such; it and the
            parts are pickled.
        whole_worker : bool
            It uses all processors of a worker by itself, as networks do: each works on one part at
            a time, and must have the PyTorch that is here.
        split : callable
            Cuts a part that workers died of into smaller ones; the smallest is given back alone.
        give_up : callable
            Gives the result of the smallest part that workers died of.

        Raises
        ------
        ComputeError
            If there are no workers, the scheduler is gone, workers have other code, or they die of
            a part that cannot be split.
        """
        killers: list[Part] = []
        expected = {**self._code, **(networks() if whole_worker else {})}
        work = partial(_work, function, expected=expected, whole_worker=whole_worker)
        yield from self._work_off(work, iter(parts), killers, alone=False)
        while killers:
            part = killers.pop()
            pieces = [part] if split is None else split(part)
            if len(pieces) > 1:
                yield from self._work_off(work, iter(pieces), killers, alone=True)
            elif give_up is not None:
                yield part, give_up(part)
            else:
                raise ComputeError(
                    "every worker that had one of the partitions died; look into the logs of the "
                    "workers: most often it is memory, so give each more, or fewer threads"
                )

    def tell_all(self, function: Callable[[], object]) -> None:
        """Have each worker that answers do something short, in the thread that hears of work."""
        with suppress(Exception):  # work that is done is not lost for this
            self._client.run(function, on_error="ignore", callback_timeout=_CONNECT)

    def _work_off(
        self,
        work: partial[_Answer[Result]],
        parts: Iterator[Part],
        killers: list[Part],
        *,
        alone: bool,
    ) -> Iterator[tuple[Part, Result]]:
        """Keep workers busy until no part is left; those that killed workers go to `killers`."""
        from distributed import KilledWorker

        waiting: dict[Future[Any], Part] = {}
        try:
            while True:
                most = 1 if alone else _AHEAD * self._at_once(work.keywords["whole_worker"])
                for part in islice(parts, max(0, most - len(waiting))):
                    waiting[self._submit(work, part)] = part
                if not waiting:
                    return
                for future in self._until_any(list(waiting)):
                    part = waiting.pop(future)
                    try:
                        answer = self._result(future)
                    except KilledWorker:
                        killers.append(part)
                        continue
                    self.done[answer.worker] += 1
                    yield part, answer.result
        finally:
            if waiting:
                with suppress(Exception):  # the scheduler may be gone
                    self._client.cancel(list(waiting))

    def _submit(self, work: partial[_Answer[Result]], part: Part) -> Future[Any]:
        with self._reachable():
            return self._client.submit(work, part, key=next(self._names), pure=False)

    def _at_once(self, whole_worker: bool) -> int:
        with self._reachable():
            found = self._client.scheduler_info(n_workers=0)
        return max(1, int(found["n_workers" if whole_worker else "total_threads"]))

    def _result(self, future: Future[Any]) -> _Answer[Any]:
        try:
            with self._reachable():
                answer: _Answer[Any] = future.result()
        except ImportError as error:
            raise ComputeError(
                f"a worker lacks a package: {error}; install on each worker what is installed "
                "here, in the same versions"
            ) from error
        return answer

    def _until_any(self, futures: Sequence[Future[Any]]) -> list[Future[Any]]:
        """Wait until some are done; give up where there is no worker for long."""
        from distributed import TimeoutError as NotYet
        from distributed import wait

        last_seen = time.monotonic()
        while True:
            try:
                with self._reachable(), self._client.as_current():
                    return list(wait(futures, _LOOK_EVERY, "FIRST_COMPLETED").done)
            except NotYet:
                if self.processors:
                    last_seen = time.monotonic()
                elif time.monotonic() - last_seen > self._wait:
                    raise self._no_workers() from None

    def _no_workers(self) -> ComputeError:
        return ComputeError(
            f"the Dask scheduler at {self._address} has had no worker for {self._wait:g} s; start "
            f"some with `dask worker {self._address}`; what was committed stays, then run the same "
            "command again"
        )

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        """Tell a scheduler that is gone from what a worker says."""
        from distributed import CancelledError
        from distributed.comm.core import CommClosedError

        try:
            yield
        except (CancelledError, CommClosedError) as error:
            raise ComputeError(
                f"the connection to the Dask scheduler at {self._address} was lost; what was "
                "committed stays, see that it runs, then run the same command again"
            ) from error


@contextmanager
def open_cluster(config: ComputeConfig) -> Iterator[Cluster]:
    """Connect to the cluster of the configuration, or make one on this machine, and leave it again.

    Raises
    ------
    ComputeError
        If Dask is not installed, or the scheduler cannot be reached.
    """
    try:
        import distributed
    except ImportError as error:
        raise ComputeError(
            '`compute.runner = "dask"` needs a package that is not installed here; '
            'pip install "nonesuch[dask]"'
        ) from error
    with ExitStack() as stack:
        # What it says goes into errors of ours.
        stack.enter_context(_silenced(logging.getLogger("distributed")))
        address = config.address
        if address is None:
            made = distributed.LocalCluster(
                n_workers=config.workers,
                threads_per_worker=1,
                memory_limit=None,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
            address = stack.enter_context(made).scheduler_address
        client = stack.enter_context(_connect(address, config.wait))
        cluster = Cluster(client, address, config.wait)
        cluster.await_workers()
        yield cluster


def _connect(address: str, seconds: float) -> Client:
    """Connect; try again for some time, since the scheduler may be about to start."""
    from distributed import Client

    until = time.monotonic() + seconds
    while True:
        try:
            # Also how long it looks for a scheduler that was there and is gone.
            return Client(address, timeout=min(seconds, _CONNECT), set_as_default=False)
        except (OSError, ValueError, TypeError, RuntimeError) as error:  # the latter: of TLS
            if isinstance(error, OSError) and time.monotonic() < until:
                continue
            raise ComputeError(
                f"there is no Dask scheduler at {address} (`compute.address`): {error}; start one "
                "with `dask scheduler`, or set `compute.runner` to local"
            ) from error


@contextmanager
def _silenced(logger: logging.Logger) -> Iterator[None]:
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def code() -> Mapping[str, str]:
    """Name the code that makes results: packages and the revision of the features."""
    found = {name: metadata.version(name) for name in _PACKAGES}
    return {**found, "features": str(FEATURES_REVISION)}


def networks() -> Mapping[str, str]:
    """Name the code that scores pictures, which is no part of every installation."""
    try:
        return {"torch": metadata.version("torch")}
    except metadata.PackageNotFoundError:
        return {"torch": "none"}


def own(table: pa.Table) -> pa.Table:
    """Copy a slice, so that it is sent without the table that it was cut from."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def pieces(table: pa.Table) -> list[pa.Table]:
    """Cut a table into about as many pieces as each has rows; one row stays alone."""
    size = max(1, math.isqrt(table.num_rows))
    return [own(table.slice(at, size)) for at in range(0, table.num_rows, size)]


_one_at_a_time = threading.Lock()


def _work(
    function: Callable[[Part], Result],
    part: Part,
    *,
    expected: Mapping[str, str],
    whole_worker: bool,
) -> _Answer[Result]:
    """Do a part; runs in a worker."""
    from distributed import get_worker

    worker = str(get_worker().name)
    here = {**code(), **(networks() if whole_worker else {})}
    if here != expected:
        wrong = ", ".join(
            f"{name} {here[name]} in place of {expected[name]}"
            for name in expected
            if here[name] != expected[name]
        )
        raise ComputeError(
            f"worker {worker} has {wrong}, which may change results; install there what is "
            "installed where the run was started (constraints.txt)"
        )
    # Dask's workers are daemons, which may have no children; ours have, and see to their ends.
    multiprocessing.current_process().daemon = False
    with _one_at_a_time if whole_worker else nullcontext():
        return _Answer(function(part), worker)
