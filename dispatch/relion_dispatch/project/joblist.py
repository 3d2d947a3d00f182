"""RELION's job list, ``default_pipeline.star``: processes, files, and which goes where.

RELION's side is ``PipeLine::read`` and ``write`` in ``src/pipeliner.cpp``. An open window keeps
places in the list while it reads the list anew (``checkProcessCompletion``): so a job keeps its
place for good, and new ones come behind the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from relion_dispatch.project import star
from relion_dispatch.project.flavours import (
    RELION_3_1,
    RELION_4_0,
    RELION_5_0,
    SCHEDULED,
    Flavour,
    convert_job_type,
    convert_kind,
    state_of,
)
from relion_dispatch.project.star import Row, Star, Table

FILE = "default_pipeline.star"
NO_ALIAS = "None"
_NUMBER = re.compile(r"/job(\d+)/?$")

_GENERAL, _COUNTER = "pipeline_general", "rlnPipeLineJobCounter"
_PROCESSES, _FILES = "pipeline_processes", "pipeline_nodes"
_INPUTS, _OUTPUTS = "pipeline_input_edges", "pipeline_output_edges"
_ORDER = (_GENERAL, _PROCESSES, _FILES, _INPUTS, _OUTPUTS)
_NAME, _ALIAS = "rlnPipeLineProcessName", "rlnPipeLineProcessAlias"
_TYPE = ("rlnPipeLineProcessType", "rlnPipeLineProcessTypeLabel")
_STATE = ("rlnPipeLineProcessStatus", "rlnPipeLineProcessStatusLabel")
_FILE = "rlnPipeLineNodeName"
_KIND = ("rlnPipeLineNodeType", "rlnPipeLineNodeTypeLabel")
_DEPTH = "rlnPipeLineNodeTypeLabelDepth"
_FROM, _EDGE, _TO = "rlnPipeLineEdgeFromNode", "rlnPipeLineEdgeProcess", "rlnPipeLineEdgeToNode"


def job_number(name: str) -> int:
    """Return the number of a job directory; 0 for none.

    Examples
    --------
    >>> job_number("Class3D/job032/"), job_number("Select/class3d/")
    (32, 0)
    """
    found = _NUMBER.search(name)
    return int(found[1]) if found else 0


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the list has it.

    Attributes
    ----------
    name
        Its directory, with a slash at the end.
    type
        Its type as the flavour of the list writes it.
    alias
        ``Class3D/class3d/``, or ``None`` as a word for none.
    inputs, outputs
        Its files and their kinds, as the flavour of the list writes them.
    """

    name: str
    type: str
    alias: str = NO_ALIAS
    inputs: Sequence[tuple[str, str]] = ()
    outputs: Sequence[tuple[str, str]] = ()


