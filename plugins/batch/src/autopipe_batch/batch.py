"""A run of a batch: what is left to do is given to a runner, and what becomes of it is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock

from autopipe.cli.text import say
from autopipe.errors import ArgumentError, AutopipeError, CheckpointError
from autopipe.registry import Registry
from autopipe.resolution.targets import load_target
from autopipe.wording import error_summary, shown
from autopipe_requests.placement import Placement
from autopipe_requests.request import Request

from .drawing import Draw, full_disk
from .history import Entry, History, read_history
from .journal import Journal
from .plan import Groups, Plan, grouped, longest_first
from .progress import Progress
from .ranks import Rank
from .reconcile import Reconciled, reconcile
from .sheet import NAME, Layout, draw_sheet, mark_of, write_sheet
from .stopping import Stopping
from .summary import MOST_SHOWN, Summary
from .work import Outcome, Runner
from .workers import cores, workers_for

STOPPED = 130
"""The exit code after Ctrl-C."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a batch is drawn.

    Attributes:
        folder: the folder of the results.
        image: the type of images: `png`, `jpeg` or `webp`.
        placement: where pipelines compute and keep their weights.
        runner: the target of the runner.
        workers: the number of workers; None for the default.
        threads: the number of threads of each; None for what the folder has, or the default.
        devices: the devices of the workers; empty for all accelerators, or the CPU.
        batch_size: the number of jobs that are drawn together.
        retry, trust: as for `reconcile`.
        quiet: whether to show no progress.
    """

    folder: Path
    image: str = "png"
    placement: Placement = field(default_factory=Placement)
    runner: str = "autopipe_batch.local:run"
    workers: int | None = None
    threads: int | None = None
    devices: tuple[str, ...] = ()
    batch_size: int = 1
    retry: bool = False
    trust: bool = False
    quiet: bool = False


class Batch:
    """A run.

    Args:
        plan: what is to be drawn.
        options: how.
        rank: the place of this run among several that draw parts of the batch.
        registry: the installed packages.

    Attributes:
        summary: what came of it.
    """

    def __init__(self, plan: Plan, options: Options, rank: Rank, registry: Registry) -> None:
        self.plan, self.options, self.rank, self.registry = plan, options, rank, registry
        self.ids = rank.part(list(plan.requests))
        self._journal = Journal(options.folder, rank.name)
        self.summary = Summary(
            options.folder,
            self._journal.file,
            len(self.ids),
            wrong=plan.wrong,
            lines=plan.lines,
            repeated=plan.repeated,
        )

    def preview(self) -> Summary:
        """Compare the folder with what is to be drawn, and write nothing."""
        self._count(self._reconciled(read_history(self.options.folder)))
        return self.summary

    def draw(self) -> int:
        """Draw what is missing and return the exit code.

        Launchers of several programs end all of them when one fails. So with a launcher, jobs that
        failed or are set aside don't change the exit code.

        Raises:
            AutopipeError: if nothing more can be written, or no worker can start.
            KeyboardInterrupt: at a second Ctrl-C.
        """
        with self._journal as journal:
            found = self._reconciled(journal.history)
            self._count(found)
            self._tell_of(journal.history.unreadable, "a line of a manifest is not valid")
            self._tell_of([*found.again.values()], "to be drawn again")
            if not (found.todo or found.adopted or self.plan.wrong):
                return self._code()
            try:
                return self._draw(found, journal)
            except OSError as error:
                if isinstance(error, AutopipeError):
                    raise
                folder = str(self.options.folder)
                raise CheckpointError(
                    full_disk(error, folder)
                    or f"{shown(folder)} can't be written: {error_summary(error)}"
                ) from error

    def _reconciled(self, history: History) -> Reconciled:
        options = self.options
        return reconcile(
            self.ids,
            options.folder,
            history,
            image=options.image,
            retry=options.retry,
            trust=options.trust,
        )

    def _count(self, found: Reconciled) -> None:
        summary = self.summary
        summary.found, summary.adopted = len(found.done), len(found.adopted)
        summary.again = found.again
        summary.aside = {one: entry.error or "" for one, entry in found.aside.items()}

    def _tell_of(self, texts: Sequence[str], title: str) -> None:
        for text in texts[:MOST_SHOWN]:
            say(f"autopipe: {title}: {text}", error=True)
        if len(texts) > MOST_SHOWN:
            say(f"autopipe: and {len(texts) - MOST_SHOWN:,} more", error=True)

    def _draw(self, found: Reconciled, journal: Journal) -> int:
        options, history = self.options, journal.history
        if not found.todo:
            journal.begin(history.threads)
            self._note(found, journal)
            return self._code()
        places, workers, threads = self._workers(history.threads)
        journal.begin(threads)
        self._note(found, journal)
        deaths = {} if options.retry else dict(history.deaths)
        requests = self.plan.requests
        ids = longest_first(requests, grouped(requests, found.todo, options.batch_size, deaths))
        make = Draw(
            folder=str(options.folder.absolute()),
            unfinished=str(journal.unfinished.absolute()),
            image=options.image,
            placement=options.placement,
        )
        runner: Runner = load_target(options.runner)
        before = self.summary.total - len(found.todo)
        quiet = options.quiet or self.rank.number > 0
        with (
            Progress(self.summary.total, before, quiet=quiet) as progress,
            Stopping(lambda text: progress.tell(f"autopipe: {text}")) as stopping,
        ):
            outcomes = runner(
                Groups(self.plan.requests, ids, deaths),
                make,
                workers=workers,
                devices=places,
                threads=threads,
                stopping=stopping,
            )
            fatal = None
            try:
                for outcome in outcomes:
                    if outcome.fatal:
                        fatal = outcome.error
                    else:
                        journal.add(outcome)
                        self._take(outcome, progress)
            finally:
                # So that workers end before the journal is closed.
                close: Callable[[], object] = getattr(outcomes, "close", lambda: None)
                close()
        if fatal is not None:
            raise CheckpointError(fatal)
        return STOPPED if stopping.asked and self.summary.left else self._code()

    def _note(self, found: Reconciled, journal: Journal) -> None:
        journal.add_wrong((one.number, one.error) for one in self.plan.wrong)
        for one, (name, sha) in found.adopted.items():
            journal.add(Outcome(id=one, state="done", file=name, sha256=sha), tried=False)

    def _code(self) -> int:
        return self.summary.code if self.rank.count == 1 else 0

    def _take(self, outcome: Outcome, progress: Progress) -> None:
        summary, error = self.summary, outcome.error or ""
        name = summary.name(outcome.id)
        if outcome.state == "died":
            progress.tell(f"autopipe: {name}: {error}; it is tried again")
            return
        if outcome.state == "done":
            summary.drawn += 1
        else:
            errors = summary.failed if outcome.state == "failed" else summary.aside
            errors[outcome.id] = error
            if len(errors) <= MOST_SHOWN:
                progress.tell(f"autopipe: {name} {outcome.state}: {error}")
        progress.add(done=outcome.state == "done")

    def _workers(self, known: int | None) -> tuple[Sequence[str | None], int | None, int]:
        """Return the devices, the number of workers, and the number of threads of each.

        The number of threads doesn't depend on the number of workers that is asked for, nor on how
        many programs draw parts of the batch, because results can depend on it.
        """
        from autopipe.placement.devices import check_here, devices_here, parse_device

        options = self.options
        for name in options.devices:
            check_here(parse_device(name, "--devices"))
        if options.placement.device is not None and not options.devices:
            check_here(parse_device(options.placement.device, "--device"))
            places: list[str | None] = [options.placement.device]
        else:
            places = list(options.devices) or [one for one in devices_here() if one != "cpu"]
        usual = len(places)
        if all(one in (None, "cpu") for one in places):
            first = Request.model_validate_json(next(iter(self.plan.requests.values())))
            usual = workers_for(first, self.registry, options.batch_size)
        threads = known or options.threads or max(1, cores() // usual)
        if options.threads not in (None, threads):
            raise ArgumentError(
                f"{shown(str(options.folder))} was begun with --threads {threads}, and results can "
                f"depend on that; leave out --threads, or give another folder"
            )
        if self.rank.count > 1:
            own = self.rank.device([one for one in places if one is not None])
            places = [own or "cpu"]
            usual = 1 if own else max(1, usual // self.rank.local_count)
        # One device for each worker, so that a runner on other machines may have more of them.
        return (places or [None]) * (usual if len(places) < 2 else 1), options.workers, threads

    def add_sheet(self, where: Layout) -> None:
        """Draw the contact sheet from the files in the folder, unless it is there.

        Raises:
            OSError: if it can't be written.
        """
        folder = self.options.folder
        file = folder / NAME
        if not folder.is_dir():
            return
        # Several programs may draw parts of the batch: the last one to finish finds all of it.
        with FileLock(folder / f".{NAME}.lock"):
            entries = read_history(folder).entries
            panels = [
                (title, [[self._file(entries, place) for place in row] for row in rows])
                for title, rows in where.panels()
            ]
            axes = [axis and (axis.name, axis.labels) for axis in (where.rows, where.columns)]
            content = json.dumps([axes, panels])
            mark, before = hashlib.sha256(content.encode()).hexdigest(), mark_of(file)
            if before == "":
                say(f"autopipe: {shown(str(file))} is not a contact sheet, so it stays", error=True)
                return
            if before != mark or self.summary.drawn:
                paths = [
                    (title, [[folder / one if one else None for one in row] for row in rows])
                    for title, rows in panels
                ]
                write_sheet(draw_sheet(paths, where), file, mark)
        self.summary.sheet = file

    def _file(self, entries: Mapping[str, Entry], place: int) -> str | None:
        entry = entries.get(self.plan.cells[place])
        return entry.file if entry is not None and entry.state == "done" else None