@dataclass
class JobList:
    """The list; build it with :meth:`read`.

    Attributes
    ----------
    flavour
        The version whose format it is written in.
    content
        The tables.
    """

    flavour: Flavour
    content: Star = field(default_factory=Star)

    @classmethod
    def read(cls, text: str, flavour: Flavour) -> JobList:
        """Read a list of any version; another version's is turned into this one's.

        Raises
        ------
        InputError
            When the text is no job list.
        """
        found = cls(flavour=flavour, content=star.parse(text))
        found._turn()
        return found

    def write(self) -> str:
        """Return the list as RELION writes it."""
        order = {name: at for at, name in enumerate(_ORDER)}
        self.content.tables.sort(key=lambda table: order.get(table.name, len(order)))
        return star.write(self.content)

    # ------------------------------------------------------------------------------------- reading

    @property
    def counter(self) -> int:
        """Number of the next job."""
        text = self._general()[_COUNTER]
        return int(text) if text.isdigit() else 1

    @property
    def names(self) -> tuple[str, ...]:
        """The jobs' directories, in order."""
        return tuple(row[_NAME] for row in self._processes.rows)

    def state(self, name: str) -> str:
        """Return a job's state, one of `flavours.STATES`; empty for a job that is not there."""
        row = self._process(name)
        return state_of(row[self._state]) if row else ""

    def alias(self, name: str) -> str:
        """Return a job's alias; empty for a job that has none."""
        row = self._process(name)
        return row[_ALIAS] if row and row[_ALIAS] != NO_ALIAS else ""

    def kind(self, file: str) -> str:
        """Return a file's kind as this flavour writes it; empty for one that is not there."""
        row = self._file(file)
        return row[self._kind] if row else ""

    def inputs(self, name: str) -> tuple[str, ...]:
        """Return the files that a job reads."""
        return tuple(row[_FROM] for row in self._inputs.rows if row[_EDGE] == name)

    def outputs(self, name: str) -> tuple[str, ...]:
        """Return the files that a job makes."""
        return tuple(row[_TO] for row in self._outputs.rows if row[_EDGE] == name)

    def is_output(self, file: str) -> bool:
        """Tell whether any job makes a file."""
        return any(row[_TO] == file for row in self._outputs.rows)

    # ------------------------------------------------------------------------------------ changing

    def reserve(self, number: int) -> None:
        """Let the next job of the window have at least this number, and one that is free."""
        used = max(map(job_number, self.names), default=0)
        self._general()[_COUNTER] = str(max(self.counter, number, used + 1))

    def put(self, job: Job, state: str) -> None:
        """Add a job or bring it up to date: its state, its type, its files.

        An alias that it has already is the user's and stays.
        """
        row = self._process(job.name)
        if row is None:
            row = {_NAME: job.name, _ALIAS: self._free_alias(job.alias)}
            self._processes.rows.append(row)
        row[self._type] = job.type
        row[self._state] = self.flavour.state(state)
        self._connect(self._inputs, job.name, _FROM, [name for name, _ in job.inputs])
        for name, kind in (*job.inputs, *job.outputs):
            self._add_file(name, kind)
        for name, _ in job.outputs:
            self._add_output(job.name, name)

    def drop_outputs(self, name: str, gone: Iterable[str]) -> tuple[str, ...]:
        """Take files off a job's list of outputs that it did not make and nobody reads.

        Returns
        -------
        tuple
            The files that were taken off.
        """
        read = {row[_FROM] for row in self._inputs.rows}
        dropped = {file for file in gone if file not in read} & set(self.outputs(name))
        self._outputs.rows = [row for row in self._outputs.rows if row[_TO] not in dropped]
        self._files.rows = [row for row in self._files.rows if row[_FILE] not in dropped]
        return tuple(sorted(dropped))

    def forget(self, names: Iterable[str]) -> None:
        """Take scheduled jobs off the list, with the files that they would have made."""
        for name in names:
            if self.state(name) != SCHEDULED:
                continue
            self._connect(self._inputs, name, _FROM, [])
            self.drop_outputs(name, self.outputs(name))
            self._connect(self._outputs, name, _TO, [])
            rows = self._processes.rows
            self._processes.rows = [row for row in rows if row[_NAME] != name]

    # -------------------------------------------------------------------------------------- tables

    @property
    def _type(self) -> str:
        return _TYPE[self.flavour.words]

    @property
    def _state(self) -> str:
        return _STATE[self.flavour.words]

    @property
    def _kind(self) -> str:
        return _KIND[self.flavour.words]

    @property
    def _processes(self) -> Table:
        return self._table(_PROCESSES, (_NAME, _ALIAS, self._type, self._state))

    @property
    def _files(self) -> Table:
        depth = (_DEPTH,) if self.flavour.depth else ()
        return self._table(_FILES, (_FILE, self._kind, *depth))

    @property
    def _inputs(self) -> Table:
        return self._table(_INPUTS, (_FROM, _EDGE))

    @property
    def _outputs(self) -> Table:
        return self._table(_OUTPUTS, (_EDGE, _TO))

    def _general(self) -> Row:
        table = self._table(_GENERAL, (_COUNTER,), loop=False)
        table.rows = table.rows or [{_COUNTER: "1"}]
        return table.rows[0]

    def _table(self, name: str, labels: Sequence[str], *, loop: bool = True) -> Table:
        table = self.content.table(name)
        if table is None:
            table = Table(name=name, loop=loop)
            self.content.tables.append(table)
        table.labels += [label for label in labels if label not in table.labels]
        return table

    def _process(self, name: str) -> Row | None:
        return next((row for row in self._processes.rows if row[_NAME] == name), None)

    def _file(self, name: str) -> Row | None:
        return next((row for row in self._files.rows if row[_FILE] == name), None)

    # --------------------------------------------------------------------------------------- parts

    def _free_alias(self, alias: str) -> str:
        taken = {row[_ALIAS] for row in self._processes.rows}
        return NO_ALIAS if alias in taken else alias

    def _add_file(self, name: str, kind: str) -> None:
        if self._file(name) is None:
            self._files.rows.append({_FILE: name, self._kind: kind, _DEPTH: "1"})

    def _add_output(self, job: str, file: str) -> None:
        if all(row[_TO] != file for row in self._outputs.rows):
            self._outputs.rows.append({_EDGE: job, _TO: file})

    @staticmethod
    def _connect(table: Table, job: str, end: str, files: Sequence[str]) -> None:
        """Let a job have edges to exactly these files; those that stay keep their places."""
        wanted = list(dict.fromkeys(files))
        table.rows = [row for row in table.rows if row[_EDGE] != job or row[end] in wanted]
        there = {row[end] for row in table.rows if row[_EDGE] == job}
        table.rows += [{end: file, _EDGE: job} for file in wanted if file not in there]

    def _turn(self) -> None:
        """Turn the list of another version into one of this flavour."""
        written = self._written()
        self.content.version = self.flavour.format
        self._general()
        if written is self.flavour:
            return
        for row in self._renamed(_PROCESSES, (_TYPE, _STATE)):
            row[self._type] = convert_job_type(row[self._type], self.flavour)
            row[self._state] = self.flavour.state(state_of(row[self._state]))
        for row in self._renamed(_FILES, (_KIND,)):
            row[self._kind] = convert_kind(row[self._kind], self.flavour)
            row.setdefault(_DEPTH, "1")

    def _renamed(self, name: str, columns: Sequence[tuple[str, str]]) -> list[Row]:
        """Give columns this flavour's names; return the table's rows."""
        table = self.content.table(name)
        if table is None:
            return []
        new = {column[not self.flavour.words]: column[self.flavour.words] for column in columns}
        table.labels = [new.get(label, label) for label in table.labels]
        table.rows = [{new.get(key, key): row[key] for key in row} for row in table.rows]
        return table.rows

    def _written(self) -> Flavour:
        """Find out which version has written the list; this one's flavour for an empty list."""
        files, processes = self.content.table(_FILES), self.content.table(_PROCESSES)
        labels = [*(files.labels if files else ()), *(processes.labels if processes else ())]
        if not labels:
            return self.flavour
        if _TYPE[0] in labels or _KIND[0] in labels:
            return RELION_3_1
        return RELION_5_0 if self.content.version >= RELION_5_0.format else RELION_4_0
